"""The predictions of a quantized file and of its reference in; how far they are apart out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Evaluation, Parity, Predictions, QuantizedModel, Reference, Samples
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert
from tflite_pipeline.validate.audit import Asked, audit
from tflite_pipeline.validate.intervals import Interval, mean_drop, proportion_drop, share, whole_drop
from tflite_pipeline.validate.metrics import METRICS, class_labels, class_scores, confusion, predicted_classes
from tflite_pipeline.validate.spec import NEED_LABELS, MetricRow, Validation

Array = npt.NDArray[Any]

USUAL_CONFIDENCE = 0.95
"""Of the intervals that are reported where the recipe judges by the value alone."""
_CHUNK_BYTES = 1 << 26


@dataclass(frozen=True)
class _Output:
    """One output of both files on the same samples; `labels` as the dataset gives them."""

    name: str
    reference: Array
    quantized: Array
    labels: Array | None
    rows: tuple[int, ...]


def compare(  # noqa: PLR0913 - two questions at once: is it what was asked, and is it as good as the reference
    spec: Validation,
    asked: Asked,
    parity: Parity,
    reference: Reference,
    model: QuantizedModel,
    predictions: tuple[Predictions, Predictions] | None,
    samples: Samples | None,
    out: Path,
) -> Evaluation:
    """Compare a quantized file with its reference, and with what was asked for.

    `parity` is the reference's with its original model, which the evaluation takes over.
    `predictions` are the reference's and the quantized file's; without them there are no metrics.
    Raises StageError where a metric cannot be computed.
    """
    del out
    inputs, outputs = litert.describe(model.path)
    confidence = spec.gates.confidence or USUAL_CONFIDENCE
    found = _outputs(predictions, samples) if predictions and samples else {}
    chosen = [(row, _chosen(row, found)) for row in spec.metrics] if found else []
    ranked = {output.name: output for row, output in chosen if row.metric in ("top1", "top5")}
    return Evaluation(
        metrics={row.key: _score(row.metric, output, confidence) for row, output in chosen},
        agreement={output.name: _agreement(output, output.name in ranked, confidence) for output in found.values()},
        confusion={name: _confusion(output, samples.classes if samples else ()) for name, output in ranked.items()},
        parity=parity.found,
        audit=audit(model.path, asked, model.plan, reference.layers),
        inputs=inputs,
        outputs=outputs,
    )


def _outputs(predictions: tuple[Predictions, Predictions], samples: Samples) -> dict[str, _Output]:
    """Pair the outputs by name; a single one needs none."""
    before, after = (prediction.outputs for prediction in predictions)
    if len(before) == len(after) == 1:
        after = dict(zip(before, after.values(), strict=True))
    if set(before) != set(after):
        raise StageError(
            f"the outputs of the quantized file must be the reference's, {_listed(before)}. Got {_listed(after)}.",
            "Quantize the reference again.",
        )
    labels = samples.labels
    if len(before) == len(labels) == 1:
        labels = dict(zip(before, labels.values(), strict=True))
    if unknown := sorted(set(labels) - set(before)):
        raise StageError(
            f"labels must be named as the model's outputs, {_listed(before)}. Got {_listed(unknown)}.",
            "Rename the label arrays in the dataset section.",
        )
    return {name: _output(name, before[name], after[name], labels.get(name), samples.rows) for name in before}


def _output(name: str, reference: Path, quantized: Path, labels: Path | None, rows: tuple[int, ...]) -> _Output:
    arrays = [np.load(path, mmap_mode="r") for path in (reference, quantized, labels) if path]
    if arrays[0].shape != arrays[1].shape or len({len(array) for array in arrays}) > 1:
        got = ", ".join(str(array.shape) for array in arrays)
        raise StageError(f"float outputs, quantized outputs and labels of '{name}' must match. Got the shapes {got}.")
    return _Output(name, arrays[0], arrays[1], arrays[2] if labels else None, rows)


def _chosen(row: MetricRow, outputs: dict[str, _Output]) -> _Output:
    name = next(iter(outputs)) if row.output is None and len(outputs) == 1 else row.output
    if name not in outputs:
        raise StageError(
            f"the metric {row.metric} must be of one of the model's outputs, {_listed(outputs)}. "
            f"Got {'no output' if name is None else repr(name)}.",
            f"Write {{metric: {row.metric}, output: {next(iter(outputs))}}} under validation.metrics.",
        )
    return outputs[name]


def _score(name: str, output: _Output, confidence: float) -> dict[str, Any]:
    metric = METRICS[name]
    truth = _truth(name, output)
    if metric.kind == "whole":
        before, after, interval = _whole(name, output, truth, confidence)
    else:
        before, after, interval = _by_sample(name, output, truth, confidence)
    return {
        "reference": before,
        "quantized": after,
        "drop": before - after if metric.higher_is_better else after - before,
        "interval": list(interval),
        "samples": len(output.reference),
        "higher_is_better": metric.higher_is_better,
    }


def _by_sample(name: str, output: _Output, truth: Array, confidence: float) -> tuple[float, float, Interval]:
    metric = METRICS[name]
    arrays = _both(output)
    if name in NEED_LABELS:
        arrays = class_scores(arrays[0], output.name), class_scores(arrays[1], output.name)
    before, after = (_in_chunks(metric.compute, array, truth) for array in arrays)
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


def _whole(name: str, output: _Output, truth: Array, confidence: float) -> tuple[float, float, Interval]:
    compute = METRICS[name].compute
    left, right = class_scores(output.reference, output.name), class_scores(output.quantized, output.name)
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


def _truth(name: str, output: _Output) -> Array:
    """Give what the outputs are compared with: the labels, or the float outputs where there are class numbers only."""
    if name in NEED_LABELS:
        return _classes(name, output)
    size = output.reference[:1].size
    if output.labels is None or (output.labels[:1].size == 1 < size):
        return output.reference
    if output.labels[:1].size != size:
        raise StageError(
            f"the labels of output '{output.name}' must have its shape, {output.reference.shape[1:]}, for {name}. "
            f"Got {output.labels.shape[1:]}.",
            "Name the right label array in the dataset section.",
        )
    return output.labels


def _classes(name: str, output: _Output) -> Array:
    if output.labels is None:
        raise StageError(
            f"the metric {name} must have labels for the output '{output.name}'. Got none.",
            "Name the label array in the dataset section, or take mae, mse or cosine.",
        )
    classes = class_scores(output.reference, output.name).shape[1]
    return class_labels(np.asarray(output.labels), classes, output.name, output.rows)


def _agreement(output: _Output, ranked: bool, confidence: float) -> dict[str, Any]:
    """Compare the two files with each other; `sqnr_db` is None where they are equal."""
    count = len(output.reference)
    row = {"value": None, "interval": None, "samples": count, "sqnr_db": _sqnr(output)}
    if not ranked:
        return row
    named = [_in_chunks(predicted_classes, class_scores(array, output.name)) for array in _both(output)]
    hits = int((named[0] == named[1]).sum())
    return {**row, "value": hits / count, "interval": list(share(hits, count, confidence))}


def _confusion(output: _Output, names: tuple[str, ...]) -> dict[str, Any]:
    labels = _classes("top1", output)
    classes = class_scores(output.reference, output.name).shape[1]
    tables = {}
    for side, array in zip(("reference", "quantized"), _both(output), strict=True):
        predicted = _in_chunks(predicted_classes, class_scores(array, output.name))
        tables[side] = confusion(labels, predicted, classes)
    size = max(classes, 2)
    return {
        "classes": list(names) if len(names) == size else [str(number) for number in range(size)],
        **{side: table for side, (table, _) in tables.items()},
        "recall": {side: recall for side, (_, recall) in tables.items()},
    }


def _both(output: _Output) -> tuple[Array, Array]:
    return output.reference, output.quantized


def _sqnr(output: _Output) -> float | None:
    signal = noise = 0.0
    for left, right in _chunks(output.reference, output.quantized):
        wide = left.astype(np.float64)
        signal += float(np.square(wide).sum())
        noise += float(np.square(wide - right).sum())
    return 10 * math.log10(signal / noise) if signal and noise else None


def _in_chunks(function: Callable[..., Array], *arrays: Array) -> Array:
    return np.concatenate([function(*parts) for parts in _chunks(*arrays)])


def _chunks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    step = max(1, _CHUNK_BYTES // max(1, arrays[0][:1].nbytes))
    for start in range(0, len(arrays[0]), step):
        yield tuple(np.asarray(array[start : start + step]) for array in arrays)


def _listed(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names)
