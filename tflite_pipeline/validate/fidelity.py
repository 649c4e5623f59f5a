"""The outputs of the float file, of the fake-quantized network and of its `.tflite` in; what each step lost out.

Training can lose accuracy, and conversion can: the file's integer kernels need not compute what was trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.runtime.output_steps import output_steps
from tflite_pipeline.validate.intervals import share
from tflite_pipeline.validate.metrics import METRICS
from tflite_pipeline.validate.outputs import Output, chunks, sqnr
from tflite_pipeline.validate.scores import Score, Sides, agreement, score
from tflite_pipeline.validate.spec import MetricRow

_TRAINING: Sides = ("reference", "fake_quant")
_CONVERSION: Sides = ("fake_quant", "quantized")
_SLACK = 0.01
"""Steps by which float32 may miss a whole number of them: it has 24 bits for the 16 of an int16."""


def compare_training(
    path: Path, chosen: Sequence[tuple[MetricRow, Output]], outputs: Mapping[str, Output], confidence: float
) -> dict[str, Any]:
    """Give `Evaluation.fidelity` of the quantized file at `path`.

    `chosen` are the metrics that the recipe names, with their outputs. A warning is a metric that falls from the
    fake-quantized network to the file by more than from float to the network, with an interval above zero.
    Raises StageError where a metric cannot be computed.
    """
    ranked = {output.name for row, output in chosen if row.metric in ("top1", "top5")}
    steps = output_steps(path)
    if len(steps) == len(outputs) == 1:
        steps = dict(zip(outputs, steps.values(), strict=True))
    metrics = {row.key: _metric(row.metric, output, confidence) for row, output in chosen}
    return {
        "metrics": metrics,
        "outputs": {name: _output(output, steps[name], name in ranked, confidence) for name, output in outputs.items()},
        "warnings": [_warning(key, row) for key, row in metrics.items() if _loses_in_conversion(row)],
    }


def _metric(name: str, output: Output, confidence: float) -> dict[str, Any]:
    training = score(name, output, _TRAINING, confidence)
    conversion = score(name, output, _CONVERSION, confidence)
    return {
        "float": training.before,
        "fake_quant": training.after,
        "tflite": conversion.after,
        "training_drop": _drop(training),
        "conversion_drop": _drop(conversion),
        "samples": output.count,
        "higher_is_better": METRICS[name].higher_is_better,
    }


def _drop(found: Score) -> dict[str, Any]:
    return {"drop": found.drop, "interval": list(found.interval)}


def _output(output: Output, step: float | None, ranked: bool, confidence: float) -> dict[str, Any]:
    return {
        "agreement": agreement(output, _CONVERSION, confidence)[0] if ranked else None,
        **_in_steps(output, step, confidence),
        "lsb": step,
        "sqnr_db": sqnr(output, *_CONVERSION),
        "samples": output.count,
    }


def _in_steps(output: Output, step: float | None, confidence: float) -> dict[str, Any]:
    """Count the values whose difference is at most one and two steps, and give the largest difference in steps.

    The values of a sample are not independent, so the interval is that of so many samples, not of so many values.
    """
    if step is None:
        return {"within_1_lsb": None, "within_2_lsb": None, "interval": None, "largest_lsb": None}
    near, total, largest = np.zeros(2), 0, 0.0
    for left, right in chunks(*(output.sides[side] for side in _CONVERSION)):
        apart = np.abs(right.astype(np.float64) - left) / step
        near += [(apart <= limit + _SLACK).sum() for limit in (1, 2)]
        total += apart.size
        largest = max(largest, float(apart.max(initial=0.0)))
    one, two = (near / total).tolist()
    return {
        "within_1_lsb": one,
        "within_2_lsb": two,
        "interval": list(share(two * output.count, output.count, confidence)),
        "largest_lsb": round(largest, 2),
    }


def _loses_in_conversion(row: dict[str, Any]) -> bool:
    conversion = row["conversion_drop"]
    return bool(conversion["interval"][0] > 0 and conversion["drop"] > row["training_drop"]["drop"])


def _warning(key: str, row: dict[str, Any]) -> str:
    conversion, training = row["conversion_drop"], row["training_drop"]["drop"]
    low, high = conversion["interval"]
    return (
        f"{key} goes from {row['fake_quant']:.4g} in the fake-quantized network to {row['tflite']:.4g} in the file. "
        f"The conversion loses {conversion['drop']:.4g} (between {low:.4g} and {high:.4g} on {row['samples']} samples)"
        f", the training {training:.4g}: the file does not compute what was trained. Try another engine."
    )
