"""A `.tflite` and the names of targets in; whether it runs there, and who says so, out."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import TargetChecks
from tflite_pipeline.targets.by_release import check_release
from tflite_pipeline.targets.edgetpu import check_edgetpu
from tflite_pipeline.targets.ethos_u import PACKAGE, check_ethos_u
from tflite_pipeline.targets.floor import describe_floor
from tflite_pipeline.targets.gpu import check_gpu
from tflite_pipeline.targets.litert import check_litert
from tflite_pipeline.targets.tflm import check_tflm
from tflite_pipeline.targets.web import check_web

TARGETS: dict[str, Callable[[Path, Collection[str], Path], dict[str, Any]]] = {
    "litert": check_litert,
    "tflite-2.14": partial(check_release, "2.14"),
    "android-tflite-2.16": partial(check_release, "2.16"),
    "ios-tflite-2.17": partial(check_release, "2.17"),
    "litert-2.x": partial(check_release, "2.20"),
    "web": check_web,
    "gpu": check_gpu,
    "edgetpu": check_edgetpu,
    "tflm": check_tflm,
    "ethos-u55": partial(check_ethos_u, "ethos-u55-128"),
    "ethos-u65": partial(check_ethos_u, "ethos-u65-256"),
    "ethos-u85": partial(check_ethos_u, "ethos-u85-256"),
}
"""By name: the check of a file made of these Keras layers, which may write into a folder of its own."""


def tool_versions() -> list[str]:
    """List the optional tools that are installed, with their versions, since they decide what can be checked."""
    return [f"{PACKAGE} {found.version}" for found in importlib.metadata.distributions(name=PACKAGE)]


def check_targets(names: tuple[str, ...], path: Path, layers: tuple[str, ...], out: Path) -> TargetChecks:
    """Check the file against every target of the recipe; what a tool writes lies below `out`.

    `layers` are the names of the Keras layers, none where there is no Keras model: findings name them.
    """
    checks = tuple({"name": name} | TARGETS[name](path, layers, out / name) for name in names)
    return TargetChecks(checks, describe_floor(path, layers))
