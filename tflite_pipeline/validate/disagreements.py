"""An output of two models on the same samples in; the samples on which they disagree out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.validate.metrics import class_scores
from tflite_pipeline.validate.outputs import Output, Side, classes_of, in_chunks

MOST = 12
"""Samples that are told: enough to see what kind they are."""
FIRST_VALUES = 4


def disagreements(output: Output, names: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Tell of samples that the quantized file gives another class than float does, where float is surest first.

    Each is `{row, label, reference: {class, score}, quantized: {class, score}}`: the row of the dataset, classes by
    their names, the label None where there is none. `score` is the output for that class, of a sigmoid its share.
    """
    sides: tuple[Side, Side] = ("reference", "quantized")
    classes = {side: output.predicted(side) for side in sides}
    differ = np.flatnonzero(classes["reference"] != classes["quantized"])
    if not differ.size:
        return ()
    if not differ.size:
        return ()
    labels = None if output.labels is None else classes_of(output, "top1")
    picked = output.picked(differ)
    scores = {side: _scores(picked, side, classes[side][differ]) for side in sides}
    order = np.argsort(-scores["reference"], kind="stable")[:MOST]

    def answer(side: Side, number: int) -> dict[str, Any]:
        return {"class": names[classes[side][differ[number]]], "score": float(scores[side][number])}

    return tuple(
        {
            "row": int(picked.rows[number]),
            "label": None if labels is None else names[labels[differ[number]]],
            **{side: answer(side, number) for side in sides},
        }
        for number in order.tolist()
    )


def distances(output: Output) -> tuple[dict[str, Any], ...]:
    """Tell of the samples on which an output that names no classes differs most, the largest difference first.

    Each is `{row, label: None, difference, reference: {values}, quantized: {values}}`: the mean absolute difference,
    which is more than 0, and the first values of the output.
    """
    sides = output.sides["reference"], output.sides["quantized"]
    apart = in_chunks(lambda left, right: np.abs(_flat(left) - _flat(right)).mean(axis=1), *sides)
    order = [number for number in np.argsort(-apart, kind="stable")[:MOST].tolist() if apart[number] > 0]
    if not order:
        return ()
    picked = output.picked(np.array(order, np.int64))
    first = {side: _flat(values)[:, :FIRST_VALUES] for side, values in picked.sides.items()}
    return tuple(
        {
            "row": int(picked.rows[place]),
            "label": None,
            "difference": float(apart[number]),
            "reference": {"values": first["reference"][place].tolist()},
            "quantized": {"values": first["quantized"][place].tolist()},
        }
        for place, number in enumerate(order)
    )


def _flat(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return values.reshape(len(values), -1).astype(np.float64)


def _scores(output: Output, side: Side, classes: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Give what a side puts out for these classes."""
    found = class_scores(output.sides[side], output.name)
    if found.shape[1] == 1:
        return np.where(classes == 1, found[:, 0], 1 - found[:, 0])
    return np.take_along_axis(found, classes[:, None], axis=1)[:, 0]
