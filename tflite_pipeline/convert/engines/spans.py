"""Limits of activations, and of constants that need others than their own, as ai-edge-quantizer takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.convert.engines.job import Job, missing_range
from tflite_pipeline.runtime.ai_edge import Ends
from tflite_pipeline.runtime.graph import Op
from tflite_pipeline.runtime.mending import Place
from tflite_pipeline.runtime.treatment import WEIGHTED, Treatment

_OPERANDS = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
"""Which operands are the input, the weight and the bias."""
_MOST_BIAS = 2.0**30
"""Half of what 32 bits hold: the other half is for the sum that the bias is added to."""
_LEAST_BLOCK = 7 * 2.0**-21
"""Of a block's largest weight: its scale is then a number that float16 holds with three bits."""

Array = npt.NDArray[np.float32]


def activation_ends(job: Job, treatments: Mapping[Place, Treatment]) -> dict[Place, Ends]:
    """Give the limits of every float activation of an op that computes in integers, and of the border if it is integer.

    Raises StageError where the job has none for one of them.
    """
    graph, limits = job.graphs[0], job.limits or {}
    wanted: set[int] = set() if job.spec.io == "float32" else {*graph.inputs, *graph.outputs}
    for op in graph.ops:
        treatment = treatments.get((0, op.index))
        if treatment is not None and treatment.activations:
            wanted.update(graph.activations_of(op))
    ends = {}
    for index in sorted(wanted):
        tensor = graph.tensors[index]
        if tensor.dtype != "float32" or 0 in tensor.shape:
            continue
        if index not in limits:
            raise missing_range(tensor.name)
        ends[0, index] = _ends(*limits[index])
    return ends


def constant_ends(job: Job, model: Any, treatments: Mapping[Place, Treatment]) -> dict[Place, Ends]:
    """Centre the limits of constants that ops read as they read activations, such as the second operand of an ADD."""
    ends = {}
    for op, operands, treatment in _integer_ops(job, model, treatments):
        if treatment.activations == 8 and op.name not in WEIGHTED:
            for index in operands:
                values = _values(model, (0, index))
                if values is not None and values.size:
                    ends[0, index] = _ends(*_centred(float(np.abs(values).max())))
    return ends


def weight_ends(
    job: Job, model: Any, treatments: Mapping[Place, Treatment], activations: Mapping[Place, Ends]
) -> dict[Place, Ends]:
    """Widen the limits of weights whose bias would overflow: its step is the input's times the weight's.

    A channel of tiny weights with a bias of common size, as batch normalization leaves them, would else lose its bias;
    only the limits of such weights are given.
    """
    ends: dict[Place, Ends] = {}
    for op, operands, treatment in _integer_ops(job, model, treatments):
        if op.name not in _OPERANDS or len(operands) <= _OPERANDS[op.name][2]:
            continue
        source, weight, bias = (operands[position] for position in _OPERANDS[op.name])
        values, biases = _values(model, (0, weight)), _values(model, (0, bias))
        if values is None or biases is None or (0, source) not in activations:
            continue
        axis = 3 if op.name == "DEPTHWISE_CONV_2D" else 0
        own = np.abs(values).max(axis=tuple(i for i in range(values.ndim) if i != axis), keepdims=True)
        steps = 2 ** (treatment.weights - 1) - 1
        least = np.abs(biases).reshape(own.shape) * steps / (_step(activations[0, source], treatment) * _MOST_BIAS)
        if not treatment.per_channel:
            own, least = own.max(keepdims=True), least.max(keepdims=True)
        if (least > own).any():
            # The weight may have another reader, with an input of other limits.
            wide = np.maximum(np.maximum(own, least), ends.get((0, weight), (own, own))[1]).astype(np.float32)
            ends[0, weight] = -wide, wide
    return ends


def block_ends(model: Any, treatments: Mapping[Place, Treatment]) -> dict[Place, Ends]:
    """Widen the limits of blocks whose scale would be zero as float16: XNNPACK refuses a file that has one.

    Blocks of zeros are common after pruning. Only the limits of weights with such a block are given.
    """
    ends = {}
    for (graph, index), treatment in treatments.items():
        if not treatment.block:
            continue
        weight = (graph, model.subgraphs[graph].operators[index].inputs[1])
        values = _values(model, weight)
        if values is None:
            continue
        own = np.abs(values).reshape(len(values), -1, treatment.block).max(axis=2)
        if (own < _LEAST_BLOCK).any():
            wide = np.maximum(own, np.float32(_LEAST_BLOCK))
            ends[weight] = -wide, wide
    return ends


def _integer_ops(
    job: Job, model: Any, treatments: Mapping[Place, Treatment]
) -> Iterator[tuple[Op, list[int], Treatment]]:
    """Yield the ops of the main graph that compute in integers, with all their operands, -1 where one is left out."""
    for op in job.graphs[0].ops:
        treatment = treatments.get((0, op.index))
        if treatment is not None and treatment.activations:
            yield op, list(model.subgraphs[0].operators[op.index].inputs), treatment


def _values(model: Any, place: Place) -> Array | None:
    """Give the values of a constant float32 tensor; nothing for any other, and for one that is left out."""
    graph, index = place
    tensor = model.subgraphs[graph].tensors[index] if index >= 0 else None
    data = model.buffers[tensor.buffer].data if tensor is not None and tensor.type == 0 else None
    if tensor is None or data is None:
        return None
    return np.frombuffer(data, np.float32).reshape(() if tensor.shape is None else tensor.shape)


def _step(ends: Ends, treatment: Treatment) -> float:
    low, high = float(ends[0].min()), float(ends[1].max())
    if treatment.activations == 16:
        return max(-low, high) / 32767
    return (max(high, 0.0) - min(low, 0.0)) / 255


def _centred(bound: float) -> tuple[float, float]:
    """Give the limits under which 8 bits have zero point 0: one step more below zero than above."""
    step = bound / 127
    return -128 * step, 127 * step


def _ends(low: float, high: float) -> Ends:
    # Without dimensions they fit operands of any rank: those of a PACK have one less than what it makes.
    return np.array(low, np.float32), np.array(high, np.float32)
