"""Outputs and labels in, scores out: one row a metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tflite_pipeline.errors import StageError

Array = npt.NDArray[Any]
Kind = Literal["proportion", "mean", "whole"]


@dataclass(frozen=True)
class Metric:
    """How to compute a score, and which way is better.

    A `proportion` (of 0 and 1) and a `mean` give a score a sample, `compute(outputs, truth)`; a `whole` one gives a
    score a row of weights, `compute(outputs, truth, weights)`, where weights (k, n) count how often a sample is taken.
    """

    compute: Callable[..., Array]
    higher_is_better: bool
    kind: Kind


def top1(outputs: Array, labels: Array) -> Array:
    """Score 1 where the highest output is the label's."""
    return (_rank(outputs, labels) < 1).astype(np.float64)


def top5(outputs: Array, labels: Array) -> Array:
    """Score 1 where the label's output is among the five highest."""
    return (_rank(outputs, labels) < 5).astype(np.float64)


def mae(outputs: Array, truth: Array) -> Array:
    """Give the mean absolute difference of each sample."""
    return np.asarray(np.abs(_flat(outputs) - _flat(truth)).mean(axis=1))


def mse(outputs: Array, truth: Array) -> Array:
    """Give the mean squared difference of each sample."""
    return np.asarray(np.square(_flat(outputs) - _flat(truth)).mean(axis=1))


def cosine(outputs: Array, truth: Array) -> Array:
    """Give the cosine of the angle between the two vectors of each sample; 1 for two zero vectors, 0 for one."""
    left, right = _flat(outputs), _flat(truth)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    both_zero = ~left.any(axis=1) & ~right.any(axis=1)
    return np.where(lengths > 0, (left * right).sum(axis=1) / np.where(lengths > 0, lengths, 1.0), both_zero)


def auc(outputs: Array, labels: Array, weights: Array) -> Array:
    """Give the area under the ROC curve, with more than two classes the mean of each class against the rest.

    NaN where a row of weights leaves a class empty or takes nothing else.
    """
    if outputs.shape[1] <= 2:
        return _auc_of_one(outputs[:, -1], labels == 1, weights)
    classes = range(outputs.shape[1])
    return np.asarray(np.mean([_auc_of_one(outputs[:, c], labels == c, weights) for c in classes], axis=0))


METRICS: dict[str, Metric] = {
    "top1": Metric(top1, higher_is_better=True, kind="proportion"),
    "top5": Metric(top5, higher_is_better=True, kind="proportion"),
    "auc": Metric(auc, higher_is_better=True, kind="whole"),
    "mae": Metric(mae, higher_is_better=False, kind="mean"),
    "mse": Metric(mse, higher_is_better=False, kind="mean"),
    "cosine": Metric(cosine, higher_is_better=True, kind="mean"),
}


def class_scores(outputs: Array, name: str) -> Array:
    """Shape outputs as (samples, classes); one column is a sigmoid. Raises StageError where they are no such thing."""
    wide = [size for size in outputs.shape[1:] if size != 1]
    if len(wide) > 1:
        raise StageError(
            f"output '{name}' must have one number a class for top1, top5 and auc. Got the shape {outputs.shape[1:]}.",
            "Use mae, mse or cosine for this output.",
        )
    return outputs.reshape(len(outputs), -1)


def class_labels(labels: Array, classes: int, name: str, rows: tuple[int, ...]) -> Array:
    """Give labels (whole numbers, or one-hot rows) as class numbers, int64.

    `classes` is how many outputs there are; one output, a sigmoid, has the classes 0 and 1.
    Raises StageError with the dataset's row and the value where a label is no class.
    """
    if classes > 1 and labels.ndim > 1 and labels.reshape(len(labels), -1).shape[1] == classes:
        return np.asarray(labels.reshape(len(labels), -1).argmax(axis=1))
    if labels.size != len(labels):
        raise StageError(
            f"the labels of output '{name}' must be one class number a sample, or one-hot rows of {classes}. "
            f"Got the shape {labels.shape[1:]}.",
            "Name the right label array in the dataset section.",
        )
    flat = labels.reshape(-1)
    highest = max(classes, 2) - 1
    bad = ~((flat >= 0) & (flat <= highest) & (flat == np.floor(flat)))
    if bad.any():
        first = int(bad.argmax())
        raise StageError(
            f"the labels of output '{name}' must be whole numbers from 0 to {highest}. "
            f"Got {flat[first]} on row {rows[first]} of the dataset, and {int(bad.sum())} such labels in all.",
            "Check the labels, and that the model has as many outputs as there are classes.",
        )
    return flat.astype(np.int64)


def predicted_classes(scores: Array) -> Array:
    """Give the class of the highest score; of one column, a sigmoid, whether it is above a half."""
    classes = scores[:, 0] > 0.5 if scores.shape[1] == 1 else scores.argmax(axis=1)
    return classes.astype(np.int64)


def confusion(labels: Array, predicted: Array, classes: int) -> tuple[list[list[int]], list[float | None]]:
    """Count true class against predicted class, and give each class's recall, None without samples.

    The counts are rows `[true, predicted, count]` of the pairs that occur: with 1000 classes nearly none does.
    """
    # scikit-learn's function of this name gives the same; importing it would take longer than all the rest.
    size = max(classes, 2)
    counts = np.bincount(labels * size + predicted, minlength=size * size).reshape(size, size)
    totals = counts.sum(axis=1)
    recall = [float(hit / total) if total else None for hit, total in zip(counts.diagonal(), totals, strict=True)]
    pairs = np.argwhere(counts)
    return [[int(true), int(taken), int(counts[true, taken])] for true, taken in pairs], recall


def _rank(scores: Array, labels: Array) -> Array:
    """Count the classes placed before the label; among equal scores the lower class is first, as in argmax."""
    if scores.shape[1] == 1:
        return np.asarray(predicted_classes(scores) != labels, np.int64)
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    before = np.arange(scores.shape[1])[None] < labels[:, None]
    return np.asarray(((scores > own) | ((scores == own) & before)).sum(axis=1))


def _flat(values: Array) -> Array:
    return values.reshape(len(values), -1).astype(np.float64)


def _auc_of_one(scores: Array, positive: Array, weights: Array) -> Array:
    """Share of the pairs of a positive and a negative sample that the score puts in order; ties count half."""
    steps, step_of = np.unique(scores, return_inverse=True)
    areas = []
    for counts in weights:
        ours = np.bincount(step_of, counts * positive, len(steps))
        others = np.bincount(step_of, counts * ~positive, len(steps))
        pairs = ours.sum() * others.sum()
        areas.append(ours @ (np.cumsum(others) - others / 2) / pairs if pairs else np.nan)
    return np.array(areas)
