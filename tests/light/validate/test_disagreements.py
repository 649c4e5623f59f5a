from __future__ import annotations

import numpy as np
import pytest

from tflite_pipeline.validate.disagreements import MOST, disagreements, distances
from tflite_pipeline.validate.outputs import Output

NAMES = ("ant", "bee", "cat")


def output(reference: list[list[float]], quantized: list[list[float]], labels: list[int] | None = None) -> Output:
    sides = {"reference": np.float32(reference), "quantized": np.float32(quantized)}
    found = None if labels is None else np.array(labels)
    return Output("scores", sides, found, tuple(range(100, 100 + len(reference))))


def test_samples_of_another_class_are_told_where_float_is_surest_first() -> None:
    reference = [[0.5, 0.25, 0.25], [0.75, 0.25, 0.0], [0.0, 0.0, 1.0]]
    quantized = [[0.25, 0.5, 0.25], [0.0, 0.25, 0.75], [0.0, 0.25, 0.75]]
    found = disagreements(output(reference, quantized, [1, 0, 2]), NAMES)
    assert found == (
        {
            "row": 101,
            "label": "ant",
            "reference": {"class": "ant", "score": 0.75},
            "quantized": {"class": "cat", "score": 0.75},
        },
        {
            "row": 100,
            "label": "bee",
            "reference": {"class": "ant", "score": 0.5},
            "quantized": {"class": "bee", "score": 0.5},
        },
    )


def test_of_many_samples_some_are_told() -> None:
    found = disagreements(output([[1.0, 0.0, 0.0]] * 50, [[0.0, 1.0, 0.0]] * 50), NAMES)
    assert len(found) == MOST
    assert {row["label"] for row in found} == {None}


def test_the_score_of_a_sigmoid_is_its_share() -> None:
    (row,) = disagreements(output([[0.25], [0.75]], [[0.625], [0.875]]), ("no", "yes"))
    assert (row["reference"], row["quantized"]) == ({"class": "no", "score": 0.75}, {"class": "yes", "score": 0.625})


def test_nothing_is_told_where_both_agree() -> None:
    same = output([[1.0, 0.0, 0.0]] * 3, [[1.0, 0.0, 0.0]] * 3)
    assert (disagreements(same, NAMES), distances(same)) == ((), ())


def test_samples_of_other_outputs_are_told_by_how_far_apart_they_are() -> None:
    found = distances(output([[0.0] * 6, [1.0] * 6, [2.0] * 6], [[0.0] * 6, [1.5] * 6, [1.0] * 6]))
    assert [(row["row"], row["label"], row["difference"]) for row in found] == [
        (102, None, pytest.approx(1.0)),
        (101, None, pytest.approx(0.5)),
    ]
    assert found[0]["reference"] == {"values": [2.0] * 4}
    assert found[0]["quantized"] == {"values": [1.0] * 4}
