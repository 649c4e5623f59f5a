"""A `.tflite` in; whether TensorFlow Lite Micro runs it, by rule, out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from tflite_pipeline.runtime.graph import Graph, Op
from tflite_pipeline.runtime.micro_ops import METHODS
from tflite_pipeline.targets.contents import Contents
from tflite_pipeline.targets.verdicts import BY_RULE, judged

OPS = frozenset(METHODS)
"""Ops that its `MicroMutableOpResolver` can register; the package tflite-micro of 2026-10-23 was asked for each."""
DTYPES = frozenset({"float32", "int8", "int16", "int32", "bool"})
_NUMBERS = {"SUM": frozenset({"float32", "int8", "int16"})}
"""What kernels take that take less."""


def check_tflm(path: Path, layers: Collection[str], out: Path) -> dict[str, Any]:
    """Judge by its list of ops and by what its kernels refuse: shapes that vary, and integer weights at float data.

    It does not look at versions of ops, so there is no release that a file needs.
    """
    del out
    contents = Contents(path, layers)
    ops = list(contents.ops())
    findings = [
        *contents.varying(),
        *contents.foreign(OPS, "is no op of TensorFlow Lite Micro"),
        *contents.told([at for at in ops if _strange(contents, *at)], "works on a dtype without a kernel"),
        *contents.told([at for at in ops if _hybrid(contents, *at)], "must not read integer weights at float data"),
        *contents.told([at for at in ops if _narrow(*at)], "must not have weights of 4 bits"),
        *contents.told([at for at in ops if _strangely_packed(*at)], "can unpack integers of 8 bits or more only"),
        *contents.told([at for at in ops if _by_channel(*at)], "unpacks all channels with the scale of the first"),
    ]
    return judged(BY_RULE, findings)


def _strange(contents: Contents, graph: Graph, op: Op) -> bool:
    # QUANTIZE turns uint8 at the border into int8, no other kernel takes it.
    known = DTYPES | ({"uint8"} if op.name == "QUANTIZE" else set())
    return bool(contents.data_dtypes(graph, op) - _NUMBERS.get(op.name, known))


def _hybrid(contents: Contents, graph: Graph, op: Op) -> bool:
    integer = any("int" in weight.dtype and not weight.unpacked for weight in graph.weights_of(op))
    return integer and "float32" in contents.data_dtypes(graph, op)


def _narrow(graph: Graph, op: Op) -> bool:
    # Convolutions at integer data take them.
    return op.name == "FULLY_CONNECTED" and any(w.dtype == "int4" and not w.unpacked for w in graph.weights_of(op))


def _strangely_packed(graph: Graph, op: Op) -> bool:
    return op.name == "DEQUANTIZE" and any(graph.tensors[i].dtype in {"float16", "int4"} for i in op.inputs)


def _by_channel(graph: Graph, op: Op) -> bool:
    return op.name == "DEQUANTIZE" and any(graph.tensors[i].granularity == "per_channel" for i in op.inputs)
