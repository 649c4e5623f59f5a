"""A `.tflite` in; how much memory for tensors a microcontroller should set aside at first, out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from tflite_pipeline.runtime.graph import Graph, read_graphs

_PER_TENSOR, _PER_OP = 96, 256
"""Bytes that the runtime keeps of each tensor and op, roughly, with what kernels of channels note down."""
_BASE, _SPARE = 4096, 1.4
"""So much that none of 20 files needed more in the package tflite-micro, on x86; a 32-bit processor needs less."""
_SIZES = {"int8": 1, "uint8": 1, "bool": 1, "int16": 2, "float16": 2, "int64": 8, "float64": 8}


def arena_kib(path: Path) -> int:
    """Give a first size in KiB: the most bytes of tensors alive at once, and what the runtime is likely to add.

    No size is sure before the runtime has planned the memory itself.
    """
    graphs = read_graphs(path)
    kept = sum(_PER_TENSOR * len(graph.tensors) + _PER_OP * len(graph.ops) for graph in graphs)
    return math.ceil((_BASE + kept + _SPARE * sum(map(_peak, graphs))) / 1024)


def _peak(graph: Graph) -> int:
    ends = dict(_last_uses(graph))
    alive = {i for i in graph.inputs if not graph.tensors[i].stored}
    state = {i for i, tensor in enumerate(graph.tensors) if tensor.state}
    peak = sum(_bytes(graph, i) for i in alive | state)
    for op in graph.ops:
        alive.update(op.outputs)
        peak = max(peak, sum(_bytes(graph, i) for i in alive | state))
        alive = {i for i in alive if ends.get(i, -1) > op.index or i in graph.outputs}
    return peak


def _last_uses(graph: Graph) -> Iterator[tuple[int, int]]:
    for op in graph.ops:
        yield from ((i, op.index) for i in op.inputs)


def _bytes(graph: Graph, index: int) -> int:
    tensor = graph.tensors[index]
    return _SIZES.get(tensor.dtype, 4) * math.prod(max(1, length) for length in tensor.shape)
