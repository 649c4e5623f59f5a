"""A `.tflite` and a TensorFlow Lite release in; whether a runtime of that release runs the file, by rule, out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from tflite_pipeline.targets.floor import describe_floor, runtime_floor
from tflite_pipeline.targets.verdicts import BY_RULE, judged


def check_release(release: str, path: Path, layers: Collection[str], out: Path) -> dict[str, Any]:
    """Judge by the versions of ops that the release has, and by what its kernels were seen to refuse or get wrong."""
    del out
    floor = runtime_floor(path, layers)
    findings = [f"{need.why}." for need in floor.beyond(release)]
    findings += [f"{name} is a custom op, which the app has to bring." for name in floor.foreign]
    unknown = [f"{pair} is in no table: not checked." for pair in floor.unknown]
    figures = {"floor": describe_floor(path, layers)}
    return judged(f"{BY_RULE}, what TensorFlow Lite {release} holds", findings, unknown, figures=figures)
