"""A gate that did not pass in; what to do about it first, out."""

from __future__ import annotations

from typing import Any

UNDECIDED = "give more evaluation samples (dataset.evaluation.samples), or a wider gate"
ANOTHER_SCHEME = "try another scheme (--set quantization.scheme=…), or more calibration samples"
ANOTHER_ENGINE = (
    "the file does not compute what was trained, see training.fidelity in report.json; try another engine "
    "(--set quantization.engine=…)"
)
ADVICE = {
    "scheme": "see audit in report.json for what is not as asked; where ops stayed float, list them in "
    "quantization.allow_float or try another scheme",
    "io": "see io in report.json; try quantization.io: float32",
    "parity": "the float file is wrong, whatever the scheme: convert the original model (model.source: keras_file)",
    "max_drop": ANOTHER_SCHEME,
    "max_training_drop": "train for more epochs, with a lower learning_rate, or with teacher: float",
    "max_conversion_drop": ANOTHER_ENGINE,
    "min_fidelity": ANOTHER_ENGINE,
    "min": "compare with the float figure: where that is low too, the model or the preprocessing is the cause",
    "min_agreement": ANOTHER_SCHEME,
    "max_size": "try a scheme with smaller weights, or a smaller model",
    "max_latency_ms": "measure on the device before you change the model: this is the host's figure",
    "target": "see targets in report.json",
    "compatible_with": "tflite-pipeline diff tells what changed; with quantization.io: float32 scales stay out of it",
}
"""What to do first, by the gate that did not pass."""


def advice_on(gate: dict[str, Any]) -> str:
    """Tell what to do about a gate; nothing where it passed."""
    if gate["verdict"] == "passed":
        return ""
    return UNDECIDED if gate["verdict"] == "undecided" else ADVICE[gate["name"].split(":")[0]]
