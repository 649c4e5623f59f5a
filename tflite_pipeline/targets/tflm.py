"""A `.tflite` in; whether TensorFlow Lite Micro runs it, by rule, out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tflite_pipeline.runtime.graph import Graph, Op
from tflite_pipeline.targets.contents import Contents, told_by_op
from tflite_pipeline.targets.verdicts import BY_RULE, judged

_NAMES = """
ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV
ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER
GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT
LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU
QUANTIZE READ_VARIABLE REDUCE_MAX RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR ROUND RSQRT SELECT_V2
SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE
STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE
ZEROS_LIKE
"""
OPS = frozenset(_NAMES.split())
"""Ops that its `MicroMutableOpResolver` can register."""
DTYPES = frozenset({"float32", "int8", "int16", "int32", "bool"})


def check_tflm(path: Path, out: Path) -> dict[str, Any]:
    """Judge by its list of ops and by what its kernels refuse: shapes that vary, and integer weights at float data.

    It does not look at versions of ops, so there is no release that a file needs.
    """
    del out
    contents = Contents(path)
    ops = list(contents.ops())
    findings = [
        *contents.varying(),
        *contents.foreign(OPS, "is no op of TensorFlow Lite Micro"),
        *told_by_op([at for at in ops if _strange(contents, *at)], "works on a dtype without a kernel"),
        *told_by_op([at for at in ops if _hybrid(contents, *at)], "must not read integer weights at float data"),
        *told_by_op([at for at in ops if _strangely_packed(*at)], "can unpack integers of 8 bits or more only"),
    ]
    return judged(BY_RULE, findings)


def _strange(contents: Contents, graph: Graph, op: Op) -> bool:
    # QUANTIZE turns uint8 at the border into int8, no other kernel takes it.
    known = DTYPES | ({"uint8"} if op.name == "QUANTIZE" else set())
    return bool(contents.data_dtypes(graph, op) - known)


def _hybrid(contents: Contents, graph: Graph, op: Op) -> bool:
    integer = any("int" in weight.dtype and not weight.unpacked for weight in graph.weights_of(op))
    return integer and "float32" in contents.data_dtypes(graph, op)


def _strangely_packed(graph: Graph, op: Op) -> bool:
    return op.name == "DEQUANTIZE" and any(graph.tensors[i].dtype in {"float16", "int4"} for i in op.inputs)
