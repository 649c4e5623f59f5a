"""Which rows of a split are used."""

from __future__ import annotations

import numpy as np
import pytest

from tflite_pipeline.dataset.calibration import choose, pick
from tflite_pipeline.errors import StageError

ROWS = np.arange(100, 200)
LABELS = np.repeat([0, 1, 2], [100, 80, 20])
"""Rows 100..179 are of class 1, 180..199 of class 2."""


def test_drawn_rows_hold_classes_in_proportion_and_ascend() -> None:
    rows = choose(LABELS, ROWS, 10, 0, "calibration").rows
    assert np.bincount(LABELS[rows], minlength=3).tolist() == [0, 8, 2]
    assert (np.diff(rows) > 0).all()
    assert choose(LABELS, ROWS, 10, 0, "calibration").rows.tolist() == rows.tolist()
    assert choose(LABELS, ROWS, 10, 1, "calibration").rows.tolist() != rows.tolist()
    assert choose(LABELS, ROWS, 10, 0, "evaluation").rows.tolist() != rows.tolist()


def test_all_rows_are_taken_when_no_number_is_given() -> None:
    assert choose(None, ROWS, None, 0, "training").rows.tolist() == ROWS.tolist()


def test_taken_rows_are_passed_over_and_replaced() -> None:
    choice = choose(None, ROWS, 50, 0, "calibration", lambda row: row < 150)
    assert choice.rows.tolist() == list(range(150, 200))
    assert 0 < choice.passed_over <= 50
    everything = choose(None, ROWS, None, 0, "calibration", lambda row: row < 150)
    assert (everything.rows.tolist(), everything.passed_over) == (list(range(150, 200)), 50)


def test_more_samples_than_there_are_is_refused() -> None:
    with pytest.raises(StageError, match=r"samples must be at most 100, all that the split has\. Got 101\."):
        choose(LABELS, ROWS, 101, 0, "calibration")


def test_too_few_that_are_not_taken_is_refused() -> None:
    with pytest.raises(StageError) as error:
        choose(LABELS, ROWS, 20, 0, "calibration", lambda row: row < 190)
    assert "needs 20 samples that evaluation does not use. Got 10: the split has 100 rows, of which 90" in str(
        error.value
    )
    assert error.value.remedy.startswith("Set dataset.calibration.samples to at most 10")
    with pytest.raises(StageError, match="needs some samples"):
        choose(LABELS, ROWS, None, 0, "calibration", lambda row: True)


def test_picked_rows_keep_their_order() -> None:
    assert pick(ROWS, (5, 0), "calibration", lambda row: False).rows.tolist() == [105, 100]


def test_picked_rows_that_cannot_be_are_all_named() -> None:
    with pytest.raises(StageError, match=r"rows must be below 100, all that the split has\. Got 100, 107\."):
        pick(ROWS, (5, 100, 107), "calibration", lambda row: False)
    with pytest.raises(StageError, match=r"rows must not be evaluation samples\. Got 5, 7,"):
        pick(ROWS, (5, 6, 7), "calibration", lambda row: row % 2 == 1)
