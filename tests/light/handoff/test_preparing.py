from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter

from tflite_pipeline.dataset.preprocessing import preprocess
from tflite_pipeline.dataset.steps import Steps
from tflite_pipeline.handoff.preparing import fold_steps, source_index, tell_steps

SCALE = {"scale": {"factor": 0.5, "offset": -3.0}}
BY_CHANNEL = {"normalize": {"mean": [1.0, 2.0, 3.0], "std": [2.0, 4.0, 5.0]}}
NORMALIZE = {"normalize": {"mean": 3.0, "std": 0.25}}
BGR = {"channel_order": {"order": "bgr"}}
GRAY = {"grayscale_to_rgb": {}}
CASES = {
    "scale": [SCALE],
    "normalize": [NORMALIZE],
    "by_channel": [BY_CHANNEL],
    "mirrored": [BY_CHANNEL, BGR],
    "mirrored_before": [BGR, BY_CHANNEL],
    "mirrored_twice": [BGR, SCALE, BGR],
    "gray": [GRAY],
    "gray_between": [SCALE, GRAY, BY_CHANNEL],
    "gray_mirrored": [GRAY, BY_CHANNEL, BGR, NORMALIZE],
    "to_float": [{"cast": {"dtype": "float32"}}, SCALE],
}


@pytest.mark.parametrize("name", CASES)
def test_folded_steps_compute_what_the_steps_compute(name):
    steps = CASES[name]
    channels = 1 if GRAY in steps else 3
    image = np.random.default_rng(0).integers(0, 9, (2, 5, channels)).astype(np.float32)
    wanted = preprocess(image, TypeAdapter(Steps).validate_python(steps)).reshape(-1)
    fold = fold_steps(steps, 3)
    assert fold is not None
    assert (fold.first, fold.last) == (1, len(steps))
    places = [eval(source_index(fold, str(i), "{} // 3")) for i in range(wanted.size)]
    factor, offset = (np.resize(values, wanted.size) for values in (fold.factor, fold.offset))
    np.testing.assert_allclose(image.reshape(-1)[places] * factor + offset, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "first"),
    [
        ([{"resize": {"height": 2, "width": 2, "method": "area"}}, GRAY, SCALE], 2),
        ([SCALE, {"cast": {"dtype": "uint8"}}, SCALE], 3),
        ([SCALE, {"pad": {"height": 9, "width": 9, "value": 0.0}}, NORMALIZE], 3),
        ([SCALE, {"reshape": {"shape": [12]}}, SCALE], 3),
    ],
)
def test_what_needs_neighbours_is_left_to_the_app(steps, first):
    fold = fold_steps(steps, 3)
    assert fold is not None
    assert fold.first == first


def test_steps_that_change_nothing_are_no_code():
    assert fold_steps([], 3) is None
    assert fold_steps([{"channel_order": {"order": "rgb"}}, {"cast": {"dtype": "float32"}}], 3) is None
    assert fold_steps([SCALE, {"crop": {"height": 1, "width": 1}}], 3) is None


def test_steps_are_told_in_words():
    assert tell_steps([SCALE, BGR, BY_CHANNEL]) == [
        "x * 0.5 - 3.0",
        "channels in the order bgr",
        "(x - [1.0, 2.0, 3.0]) / [2.0, 4.0, 5.0]",
    ]
