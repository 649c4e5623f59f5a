"""TensorFlow's own quantizers on the float reference: limits that were chosen before in, file content out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import Reference
from tflite_pipeline.convert.engines.job import Job, missing_range
from tflite_pipeline.convert.explain import explained
from tflite_pipeline.convert.observe import activations, uncalibratable
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.runtime import flatbuffer, tf_quantizer
from tflite_pipeline.runtime.graph import Graph, Op
from tflite_pipeline.runtime.layers import fits

_INT16 = frozenset(
    {
        "ABS",
        "ADD",
        "AVERAGE_POOL_2D",
        "BATCH_MATMUL",
        "BATCH_TO_SPACE_ND",
        "BROADCAST_TO",
        "CONCATENATION",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "EXP",
        "EXPAND_DIMS",
        "FULLY_CONNECTED",
        "GATHER",
        "GATHER_ND",
        "GELU",
        "LEAKY_RELU",
        "LOG",
        "LOGISTIC",
        "MAXIMUM",
        "MAX_POOL_2D",
        "MEAN",
        "MINIMUM",
        "MIRROR_PAD",
        "MUL",
        "PACK",
        "PAD",
        "REDUCE_MAX",
        "REDUCE_MIN",
        "REDUCE_PROD",
        "RELU",
        "RELU6",
        "RESHAPE",
        "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR",
        "REVERSE_V2",
        "RSQRT",
        "SHAPE",
        "SLICE",
        "SOFTMAX",
        "SPACE_TO_BATCH_ND",
        "SPLIT",
        "SPLIT_V",
        "SQUEEZE",
        "STRIDED_SLICE",
        "SUB",
        "TANH",
        "TILE",
        "TRANSPOSE",
        "TRANSPOSE_CONV",
        "UNPACK",
    }
)
"""Ops that the quantizer for int16x8 makes integer and that LiteRT then computes right."""
_SPOILT = frozenset(
    {"FILL", "PADV2", "SCATTER_ND", "SELECT", "SQUARED_DIFFERENCE", "SUM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "WHERE"}
)
"""Ops that it takes for int16 too, but fails at, or LiteRT does not load the result, or computes it wrong."""
_MOST = 127
"""Of int8, where zero is in the middle."""


def refusal(spec: Quantization, reference: Reference, graphs: tuple[Graph, ...]) -> str:
    """Say why TensorFlow's quantizers cannot make what was asked; nothing where they can."""
    why = uncalibratable(graphs) or _refuse_half(graphs[0])
    return why or (refuse_int16(spec, reference, graphs) if spec.scheme == "int16x8" else "")


def refuse_int16(spec: Quantization, reference: Reference, graphs: tuple[Graph, ...]) -> str:
    """Say why the quantizer for int16x8, which TFLiteConverter uses too, cannot make a file that runs and is right."""
    graph = graphs[0]
    if spoilt := _named(op for op in graph.ops if op.name in _SPOILT):
        return f"it makes no {spoilt} of int16 that LiteRT runs and computes right"
    floating = [op for op in graph.ops if op.name not in _INT16 and _is_float(graph, op)]
    if left := _named(
        op for op in floating if not any(fits(selector, graph, op, reference.layers) for selector in spec.allow_float)
    ):
        return f"{left} would compute in float; quantization.allow_float makes that acceptable"
    # The quantizer turns an input of the graph into int16 where it first meets an op that wants it so; an op that comes
    # before keeps reading it as float.
    for index in sorted(graph.inputs):
        readers = [op for op in graph.ops if index in op.inputs]
        if readers and readers[0] in floating and any(op.name in _INT16 for op in readers):
            name = graph.tensors[index].name
            return f"{readers[0].name} would read the input '{name}' as float while other ops read it as int16"
    return ""


def _refuse_half(graph: Graph) -> str:
    half = [tensor.name for tensor in graph.tensors if tensor.stored and tensor.dtype == "float16"]
    return f"the weights of the reference must be float32, and '{half[0]}' is float16" if half else ""


def quantize(job: Job) -> bytes:
    """Give every op that can have it the job's scheme, every activation the job's limits.

    Limits do not move the scales that kernels prescribe, nor those of ops that put out what they read. So even with
    `symmetric_activations` int8 outputs of SOFTMAX and LOGISTIC have the zero point -128, and those of LOG_SOFTMAX 127.
    Raises StageError where a limit is missing, and where the quantizer fails or is not the one that is known.
    """
    limits, spec, graph = job.limits or {}, job.spec, job.graphs[0]
    if missing := [graph.tensors[index].name for index in activations(graph) if index not in limits]:
        raise missing_range(missing[0])
    content = tf_quantizer.with_limits(job.reference.path, limits)
    with explained(spec.scheme):
        if spec.scheme == "int16x8":
            allow_float = any(op.name not in _INT16 for op in graph.ops)
            return tf_quantizer.quantize_int16x8(content, spec.io, spec.per_channel_dense, allow_float)
        content = tf_quantizer.quantize_int8(content, spec.io, spec.per_channel_dense)
    return _centred(content) if spec.symmetric_activations else content


def _centred(content: bytes) -> bytes:
    """Give zero point 0 to constants that ops read as they read activations, such as the second operand of an ADD.

    The quantizer goes by their values alone and takes no limits for them. Where an op wants one scale for all that it
    reads, constants have that of its symmetric output already.
    """
    model = flatbuffer.unpack(content)
    for tensor in model.subgraphs[0].tensors:
        found, data = tensor.quantization, model.buffers[tensor.buffer].data
        if data is not None and found is not None and found.zeroPoint is not None and any(found.zeroPoint):
            steps = np.asarray(data).view(np.int8) - np.int64(found.zeroPoint[0])
            widest = int(np.abs(steps).max())
            _store(model, tensor, np.rint(steps * (_MOST / widest)).astype(np.int8))
            found.scale, found.zeroPoint = [float(found.scale[0]) * widest / _MOST], [0]
    return flatbuffer.pack(model)


def _store(model: Any, tensor: Any, values: Any) -> None:
    """Put values into a buffer of their own, since tensors may share one."""
    buffer = type(model.buffers[tensor.buffer])()
    buffer.data = values.view(np.uint8)
    tensor.buffer = len(model.buffers)
    model.buffers.append(buffer)


def _is_float(graph: Graph, op: Op) -> bool:
    return any(graph.tensors[i].dtype == "float32" for i in graph.activations_of(op))


def _named(ops: Iterable[Op]) -> str:
    return ", ".join(sorted({op.name for op in ops}))
