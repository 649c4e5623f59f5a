"""A `.tflite` and the names of targets in; whether it runs there, and who says so, out."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import TargetChecks
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert


def check_litert(path: Path) -> dict[str, Any]:
    """Load the file with the installed LiteRT and run it once on noise."""
    findings = []
    try:
        interpreter = litert.open_interpreter(path)
        litert.feed_noise(interpreter)
        interpreter.invoke()
    except StageError as error:
        findings.append(error.what)
    except RuntimeError as error:
        findings.append(f"LiteRT failed to run '{path}': {' '.join(str(error).split())}")
    version = importlib.metadata.version("ai-edge-litert")
    return {
        "name": "litert",
        "passed": not findings,
        "checked_by": f"ai-edge-litert {version} on this host",
        "findings": findings,
    }


TARGETS: dict[str, Callable[[Path], dict[str, Any]]] = {"litert": check_litert}


def check_targets(names: tuple[str, ...], path: Path, out: Path) -> TargetChecks:
    """Check the file against every target of the recipe; nothing is written."""
    del out
    return TargetChecks(tuple(TARGETS[name](path) for name in names))
