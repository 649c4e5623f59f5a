"""The last release's bundle and a new file in; a gate on whether an app that takes the one can take the other out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tflite_pipeline.changes import app_changes
from tflite_pipeline.inspecting import Look, inspect
from tflite_pipeline.stage import told_by
from tflite_pipeline.validate.gates import Gate, judge_release

STAGE = "release"


def open_release(path: Path | None) -> Look | None:
    """Look into the last release; None where the recipe names none. Raises StageError where it cannot be read."""
    if path is None:
        return None
    with told_by(STAGE):
        return inspect(path)[0]


def keep_to(path: Path | None, release: Look | None, model: Path, declared: dict[str, Any]) -> list[Gate]:
    """Judge the new file against the release, if there is one; `declared` is what its contract will tell the app."""
    if path is None or release is None:
        return []
    with told_by(STAGE):
        (look,) = inspect(model)
    return [judge_release(path, list(app_changes(release, replace(look, contract=declared))))]
