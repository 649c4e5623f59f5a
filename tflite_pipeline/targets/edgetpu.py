"""A `.tflite` in; whether the Edge TPU compiler maps all of it, by rule, out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from tflite_pipeline.runtime.graph import Graph, Op
from tflite_pipeline.targets.contents import Contents
from tflite_pipeline.targets.verdicts import BY_RULE, judged

_NAMES = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS FULLY_CONNECTED L2_NORMALIZATION LOGISTIC
MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PACK PAD PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1
RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE SQUEEZE
STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV
UNIDIRECTIONAL_SEQUENCE_LSTM
"""
OPS = frozenset(_NAMES.split())
"""Ops that Coral documents for its compiler 16, the last one; several only for some attributes."""
_EIGHT_BITS = frozenset({"int8", "uint8"})
_ONE_SCALE = frozenset({"per_tensor", ""})
"""Floats have no scale; they are told of as such."""


def check_edgetpu(path: Path, layers: Collection[str], out: Path) -> dict[str, Any]:
    """Judge what Coral documents: 8 bits throughout, fixed shapes, one scale a dense layer, listed ops.

    QUANTIZE and DEQUANTIZE at float inputs and outputs are let through: the compiler leaves them to the CPU.
    """
    del out
    contents = Contents(path, layers)
    inner = [(graph, op) for graph, op in contents.ops() if not _at_float_border(graph, op)]
    other = [(graph, op) for graph, op in inner if contents.data_dtypes(graph, op) - _EIGHT_BITS]
    packed = [
        (graph, op) for graph, op in inner if any(weight.dtype not in _EIGHT_BITS for weight in graph.weights_of(op))
    ]
    strangers = [(graph, op) for graph, op in inner if op.custom or op.name not in OPS]
    findings = [
        *contents.varying(),
        *contents.told(strangers, "is no op of the Edge TPU"),
        *contents.told(other, "must work on 8 bits throughout"),
        *contents.told(packed, "must have weights of 8 bits"),
        *contents.told(
            [at for at in inner if _per_channel_dense(*at)],
            "must have one scale for all its weights (quantization.per_channel_dense: false)",
        ),
    ]
    return judged(BY_RULE, findings)


def _at_float_border(graph: Graph, op: Op) -> bool:
    return op.name in {"QUANTIZE", "DEQUANTIZE"} and graph.at_border(op)


def _per_channel_dense(graph: Graph, op: Op) -> bool:
    return op.name == "FULLY_CONNECTED" and any(w.granularity not in _ONE_SCALE for w in graph.weights_of(op))
