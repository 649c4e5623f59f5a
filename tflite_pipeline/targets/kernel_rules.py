"""A graph in; the releases that its ops need for reasons that no op version tells, as measured, out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tflite_pipeline.runtime.graph import Graph, Op

_WITH_WEIGHTS = frozenset({"CONV_2D", "FULLY_CONNECTED"})
_MOST_STEPS = 2.0**31
"""Older kernels want the place where an activation clips as an int32."""


@dataclass(frozen=True)
class Rule:
    """Ops that `fits`, given the steps at which they clip, run rightly from `release` on; `why` tells what older do."""

    release: str
    why: str
    fits: Callable[[Graph, Op, float], bool]


def _weights(graph: Graph, op: Op, dtype: str) -> set[str]:
    """Give how the scales of an op's weights of this dtype are shared; weights unpacked before are none."""
    return {w.granularity for w in graph.weights_of(op) if w.dtype == dtype and not w.unpacked}


def _data(graph: Graph, op: Op) -> str:
    return graph.tensors[op.inputs[0]].dtype if op.inputs else ""


def _int4_at_float(graph: Graph, op: Op, _: float) -> bool:
    return op.name in _WITH_WEIGHTS and _data(graph, op) == "float32" and bool(_weights(graph, op, "int4"))


def _int4_dense(graph: Graph, op: Op, _: float) -> bool:
    return op.name == "FULLY_CONNECTED" and _data(graph, op) != "float32" and bool(_weights(graph, op, "int4"))


def _blocks(graph: Graph, op: Op, _: float) -> bool:
    return any(kind.startswith("block") for kind in _weights(graph, op, "int4"))


def _channels_at_float(graph: Graph, op: Op, _: float) -> bool:
    dense = op.name == "FULLY_CONNECTED" and _data(graph, op) == "float32"
    return dense and "per_channel" in _weights(graph, op, "int8")


def _unpacks_int4(graph: Graph, op: Op, _: float) -> bool:
    return op.name == "DEQUANTIZE" and _data(graph, op) == "int4"


def _widens(graph: Graph, op: Op, _: float) -> bool:
    wide = {graph.tensors[i].dtype for i in op.outputs} == {"int16"}
    return op.name == "QUANTIZE" and _data(graph, op) in {"int8", "uint8"} and wide


def _clips_far(graph: Graph, op: Op, steps: float) -> bool:
    return steps >= _MOST_STEPS


RULES = (
    Rule("2.16", "older ones compute with one scale for int8 weights that have one a channel", _channels_at_float),
    Rule("2.18", "older ones refuse to unpack int4 weights", _unpacks_int4),
    Rule("2.19", "older ones compute with wrong numbers, or none, from int4 weights at float data", _int4_at_float),
    Rule("2.19", "older ones refuse int4 weights of a dense layer at integer data", _int4_dense),
    Rule("2.19", "older ones refuse an output whose scale is too small to clip at 6 or 1", _clips_far),
    Rule("2.21", "older ones compute with wrong numbers from int4 weights that share a scale in blocks", _blocks),
    Rule("2.22", "older ones refuse to turn integers of 8 bits into ones of 16", _widens),
)
"""Measured with the Python packages of TensorFlow 2.14 to 2.21 and LiteRT 2.3 on x86, default kernels."""
