"""Two models' outputs on the same samples in; a metric of each, and the interval of what lies between them, out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.errors import StageError
from tflite_pipeline.validate.intervals import Interval, mean_drop, proportion_drop, share, whole_drop
from tflite_pipeline.validate.metrics import METRICS, class_scores
from tflite_pipeline.validate.outputs import Output, Side, in_chunks, truth_of
from tflite_pipeline.validate.spec import NEED_LABELS

Array = npt.NDArray[Any]
Sides = tuple[Side, Side]


@dataclass(frozen=True)
class Score:
    """A metric of two models; `drop` is positive where the second is worse, `interval` holds the true drop."""

    before: float
    after: float
    drop: float
    interval: Interval


def score(metric: str, output: Output, sides: Sides, confidence: float) -> Score:
    """Compute a metric for two sides of an output. Raises StageError where it cannot be computed."""
    compute = _whole if METRICS[metric].kind == "whole" else _by_sample
    before, after, interval = compute(metric, output, sides, confidence)
    drop = before - after if METRICS[metric].higher_is_better else after - before
    return Score(before, after, drop, interval)


def value(metric: str, output: Output, side: Side) -> float:
    """Compute a metric for one side; NaN where it needs samples of every class and has not. May raise StageError."""
    truth, array = truth_of(output, metric), _array(metric, output, side)
    if METRICS[metric].kind == "whole":
        return float(METRICS[metric].compute(array, truth, np.ones((1, len(truth))))[0])
    return float(in_chunks(METRICS[metric].compute, array, truth).mean())


def agreement(output: Output, sides: Sides, confidence: float) -> tuple[float, Interval]:
    """Give the share of the samples on which two sides name the same class, and its interval."""
    hits = int((output.predicted(sides[0]) == output.predicted(sides[1])).sum())
    return hits / output.count, share(hits, output.count, confidence)


def _array(metric: str, output: Output, side: Side) -> Array:
    array = output.sides[side]
    return class_scores(array, output.name) if metric in NEED_LABELS else array


def _by_sample(name: str, output: Output, sides: Sides, confidence: float) -> tuple[float, float, Interval]:
    metric, truth = METRICS[name], truth_of(output, name)
    before, after = (in_chunks(metric.compute, _array(name, output, side), truth) for side in sides)
    if metric.kind == "proportion":
        interval = proportion_drop(before, after, confidence)
    else:
        if len(before) < 2:
            raise StageError(
                f"the metric {name} must have at least 2 evaluation samples for an interval. Got {len(before)}.",
                "Raise dataset.evaluation.samples.",
            )
        interval = mean_drop(before - after if metric.higher_is_better else after - before, confidence)
    return float(before.mean()), float(after.mean()), interval


def _whole(name: str, output: Output, sides: Sides, confidence: float) -> tuple[float, float, Interval]:
    compute, truth = METRICS[name].compute, truth_of(output, name)
    left, right = (_array(name, output, side) for side in sides)
    ones = np.ones((1, len(truth)))
    before, after = float(compute(left, truth, ones)[0]), float(compute(right, truth, ones)[0])
    interval = whole_drop(
        lambda weights: compute(left, truth, weights) - compute(right, truth, weights), len(truth), confidence
    )
    if math.isnan(before) or interval is None:
        counts = np.bincount(truth, minlength=max(left.shape[1], 2)).tolist()
        raise StageError(
            f"the metric {name} of output '{output.name}' must have samples of every class. Got {counts} by class.",
            "Evaluate on more samples, or take another metric.",
        )
    return before, after, interval
