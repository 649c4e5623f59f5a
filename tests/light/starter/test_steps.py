from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter

from tflite_pipeline.dataset.preprocessing import preprocess
from tflite_pipeline.dataset.steps import Preprocessing
from tflite_pipeline.errors import StageError
from tflite_pipeline.starter.looks import Shape, Steps
from tflite_pipeline.starter.network import _as_steps
from tflite_pipeline.starter.steps import AS_THEY_ARE, can_become, scalings, shape_steps


def applied(steps: Steps, sample: np.ndarray) -> np.ndarray:
    return preprocess(sample, TypeAdapter(Preprocessing).validate_python(list(steps))[""])


@pytest.mark.parametrize(
    ("raw", "wanted", "shape"),
    [
        ((8, 8, 1), (8, 8, 1), (8, 8, 1)),
        ((8, 8), (16, 16, 3), (16, 16, 3)),
        ((8, 8, 1), (16, 12, 3), (16, 12, 3)),
        ((6, 6, 3), (None, None, 3), (6, 6, 3)),
        ((None, None, 3), (None, None, 3), (224, 224, 3)),
        ((64,), (8, 8, 1), (8, 8, 1)),
        ((8, 8), (64,), (64,)),
        ((20, 3), (None, 3), (20, 3)),
    ],
)
def test_steps_give_samples_the_shape_that_the_model_takes(raw: Shape, wanted: Shape, shape: Shape) -> None:
    sample = np.zeros([size or 30 for size in raw], np.float32)
    assert applied(shape_steps(raw, wanted), sample).shape == shape


@pytest.mark.parametrize(("raw", "wanted"), [((8, 8, 3), (8, 8, 1)), ((5,), (6,)), ((4, 4, 4), (8, 8, 3))])
def test_there_are_no_steps_between_shapes_that_have_nothing_in_common(raw: Shape, wanted: Shape) -> None:
    assert not can_become(raw, wanted)
    with pytest.raises(StageError):
        shape_steps(raw, wanted)


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("uint8", 0, 255), ("int8", -128, 127), ("float32", 0, 16), ("float32", -1, 1)]
)
def test_each_way_to_scale_ends_where_its_name_says(dtype: str, low: float, high: float) -> None:
    ends = np.array([low, high], dtype)
    for way in scalings(dtype, low, high, (2,)):
        if way.name.startswith("to "):
            bottom, _, top = way.name.removeprefix("to ").partition("..")
            assert applied(way.steps, ends) == pytest.approx([float(bottom), float(top)], abs=1e-5)


def test_numbers_of_no_usual_range_are_left_as_they_are() -> None:
    assert [way.name for way in scalings("float32", -2.7, 900, (5,))] == [AS_THEY_ARE]


@pytest.mark.parametrize(
    ("factor", "offset", "swapped"),
    [
        ([1 / 127.5] * 3, [-1.0] * 3, False),
        ([1 / 58.395, 1 / 57.12, 1 / 57.375], [-2.1179, -2.0357, -1.8044], False),
        ([1.0] * 3, [-103.939, -116.779, -123.68], True),
        ([1.0] * 3, [0.0] * 3, False),
    ],
)
def test_a_published_preprocessing_becomes_steps_that_compute_the_same(
    factor: list[float], offset: list[float], swapped: bool
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.float32)
    span = np.diag([255 * value for value in factor])
    steps = _as_steps(span[:, ::-1] if swapped else span, np.array(offset))
    assert steps is not None
    wanted = (picture[..., ::-1] if swapped else picture) * np.array(factor) + np.array(offset)
    assert applied(steps, picture) == pytest.approx(wanted, abs=1e-3)


def test_what_mixes_channels_is_no_preprocessing_that_steps_can_do() -> None:
    assert _as_steps(np.full((3, 3), 85.0), np.zeros(3)) is None
