"""A `.tflite` in; how many zeros and different values its weights hold, and what that saves when packed, out."""

from __future__ import annotations

import math
import operator
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.runtime.graph import Graph, Op, read_graphs
from tflite_pipeline.runtime.layers import layers_at

Array = npt.NDArray[Any]

_OPS = frozenset({"CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
"""Ops whose weights are pruned and clustered: their second input, output channels first and input channels last."""
_BITS = {"int2": 2, "int4": 4}
_FULL = frozenset({"float16", "float32", "float64", "int8", "uint8", "int16", "int32"})
_GROUP, _KEPT = 4, 2
_CHECKS: dict[str, tuple[str, Callable[[Any, Any], bool], str, str]] = {
    "sparsity": ("zeros", operator.ge, "at least {:.2%} zeros", "{:.2%} zeros"),
    "clusters": ("distinct_in_channel", operator.le, "at most {} values in an output channel", "{} values in one"),
    "two_of_four": ("two_of_four", operator.eq, "at most 2 of every 4 input channels not zero", "more in some"),
}
"""By what training kept: where `compression` has it, how it must compare, and both in words."""


def compression(path: Path, layers: Collection[str] = ()) -> dict[str, Any]:
    """Count zeros and different values in the stored weights of conv, transposed conv and dense ops.

    Gives `weights`, one row a stored tensor, with its Keras layers as far as `layers` names the model's; `zeros`, the
    share of all their elements that means 0; `compressed_bytes`, the size of the file after deflate at level 9, as an
    .apk or .zip holds it; and `unread`, the names of weights that are stored in another way than one value after the
    other. Integers are compared as they are stored: those of a clustered tensor with a scale for each channel have few
    values within a channel, not in all. Raises StageError where the file is damaged.
    """
    rows, unread = [], []
    graphs = read_graphs(path)
    model = flatbuffer.unpack(path)
    for graph in graphs:
        tensors = model.subgraphs[graph.index].tensors
        for op, number in _weights(graph):
            name, dtype = graph.tensors[number].name, graph.tensors[number].dtype
            values = _stored(tensors[number], dtype, model.buffers[tensors[number].buffer].data)
            if values is None:
                unread.append(name)
            else:
                row = _row(name, op.name, values, _nonzero(values, tensors[number].quantization))
                rows.append({**row, "layer": ", ".join(layers_at(graph, op, layers))})
    elements = sum(row["elements"] for row in rows)
    return {
        "weights": rows,
        "zeros": sum(row["zeros"] * row["elements"] for row in rows) / elements if elements else 0.0,
        "compressed_bytes": len(zlib.compress(path.read_bytes(), 9)),
        "unread": unread,
    }


def check_compression(found: Mapping[str, Any], kept: Mapping[str, Any]) -> list[dict[str, str]]:
    """List what a file does not hold of what training kept: `{tensor, expected, got}`, each in words.

    `found` is `compression` of the file. `kept` has, by name of the weight, `sparsity`, its share of zeros, and
    `clusters`, the number of its values; `two_of_four` is a list of names.
    """
    rows = {row["tensor"]: row for row in found["weights"]}
    findings = []
    for name, (key, holds, expected, got) in _CHECKS.items():
        limits = kept.get(name, {})
        for tensor, limit in (limits if isinstance(limits, Mapping) else dict.fromkeys(limits, True)).items():
            value = rows[tensor][key] if tensor in rows else None
            if value is None or not holds(value, limit):
                text = "no such weight" if value is None else got.format(value)
                findings.append({"tensor": tensor, "expected": expected.format(limit), "got": text})
    return findings


def _weights(graph: Graph) -> Iterator[tuple[Op, int]]:
    """Give each stored weight tensor once, with the first op that reads it."""
    seen = set()
    for op in graph.ops:
        if op.name not in _OPS or op.inputs[1] not in graph.origins:
            continue
        number = graph.origins[op.inputs[1]][0]
        if number not in seen:
            seen.add(number)
            yield op, number


def _stored(tensor: Any, dtype: str, data: Array) -> Array | None:
    """Read the values as they are stored, in the tensor's shape; None where they are not stored one by one."""
    shape: Sequence[int] = tuple(tensor.shape)
    if dtype in _BITS:
        values = _unpacked(data, _BITS[dtype])[: math.prod(shape)]
    elif dtype in _FULL and len(data) == math.prod(shape) * np.dtype(dtype).itemsize:
        values = data.view(dtype)
    else:
        return None
    return values.reshape(shape) if tensor.sparsity is None and values.size == math.prod(shape) else None


def _unpacked(data: Array, bits: int) -> Array:
    """Take signed integers of some bits out of bytes, the lowest bits first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    raised = (data[:, None] >> shifts << (8 - bits)).astype(np.uint8).view(np.int8)
    return np.asarray(raised >> (8 - bits)).reshape(-1)


def _nonzero(values: Array, quantization: Any) -> Array:
    """Tell which values do not mean 0, by the zero points where there are some."""
    points = None if quantization is None else quantization.zeroPoint
    if points is None or not np.any(points):
        return np.asarray(values != 0)
    shape = [1] * values.ndim
    if len(points) > 1:
        shape[quantization.quantizedDimension] = len(points)
    return np.asarray(values != np.reshape(points, shape))


def _row(name: str, op: str, values: Array, nonzero: Array) -> dict[str, Any]:
    channels = np.sort(values.reshape(len(values), -1), axis=1)
    return {
        "tensor": name,
        "op": op,
        "elements": values.size,
        "zeros": int(np.count_nonzero(~nonzero)) / values.size,
        "distinct": len(np.unique(channels)),
        "distinct_in_channel": 1 + int((np.diff(channels) != 0).sum(axis=1).max()),
        "two_of_four": _in_groups(nonzero),
    }


def _in_groups(nonzero: Array) -> bool:
    """Tell whether two of four input channels are zero; a depth that is no multiple of four has no such groups."""
    if nonzero.shape[-1] % _GROUP:
        return False
    return bool((nonzero.reshape(-1, _GROUP).sum(axis=1) <= _KEPT).all())
