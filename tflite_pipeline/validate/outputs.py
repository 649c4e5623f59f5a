"""Predictions of several models on the same samples in; their outputs side by side, with the labels, out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Predictions, Samples
from tflite_pipeline.errors import StageError
from tflite_pipeline.validate.metrics import class_labels, class_scores, predicted_classes
from tflite_pipeline.validate.spec import NEED_LABELS

Array = npt.NDArray[Any]

Side = Literal["reference", "quantized", "fake_quant"]
"""Who computed: the float file, the file that is validated, the network that was trained with fake quantization."""

_CALLED: dict[Side, tuple[str, str]] = {
    "reference": ("float outputs", "the reference"),
    "quantized": ("quantized outputs", "the quantized file"),
    "fake_quant": ("fake-quantized outputs", "the fake-quantized network"),
}
_CHUNK_BYTES = 1 << 26


@dataclass(frozen=True)
class Output:
    """One output of all models on the same samples; `labels` as the dataset gives them."""

    name: str
    sides: dict[Side, Array]
    labels: Array | None
    rows: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.sides["reference"])

    def picked(self, rows: Array) -> Output:
        """Give some rows of all that there is, in memory."""
        sides = {side: np.asarray(array[rows]) for side, array in self.sides.items()}
        labels = None if self.labels is None else np.asarray(self.labels[rows])
        return Output(self.name, sides, labels, tuple(self.rows[row] for row in rows))

    def predicted(self, side: Side) -> Array:
        """Give the class that a side names for each sample. Raises StageError where the output is no class."""
        return in_chunks(predicted_classes, class_scores(self.sides[side], self.name))


def side_by_side(predictions: Mapping[Side, Predictions], samples: Samples) -> dict[str, Output]:
    """Match the outputs by name, which are the reference's; a single one needs none.

    Raises StageError where outputs or labels do not belong together.
    """
    names = list(predictions["reference"].outputs)
    files = {side: _named(side, prediction.outputs, names) for side, prediction in predictions.items()}
    labels = samples.labels
    if len(names) == len(labels) == 1:
        labels = dict(zip(names, labels.values(), strict=True))
    if unknown := sorted(set(labels) - set(names)):
        raise StageError(
            f"labels must be named as the model's outputs, {listed(names)}. Got {listed(unknown)}.",
            "Rename the label arrays in the dataset section.",
        )
    found = {}
    for name in names:
        sides = {side: np.load(files[side][name], mmap_mode="r") for side in files}
        label = np.load(labels[name], mmap_mode="r") if name in labels else None
        found[name] = Output(name, sides, label, samples.rows)
        _refuse_misfits(found[name])
    return found


def classes_of(output: Output, metric: str) -> Array:
    """Give the labels as class numbers. Raises StageError where they are none."""
    if output.labels is None:
        raise StageError(
            f"the metric {metric} must have labels for the output '{output.name}'. Got none.",
            "Name the label array in the dataset section, or take mae, mse or cosine.",
        )
    classes = class_scores(output.sides["reference"], output.name).shape[1]
    return class_labels(np.asarray(output.labels), classes, output.name, output.rows)


def truth_of(output: Output, metric: str) -> Array:
    """Give what the outputs are compared with: the labels, or the float outputs where there are class numbers only."""
    if metric in NEED_LABELS:
        return classes_of(output, metric)
    reference, labels = output.sides["reference"], output.labels
    size = reference[:1].size
    if labels is None or (labels[:1].size == 1 < size):
        return reference
    if labels[:1].size != size:
        raise StageError(
            f"the labels of output '{output.name}' must have its shape, {reference.shape[1:]}, for {metric}. "
            f"Got {labels.shape[1:]}.",
            "Name the right label array in the dataset section.",
        )
    return labels


def sqnr(output: Output, before: Side, after: Side) -> float | None:
    """Give the power of the one side's outputs over that of the difference, in dB; None where they are equal."""
    signal = noise = 0.0
    for left, right in chunks(output.sides[before], output.sides[after]):
        wide = left.astype(np.float64)
        signal += float(np.square(wide).sum())
        noise += float(np.square(wide - right).sum())
    return 10 * math.log10(signal / noise) if signal and noise else None


def in_chunks(function: Callable[..., Array], *arrays: Array) -> Array:
    """Apply a function to a few samples at a time, since the arrays may be larger than memory."""
    return np.concatenate([function(*parts) for parts in chunks(*arrays)])


def chunks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Give a few samples of all arrays at a time."""
    step = max(1, _CHUNK_BYTES // max(1, arrays[0][:1].nbytes))
    for start in range(0, len(arrays[0]), step):
        yield tuple(np.asarray(array[start : start + step]) for array in arrays)


def listed(names: Any) -> str:
    """Write names for a message."""
    return ", ".join(f"'{name}'" for name in names)


def _named(side: Side, files: Mapping[str, Path], names: list[str]) -> Mapping[str, Path]:
    if len(files) == len(names) == 1:
        return dict(zip(names, files.values(), strict=True))
    if set(files) != set(names):
        raise StageError(
            f"the outputs of {_CALLED[side][1]} must be the reference's, {listed(names)}. Got {listed(files)}.",
            "Quantize the reference again.",
        )
    return files


def _refuse_misfits(output: Output) -> None:
    arrays = [*output.sides.values(), *([] if output.labels is None else [output.labels])]
    shapes = {array.shape for array in output.sides.values()}
    if len(shapes) > 1 or len({len(array) for array in arrays}) > 1:
        got = ", ".join(str(array.shape) for array in arrays)
        called = ", ".join(_CALLED[side][0] for side in output.sides)
        raise StageError(f"{called} and labels of '{output.name}' must match. Got the shapes {got}.")
