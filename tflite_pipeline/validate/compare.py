"""The predictions of a quantized file and of its reference in; how far they are apart out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import Evaluation, Parity, Predictions, QuantizedModel, Reference, Samples
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.fingerprint import take_fingerprint
from tflite_pipeline.validate.audit import Asked, audit
from tflite_pipeline.validate.compression import check_compression, compression
from tflite_pipeline.validate.disagreements import disagreements, distances
from tflite_pipeline.validate.fidelity import compare_training
from tflite_pipeline.validate.metrics import METRICS, class_scores, confusion
from tflite_pipeline.validate.outputs import Output, Side, classes_of, listed, side_by_side, sqnr
from tflite_pipeline.validate.scores import Sides, agreement, score
from tflite_pipeline.validate.spec import MetricRow, Validation

USUAL_CONFIDENCE = 0.95
"""Of the intervals that are reported where the recipe judges by the value alone."""
_SIDES: Sides = ("reference", "quantized")


def compare(  # noqa: PLR0913 - two questions at once: is it what was asked, and is it as good as the reference
    spec: Validation,
    asked: Asked,
    parity: Parity,
    reference: Reference,
    model: QuantizedModel,
    predictions: tuple[Predictions, Predictions] | None,
    samples: Samples | None,
    fake_quant: Predictions | None,
    out: Path,
) -> Evaluation:
    """Compare a quantized file with its reference, and with what was asked for.

    `parity` is the reference's with its original model, which the evaluation takes over.
    `predictions` are the reference's and the quantized file's; without them there are no metrics. `reference` is what
    it was before any training on its graph. `fake_quant` are those of the network that was trained with fake
    quantization: with them the evaluation tells what the training lost, and what the conversion lost.
    Raises StageError where a metric cannot be computed.
    """
    del out
    inputs, outputs = litert.describe(model.path)
    confidence = spec.gates.confidence or USUAL_CONFIDENCE
    sides = _sides(predictions, fake_quant)
    found = side_by_side(sides, samples) if sides and samples else {}
    chosen = [(row, output_of(row, found)) for row in spec.metrics] if found else []
    ranked = {output.name: output for row, output in chosen if row.metric in ("top1", "top5")}
    confused = {name: _confusion(output, samples.classes if samples else ()) for name, output in ranked.items()}
    return Evaluation(
        metrics={row.key: _metric(row.metric, output, confidence) for row, output in chosen},
        agreement={output.name: _agreement(output, output.name in ranked, confidence) for output in found.values()},
        confusion=confused,
        parity=parity.found,
        audit=audit(model.path, asked, model.plan, reference.layers),
        inputs=inputs,
        outputs=outputs,
        compression=_compression(model.path, asked.kept, reference) if asked.kept else {},
        disagreements=_differing(found, ranked, confused),
        fingerprint=take_fingerprint(model.path).digest,
        fidelity=compare_training(model.path, chosen, found, confidence) if "fake_quant" in sides and found else {},
    )


def _differing(
    found: dict[str, Output], ranked: dict[str, Output], confused: dict[str, dict[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """Tell of samples that the first output with classes, or else the first one, answers otherwise than float."""
    for name, output in ranked.items():
        return disagreements(output, confused[name]["classes"])
    for output in found.values():
        return distances(output)
    return ()


def _compression(path: Path, kept: dict[str, Any], reference: Reference) -> dict[str, Any]:
    found = compression(path, reference.layers)
    return {**found, "findings": check_compression(found, kept)}


def _sides(
    predictions: tuple[Predictions, Predictions] | None, fake_quant: Predictions | None
) -> dict[Side, Predictions]:
    if predictions is None:
        return {}
    sides: dict[Side, Predictions] = {"reference": predictions[0], "quantized": predictions[1]}
    return sides | ({"fake_quant": fake_quant} if fake_quant else {})


def output_of(row: MetricRow, outputs: dict[str, Output]) -> Output:
    """Give the output that a metric is about. Raises StageError where that is not clear."""
    name = next(iter(outputs)) if row.output is None and len(outputs) == 1 else row.output
    if name not in outputs:
        raise StageError(
            f"the metric {row.metric} must be of one of the model's outputs, {listed(outputs)}. "
            f"Got {'no output' if name is None else repr(name)}.",
            f"Write {{metric: {row.metric}, output: {next(iter(outputs))}}} under validation.metrics.",
        )
    return outputs[name]


def _metric(name: str, output: Output, confidence: float) -> dict[str, Any]:
    found = score(name, output, _SIDES, confidence)
    return {
        "reference": found.before,
        "quantized": found.after,
        "drop": found.drop,
        "interval": list(found.interval),
        "samples": output.count,
        "higher_is_better": METRICS[name].higher_is_better,
    }


def _agreement(output: Output, ranked: bool, confidence: float) -> dict[str, Any]:
    """Compare the two files with each other; `sqnr_db` is None where they are equal."""
    row = {"value": None, "interval": None, "samples": output.count, "sqnr_db": sqnr(output, *_SIDES)}
    if not ranked:
        return row
    value, interval = agreement(output, _SIDES, confidence)
    return {**row, "value": value, "interval": list(interval)}


def _confusion(output: Output, names: tuple[str, ...]) -> dict[str, Any]:
    labels = classes_of(output, "top1")
    classes = class_scores(output.sides["reference"], output.name).shape[1]
    tables = {side: confusion(labels, output.predicted(side), classes) for side in _SIDES}
    size = max(classes, 2)
    return {
        "classes": list(names) if len(names) == size else [str(number) for number in range(size)],
        **{side: table for side, (table, _) in tables.items()},
        "recall": {side: recall for side, (_, recall) in tables.items()},
    }
