"""A `.tflite` in; whether the GPU delegate takes all of it, by rule, out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from tflite_pipeline.targets.contents import Contents
from tflite_pipeline.targets.verdicts import BY_RULE, judged

_NAMES = """
ABS ADD AVERAGE_POOL_2D BATCH_MATMUL CAST CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE
DEQUANTIZE DIV ELU EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GELU GREATER GREATER_EQUAL HARD_SWISH
LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG
NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_0_TO_1
RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SELECT SELECT_V2 SIGN SIN SLICE SOFTMAX
SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM TANH TILE TRANSPOSE
TRANSPOSE_CONV UNPACK
"""
OPS = frozenset(_NAMES.split())
"""Ops that the delegate of LiteRT has a shader for; single attributes of an op may still send it to the CPU."""
DTYPES = frozenset({"float32", "float16", "int8", "uint8", "int32", "bool"})
_WEIGHTS = frozenset({"float32", "float16", "int8", "uint8"})
_MOST_DIMENSIONS = 4


def check_gpu(path: Path, layers: Collection[str], out: Path) -> dict[str, Any]:
    """Judge whether the whole file can run on the delegate; what it leaves out runs on the CPU, with copies between."""
    del out
    contents = Contents(path, layers)
    dtypes = [(graph, op) for graph, op in contents.ops() if contents.data_dtypes(graph, op) - DTYPES]
    wide = [
        (graph, op)
        for graph, op in contents.ops()
        if any(len(graph.tensors[i].shape) > _MOST_DIMENSIONS for i in graph.activations_of(op))
    ]
    packed = [(graph, op) for graph, op in contents.ops() if any(w.dtype not in _WEIGHTS for w in graph.weights_of(op))]
    findings = [
        *contents.varying(),
        *contents.foreign(OPS, "has no kernel in the GPU delegate"),
        *contents.told(dtypes, f"works on another dtype than {', '.join(sorted(DTYPES))}"),
        *contents.told(packed, "must have weights of 8 bits or float"),
        *contents.told(wide, f"works on more than {_MOST_DIMENSIONS} dimensions"),
    ]
    return judged(BY_RULE, findings)
