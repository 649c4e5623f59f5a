"""A `.tflite` in; whether the LiteRT that is installed here runs it out."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert
from tflite_pipeline.targets.floor import describe_floor
from tflite_pipeline.targets.verdicts import judged


def check_litert(path: Path, layers: Collection[str], out: Path) -> dict[str, Any]:
    """Load the file with the installed LiteRT and run it once on noise; its floor is told besides."""
    del out
    findings: list[str] = []
    figures: dict[str, Any] = {}
    try:
        figures = {"floor": describe_floor(path, layers)}
        interpreter = litert.open_interpreter(path)
        litert.feed_noise(interpreter)
        interpreter.invoke()
    except StageError as error:
        findings.append(error.what)
    except RuntimeError as error:
        findings.append(f"LiteRT failed to run '{path}': {' '.join(str(error).split())}")
    version = importlib.metadata.version("ai-edge-litert")
    return judged(f"ai-edge-litert {version} on this host", findings, told="loads and runs", figures=figures)
