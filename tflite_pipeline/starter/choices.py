"""What was seen in; scheme, io, metrics and gates to begin with, each with its reason, out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tflite_pipeline.starter.looks import DataLook, ModelLook, Preprocessing

DROPS = ((2000, 0.01), (500, 0.02), (0, 0.05))
"""By the least number of evaluation samples: a drop that so many can prove where a few percent of answers change."""
SHARE_OF_SPREAD = 0.05
LEAST_TOP1 = 0.5
"""So much must a classifier have right in the first recipe, however little it had."""


@dataclass(frozen=True)
class Chosen:
    """A value of the recipe, and a comment on it."""

    value: Any
    why: str


@dataclass(frozen=True)
class Choices:
    """The sections `quantization` and `validation`; `task` says what the model is taken for."""

    task: str
    scheme: Chosen
    io: Chosen
    metrics: Chosen
    gates: Chosen


def choose(model: ModelLook, data: DataLook | None, preprocessing: dict[str, Preprocessing]) -> Choices:
    """Choose for the data that there are; without any, what needs none."""
    if data is None:
        return Choices(
            task(model),
            Chosen(
                "dynamic_int8", "int8 weights, float activations: needs no data. With data: full_int8, all integers"
            ),
            Chosen("float32", "with full_int8: int8, or uint8 or float32"),
            Chosen([], ""),
            Chosen({}, ""),
        )
    classifies = data.truth == "classes" or model.classifies
    io = Chosen("int8", "dtype at the border of the file; also uint8, or float32 where the app should not know scales")
    if not classifies:
        io = Chosen("float32", "dtype at the border of the file; int8 would round the outputs to 256 steps")
    metrics, gates = _validation(model, data, preprocessing)
    scheme = Chosen("full_int8", "weights and activations in int8. Others: tflite-pipeline list schemes; all: sweep")
    return Choices(task(model, data), scheme, io, metrics, gates)


def task(model: ModelLook, data: DataLook | None = None) -> str:
    """Say in words what the model is taken for."""
    only = model.outputs[0]
    if len(model.outputs) > 1:
        return f"{len(model.outputs)} outputs"
    if model.classifies or (data is not None and data.truth == "classes"):
        classes = max(2, only.scores or 0)
        ending = f" ({only.ending})" if only.ending in ("softmax", "sigmoid") else ""
        return f"classification, {classes} classes{ending}"
    if model.rebuilds:
        return "an output like the input, as of an autoencoder"
    return "numbers (regression)" if only.scores else "an output of many dimensions"


def _validation(model: ModelLook, data: DataLook, preprocessing: dict[str, Preprocessing]) -> tuple[Chosen, Chosen]:
    if len(model.outputs) > 1:
        rows = [{"metric": "cosine", "output": port.name} for port in model.outputs]
        drops = {f"cosine:{port.name}": 0.01 for port in model.outputs}
        what = "labels" if data.truth == "values" else "the float outputs, as there are no labels"
        return Chosen(rows, f"how near each output is to {what}"), Chosen({"max_drop": drops}, "CHECK: your limit")
    if data.truth == "classes":
        drop = next(drop for least, drop in DROPS if data.counts[1] >= least)
        why = f"points that quantization may cost, proven on {data.counts[1]} samples"
        if drop != DROPS[0][1]:
            why += f"; for {DROPS[0][1]:g} give about {DROPS[0][0]} or more, else it is undecided"
        metrics = Chosen(["top1"], "share of right answers; also top5, auc")
        return metrics, _class_gates(preprocessing, drop, why)
    against = "the labels" if data.truth == "values" else "the outputs of the float model, as there are no labels"
    spread = next((row.spread for row in preprocessing.values() if row.spread), None) or data.spread
    metrics = Chosen(["mae"], f"mean absolute difference from {against}")
    if not spread:
        return metrics, Chosen({}, "FILL IN a limit, e.g. gates: {max_drop: {mae: 0.01}}")
    limit = _one_figure(SHARE_OF_SPREAD * spread)
    why = f"CHECK: your limit. This is {SHARE_OF_SPREAD:.0%} of how much the outputs vary"
    return metrics, Chosen({"max_drop": {"mae": limit}}, why)


def _class_gates(preprocessing: dict[str, Preprocessing], drop: float, why: str) -> Chosen:
    """Bound the loss, and where the float model was run what is right at all: a bad model loses nothing."""
    gates: dict[str, Any] = {"max_drop": {"top1": drop}}
    seen = [way.score for row in preprocessing.values() for way in row.tried if way.steps == row.steps]
    if seen and seen[0] is not None:
        least = max(LEAST_TOP1, math.floor(seen[0] * 9) / 10)
        gates["min"] = {"top1": least}
        right = "fails until the samples are prepared as in training" if seen[0] < least else "CHECK: what you need"
        why = f"max_drop: {why}. min: {right}, the float model had {seen[0]:.1%}"
    return Chosen(gates, why)


def _one_figure(value: float) -> float:
    return float(f"{value:.1g}") if math.isfinite(value) and value > 0 else 0.01
