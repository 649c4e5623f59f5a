"""All that a run found out, as the one dict that `report.json`, the page and the terminal show."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import Evaluation, Kernels, Profile, QuantizedModel, Reference, Samples, to_json

FILE_NAMES = {"passed": "model.tflite", "failed": "model.FAILED.tflite", "undecided": "model.UNDECIDED.tflite"}
"""A file that did not pass its gates never gets the good name."""

LATENCY_NOTE = "measured on the host that ran the recipe, which says little about a phone"

NO_KERNELS: dict[str, Any] = {"samples": 0, "ops": 0, "rows": [], "spread": {}, "tested": [], "findings": []}
"""Without evaluation samples."""

NO_LAYERS: dict[str, Any] = {"samples": 0, "rows": [], "note": "Not measured."}


@dataclass(frozen=True)
class Facts:
    """What the stages handed over; `samples` and `profiles` are by role and by file.

    `training` is empty, or `{steps: [{method, epochs, best_epoch, history}], kept}`: `history` has a row of figures an
    epoch, `best_epoch` is the number of the row whose weights were kept. `recovery` is empty, or `{asked, used, left:
    [texts], tried: [{passes, sqnr_db, fingerprint}], judged_on: samples}`, the last two where several were tried.
    `layers` is `{samples, rows, note}`: the errors of each op, with cause and remedy, or a note why there are none.
    """

    recipe: dict[str, Any]
    verdict: str
    gates: list[dict[str, Any]]
    reference: Reference
    quantized: QuantizedModel
    evaluation: Evaluation
    profiles: dict[str, Profile]
    samples: dict[str, Samples | None]
    calibration: dict[str, Any]
    targets: list[dict[str, Any]]
    history: tuple[dict[str, float], ...]
    seconds: dict[str, float]
    cached: list[str]
    versions: dict[str, str]
    training: dict[str, Any] = field(default_factory=dict)
    recovery: dict[str, Any] = field(default_factory=dict)
    kernels: Kernels | None = None
    layers: dict[str, Any] = field(default_factory=lambda: dict(NO_LAYERS))


def build_report(facts: Facts) -> dict[str, Any]:
    """Give the report; plain JSON values only."""
    audit, quantized = facts.evaluation.audit, facts.quantized
    report = {
        "report": 1,
        "passed": facts.verdict == "passed",
        "verdict": facts.verdict,
        "recipe": facts.recipe,
        "model": {
            "file": FILE_NAMES[facts.verdict],
            "sha256": quantized.sha256,
            "fingerprint": facts.evaluation.fingerprint,
            "bytes": quantized.path.stat().st_size,
        },
        "reference": {"bytes": facts.reference.path.stat().st_size, "origin": facts.reference.origin},
        "scheme": {
            "asked": quantized.scheme,
            "found": audit["found"],
            "engine": quantized.engine.name,
            "why": quantized.engine.why,
        },
        "io": {"asked": quantized.io, "inputs": facts.evaluation.inputs, "outputs": facts.evaluation.outputs},
        "metrics": facts.evaluation.metrics,
        "agreement": facts.evaluation.agreement,
        "confusion": facts.evaluation.confusion,
        "disagreements": facts.evaluation.disagreements,
        "layers": facts.layers,
        "parity": facts.evaluation.parity,
        "gates": facts.gates,
        "audit": audit,
        "targets": facts.targets,
        "kernels": facts.kernels.found if facts.kernels else NO_KERNELS,
        "latency": _latency(facts.profiles),
        "memory": {f"{label}_bytes": profile.peak_memory for label, profile in facts.profiles.items()},
        "calibration": facts.calibration,
        "samples": {role: _samples(samples) for role, samples in facts.samples.items() if samples},
        "history": facts.history,
        "training": _training(facts),
        "recovery": facts.recovery,
        "seconds": {stage: round(seconds, 3) for stage, seconds in facts.seconds.items()},
        "cached": facts.cached,
        "versions": facts.versions,
    }
    plain: dict[str, Any] = to_json(report)
    return plain


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write the report; NaN and infinity, which JSON has not, are refused."""
    path.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")


def _training(facts: Facts) -> dict[str, Any]:
    return {
        "steps": facts.training.get("steps", []),
        "kept": facts.training.get("kept", {}),
        "fidelity": facts.evaluation.fidelity,
        "compression": facts.evaluation.compression or None,
    }


def _latency(profiles: dict[str, Profile]) -> dict[str, Any]:
    reference, quantized = profiles["reference"], profiles["quantized"]
    return {
        "reference_ms": reference.latency_ms["p50"],
        "quantized_ms": quantized.latency_ms["p50"],
        "reference": reference.latency_ms,
        "quantized": quantized.latency_ms,
        "threads": quantized.threads,
        "warmup": quantized.warmup,
        "runs": quantized.runs,
        "host": quantized.host,
        "note": LATENCY_NOTE,
    }


def _samples(samples: Samples) -> dict[str, Any]:
    return {
        "split": samples.split,
        "count": samples.count,
        "passed_over": samples.passed_over,
        "synthetic": samples.synthetic,
        "sha256": samples.digest,
    }
