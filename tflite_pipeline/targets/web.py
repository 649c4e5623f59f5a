"""A `.tflite` in; whether LiteRT.js runs it in a browser, by rule, out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from tflite_pipeline.targets.contents import Contents, io_outside
from tflite_pipeline.targets.verdicts import BY_RULE, judged

IO = ("float32", "uint8", "int32")
"""Dtypes of the arrays that LiteRT.js takes and gives; for int8 it says that the element type is not supported."""


def check_web(path: Path, layers: Collection[str], out: Path) -> dict[str, Any]:
    """Judge what LiteRT.js (`@litertjs/core`) was seen to refuse: io of int8 and int16, shapes that vary."""
    del out
    contents = Contents(path, layers)
    custom = [(graph, op) for graph, op in contents.ops() if op.custom]
    findings = [
        *io_outside(contents.inputs, IO, "input"),
        *io_outside(contents.outputs, IO, "output"),
        *contents.varying(),
        *contents.told(custom, "is no op of LiteRT's own"),
    ]
    return judged(BY_RULE, findings)
