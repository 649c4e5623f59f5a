from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.runtime import inference, litert
from tflite_pipeline.runtime.delegates import count_delegated
from tflite_pipeline.runtime.trials import FEWEST, Trial, Variant, run_variant, try_kernels

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[2] / "data"
LONG = 60.0
PAIR = [Variant("builtin", 1, LONG), Variant("reference", 2, LONG)]


class Deadly:
    """Ends the process that reads it."""

    def __init__(self, how: Callable[..., Any], *args: Any) -> None:
        self.how = how, args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.how


def test_trials_come_from_another_process_as_from_this_one(features) -> None:
    job = inference.plan(DATA / "full_int8_int8_io.tflite", {"": features})
    for variant, trial in zip(PAIR, try_kernels(job, PAIR), strict=True):
        here = run_variant(job, variant)
        assert (trial.variant, trial.error, trial.count) == (variant, "", len(features))
        np.testing.assert_array_equal(trial.outputs[0], here.outputs[0])
        assert trial.milliseconds > 0
        assert (trial.delegated, trial.ops) == (0, 3)


def test_few_samples_do_when_there_is_no_time(features) -> None:
    path = DATA / "float32_batch4.tflite"
    trial = run_variant(inference.plan(path, {"": features}), Variant("xnnpack", 1, 0.0))
    assert trial.count == 8  # two inferences of the file's own batch are the first to give enough
    assert FEWEST == 5
    alone = run_variant(inference.plan(path, {"": features[:3]}), Variant("xnnpack", 1, LONG))
    np.testing.assert_array_equal(alone.outputs[0], trial.outputs[0][:3])


def test_kernels_that_refuse_the_file_are_told() -> None:
    job = inference.plan(DATA / "custom_op.tflite", {"": np.zeros((6, 2, 2), np.float32)})
    trials = list(try_kernels(job, PAIR))
    assert [trial.variant for trial in trials] == PAIR
    assert all("MatrixInverse" in trial.error and trial.count == 0 for trial in trials)


@pytest.mark.parametrize(
    ("how", "cause"),
    [((os.abort,), "was ended by SIGABRT"), ((os._exit, 7), "exited with code 7")],
    ids=["abort", "exit"],
)
def test_every_variant_is_told_when_its_process_ends(features, how, cause) -> None:
    job = inference.plan(DATA / "float32.tflite", {"": features})
    deadly = replace(job, arrays=(Deadly(*how),))
    expected = [Trial(variant, error=f"the process that ran them {cause}") for variant in PAIR]
    assert list(try_kernels(deadly, PAIR)) == expected


def test_the_last_words_of_a_process_are_told(features) -> None:
    job = replace(inference.plan(DATA / "float32.tflite", {"": features}), arrays=(Deadly(int, "no number"),))
    (trial,) = try_kernels(job, PAIR[:1])
    assert trial.error == (
        "the process that ran them exited with code 1: ValueError: invalid literal for int() with base 10: 'no number'"
    )


@pytest.mark.parametrize(
    ("name", "kernels", "counts"),
    [
        ("float_island", "xnnpack", (6, 7)),  # all but ATAN2
        ("float_island", "builtin", (0, 7)),
        ("full_int8_int8_io", "xnnpack", (2, 3)),  # not SOFTMAX
        ("int16x8", "xnnpack", (0, 5)),
    ],
)
def test_ops_that_xnnpack_takes_are_counted(name, kernels, counts) -> None:
    assert count_delegated(litert.open_interpreter(DATA / f"{name}.tflite", kernels=kernels)) == counts
