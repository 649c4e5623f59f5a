"""What each preprocessing step computes, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from tflite_pipeline.dataset.preprocessing import STEPS, preprocess
from tflite_pipeline.dataset.steps import Step, Steps
from tflite_pipeline.errors import StageError


def run(sample: Any, *steps: Any) -> Any:
    return preprocess(np.asarray(sample), TypeAdapter[tuple[Step, ...]](Steps).validate_python(list(steps)))


IMAGE = np.arange(24, dtype=np.uint8).reshape(4, 6, 1)


def test_every_step_of_the_section_can_be_computed() -> None:
    assert set(STEPS) == set(Step.model_fields)


def test_no_steps_leave_the_sample_as_it_is() -> None:
    assert run(IMAGE).dtype == np.uint8


def test_bilinear_has_half_pixel_centres() -> None:
    found = run(np.array([[[0.0], [4.0]]]), {"resize": {"height": 1, "width": 4}})
    assert (found.dtype, found.shape, found.ravel().tolist()) == (np.float32, (1, 4, 1), [0, 1, 3, 4])


def test_area_is_the_mean_of_what_a_pixel_covers() -> None:
    found = run(IMAGE, {"resize": {"height": 2, "width": 2, "method": "area"}})
    assert found[:, :, 0].tolist() == [[4, 7], [16, 19]]


def test_nearest_keeps_the_dtype() -> None:
    found = run(IMAGE, {"resize": {"height": 2, "width": 3, "method": "nearest"}})
    assert (found.dtype, found[:, :, 0].tolist()) == (np.uint8, [[7, 9, 11], [19, 21, 23]])


def test_crop_and_pad_keep_the_centre() -> None:
    assert run(IMAGE, {"crop": {"height": 2, "width": 2}})[:, :, 0].tolist() == [[8, 9], [14, 15]]
    padded = run(IMAGE[:1, :2], {"pad": {"height": 3, "width": 3, "value": 9.0}})
    assert (padded.dtype, padded[:, :, 0].tolist()) == (np.uint8, [[9, 9, 9], [0, 1, 9], [9, 9, 9]])


def test_scale_and_normalize_compute_in_float32() -> None:
    scaled = run(np.array([0, 255], np.uint8), {"scale": {"factor": 2 / 255, "offset": -1.0}})
    assert (scaled.dtype, scaled.tolist()) == (np.float32, [-1, 1])
    colour = np.array([[[10, 20, 30]]], np.uint8)
    assert run(colour, {"normalize": {"mean": [10.0, 10.0, 10.0], "std": 10.0}}).ravel().tolist() == [0, 1, 2]
    assert run(colour, {"normalize": {"mean": 0.0, "std": [1.0, 2.0, 3.0]}}).ravel().tolist() == [10, 10, 10]


def test_channels_are_turned_and_repeated() -> None:
    colour = np.array([[[1, 2, 3]]])
    assert run(colour, {"channel_order": {"order": "bgr"}}).ravel().tolist() == [3, 2, 1]
    assert run(colour, {"channel_order": {"order": "rgb"}}).ravel().tolist() == [1, 2, 3]
    assert run(IMAGE, "grayscale_to_rgb")[0, 1].tolist() == [1, 1, 1]


def test_reshape_gives_another_shape() -> None:
    assert run(IMAGE, {"reshape": {"shape": [12, 2]}})[11].tolist() == [22, 23]


@pytest.mark.parametrize(
    ("sample", "dtype", "expected"),
    [
        ([-200.0, -1.5, 0.5, 1.5, 126.7, 300.0], "int8", [-128, -2, 0, 2, 127, 127]),
        ([-1.0, 255.4], "uint8", [0, 255]),
        ([1e30, -1e30], "int64", [9223372036854774784, -9223372036854775808]),
        ([1e30, -1e30], "int32", [2147483647, -2147483648]),
        (np.array([200, 3], np.uint8), "int8", [127, 3]),
        (np.array([-5, 300], np.int16), "uint8", [0, 255]),
        (np.array([2**64 - 1], np.uint64), "int16", [32767]),
        (np.array([True, False]), "int8", [1, 0]),
        (np.array([3], np.uint8), "float32", [3.0]),
    ],
)
def test_cast_rounds_and_clips(sample: Any, dtype: str, expected: list[int]) -> None:
    found = run(sample, {"cast": {"dtype": dtype}})
    assert (str(found.dtype), found.tolist()) == (dtype, expected)


@pytest.mark.parametrize(
    ("sample", "step", "text"),
    [
        (
            np.zeros(5),
            {"resize": {"height": 2, "width": 2}},
            "(resize) needs an image (height, width, channels). Got shape (5,).",
        ),
        (np.zeros((28, 28)), {"resize": {"height": 2, "width": 2}}, "Put `- reshape: {shape: [28, 28, 1]}` before it."),
        (IMAGE, {"crop": {"height": 5, "width": 2}}, "(crop) needs an image of at least (5, 2). Got shape (4, 6, 1)."),
        (IMAGE, {"pad": {"height": 9, "width": 5}}, "(pad) needs an image of at most (9, 5). Got shape (4, 6, 1)."),
        (
            IMAGE,
            {"pad": {"height": 9, "width": 9, "value": -1.0}},
            "(pad) needs a dtype that holds -1. Got dtype uint8.",
        ),
        (
            IMAGE,
            {"normalize": {"mean": [1.0, 2.0, 3.0], "std": 1.0}},
            "(normalize) needs 3 channels, one for each number of mean or std. Got shape (4, 6, 1).",
        ),
        (IMAGE, {"channel_order": {"order": "bgr"}}, "(channel_order) needs an image of 3 channels"),
        (
            np.zeros((2, 2, 3)),
            "grayscale_to_rgb",
            "(grayscale_to_rgb) needs an image of 1 channel (height, width, 1). Got shape (2, 2, 3).",
        ),
        (
            IMAGE,
            {"reshape": {"shape": [5, 5]}},
            "(reshape) needs 25 values, as many as shape (5, 5) holds. Got shape (4, 6, 1).",
        ),
        ([np.nan], {"cast": {"dtype": "int8"}}, "(cast) needs finite numbers. Got NaN or infinity."),
        (["a"], {"cast": {"dtype": "int8"}}, "a sample must hold numbers. Got dtype <U1."),
    ],
)
def test_step_refuses_what_it_cannot_take(sample: Any, step: Any, text: str) -> None:
    with pytest.raises(StageError) as error:
        run(sample, step)
    assert text in str(error.value)


def test_refusal_counts_the_steps() -> None:
    with pytest.raises(StageError, match=r"preprocessing step 2 \(crop\)"):
        run(IMAGE, {"scale": {}}, {"crop": {"height": 9, "width": 9}})
