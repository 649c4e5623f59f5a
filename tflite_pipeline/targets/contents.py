"""A `.tflite` in; what rules about targets look at out: ops by place, dtypes of data, inputs that vary."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from tflite_pipeline.artifacts import TensorInfo
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.graph import Graph, Op, read_graphs
from tflite_pipeline.runtime.layers import layers_at, layers_of, short_name

_TOLD = 3
"""Places of an op that a finding names; the rest is counted."""


class Contents:
    """The graphs of a file, its inputs and outputs, and the names of the Keras layers that it was made of."""

    def __init__(self, path: Path, layers: Collection[str] = ()) -> None:
        """Read the file. Raises StageError where it is damaged."""
        self.layers = layers
        self.graphs = read_graphs(path)
        self.inputs, self.outputs = litert.describe(path)

    def ops(self) -> Iterator[tuple[Graph, Op]]:
        """Go through all ops."""
        return ((graph, op) for graph in self.graphs for op in graph.ops)

    def data_dtypes(self, graph: Graph, op: Op) -> set[str]:
        """Give the dtypes of an op's inputs and outputs that are no constants."""
        return {graph.tensors[i].dtype for i in (*op.inputs, *op.outputs) if i not in graph.origins}

    def writer_of(self, tensor: str) -> tuple[Graph, Op] | None:
        """Find the op that writes the tensor of this name."""
        return next(
            ((graph, op) for graph, op in self.ops() if any(graph.tensors[i].name == tensor for i in op.outputs)), None
        )

    def varying(self) -> list[str]:
        """Tell of inputs and outputs with a dimension that may vary."""
        return [
            f"the shape of '{info.name}' must be fixed. Got {list(info.shape)}."
            for info in (*self.inputs, *self.outputs)
            if any(size < 0 for size in info.shape)
        ]

    def foreign(self, known: Collection[str], where: str) -> list[str]:
        """Tell of ops that are not among the known ones, a sentence a type of op; `where` ends it."""
        strangers = [(graph, op) for graph, op in self.ops() if op.custom or op.name not in known]
        return self.told(strangers, where)

    def told(self, found: Collection[tuple[Graph, Op]], why: str) -> list[str]:
        """Tell what holds for these ops, a sentence a type of op, with the places of the first."""
        return told_by_op(found, why, self.layers)


def io_outside(infos: Collection[TensorInfo], dtypes: Collection[str], side: str) -> list[str]:
    """Tell of inputs or outputs of another dtype than these."""
    return [
        f"the {side} '{info.name}' must be {' or '.join(dtypes)}. Got {info.dtype}: quantization.io decides it."
        for info in infos
        if info.dtype not in dtypes
    ]


def told_by_op(found: Collection[tuple[Graph, Op]], why: str, layers: Collection[str]) -> list[str]:
    """Tell what holds for these ops, a sentence a type of op, with the places of the first."""
    places: dict[str, list[str]] = {}
    for graph, op in found:
        places.setdefault(op.name, []).append(place(graph, op, layers))
    return [f"{name} {why}: at {_listed(at)}." for name, at in places.items()]


def place(graph: Graph, op: Op, layers: Collection[str]) -> str:
    """Name an op by what it computes, and its Keras layer, or the one before it where its own name tells none."""
    names = graph.names[op.index] or tuple(graph.tensors[i].name for i in op.outputs)
    told = f"'{short_name(names[0])}'" if names else f"op {op.index}"
    if found := _layers(graph, op, layers):
        return f"{told} (layer {', '.join(found)})"
    before = _before(graph, op, layers) if layers else []
    return f"{told} (after layer {', '.join(before)})" if before else told


def _layers(graph: Graph, op: Op, layers: Collection[str]) -> list[str]:
    """List the layers of an op; one that only turns numbers into others has those that its output is named after."""
    return layers_at(graph, op, layers) or [
        layer for i in op.outputs for layer in layers_of(graph.tensors[i].name, layers)
    ]


def _before(graph: Graph, op: Op, layers: Collection[str]) -> list[str]:
    """List the layers of the nearest op before this one that has any."""
    makers = {index: maker for maker in graph.ops for index in maker.outputs}
    reads = op.inputs
    while maker := next((makers[i] for i in reads if i in makers), None):
        if found := _layers(graph, maker, layers):
            return found
        reads = maker.inputs
    return []


def _listed(places: list[str]) -> str:
    more = f" and {len(places) - _TOLD} more" if len(places) > _TOLD else ""
    return ", ".join(places[:_TOLD]) + more
