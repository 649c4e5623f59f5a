"""What became of a variant goes in; its row of the table, plain JSON values, comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tflite_pipeline.errors import PipelineError, StageError
from tflite_pipeline.search.variants import Variant


def waiting_row(variant: Variant) -> dict[str, Any]:
    """Give the row of a variant that has not run: what it is, and no figures.

    `folder`, `file` and `report` are relative to the folder of the sweep.
    """
    return {
        "variant": variant.name,
        "scheme": variant.scheme,
        "settings": variant.settings,
        "overrides": list(variant.overrides),
        "notes": list(variant.notes),
        "recipe_sha256": variant.loaded.sha256,
        "status": "waiting",
        "error": None,
        "found": None,
        "io": variant.loaded.recipe.quantization.io,
        "engine": None,
        "metrics": {},
        "agreement": {},
        "bytes": None,
        "latency_ms": None,
        "latency": None,
        "reference": None,
        "samples": None,
        "gates": [],
        "sha256": None,
        "folder": variant.folder,
        "file": None,
        "report": None,
    }


def judged_row(variant: Variant, report: dict[str, Any]) -> dict[str, Any]:
    """Give the row of a variant that ran to its end, from its report; `status` is the verdict of its gates."""
    return waiting_row(variant) | {
        "status": report["verdict"],
        "found": report["scheme"]["found"],
        "io": report["audit"]["io_found"],
        "engine": {"name": report["scheme"]["engine"], "why": report["scheme"]["why"]},
        "metrics": report["metrics"],
        "agreement": report["agreement"],
        "bytes": report["model"]["bytes"],
        "latency_ms": report["latency"]["quantized_ms"],
        "latency": report["latency"]["quantized"] | {"host": report["latency"]["host"]},
        "reference": {"bytes": report["reference"]["bytes"], "latency_ms": report["latency"]["reference_ms"]},
        "samples": report["samples"].get("evaluation"),
        "gates": report["gates"],
        "sha256": report["model"]["sha256"],
        "file": f"{variant.folder}/{report['model']['file']}",
        "report": f"{variant.folder}/report.json",
    }


def failed_row(variant: Variant, error: PipelineError) -> dict[str, Any]:
    """Give the row of a variant of which no file came; `error` tells the stage, what happened, what to do.

    Its status is `refused`, not `error`, where no engine can make a scheme that nobody asked for by name.
    """
    told = {"stage": "", "what": str(error), "remedy": "", "log": ""}
    if isinstance(error, StageError):
        told = {"stage": error.stage, "what": error.what, "remedy": error.remedy, "log": error.log}
    return waiting_row(variant) | {"status": "refused" if _is_refusal(variant, told) else "error", "error": told}


def _is_refusal(variant: Variant, told: dict[str, str]) -> bool:
    asked = variant.loaded.recipe.quantization
    # Selectors may name what the model has not, which is a mistake: only without them it must be the scheme.
    return told["stage"] == "engine" and not variant.named and not asked.rules and not asked.allow_float


def best_row(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Give the smallest file that passed its gates; of equal ones the first."""
    passed = [row for row in rows if row["status"] == "passed"]
    return min(passed, key=lambda row: row["bytes"]) if passed else None
