"""A `.tflite` in; what rules about targets look at out: ops by place, dtypes of data, inputs that vary."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from tflite_pipeline.artifacts import TensorInfo
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.graph import Graph, Op, read_graphs
from tflite_pipeline.runtime.layers import short_name

_TOLD = 3
"""Places of an op that a finding names; the rest is counted."""


class Contents:
    """The graphs of a file, and its inputs and outputs."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises StageError where it is damaged."""
        self.graphs = read_graphs(path)
        self.inputs, self.outputs = litert.describe(path)

    def ops(self) -> Iterator[tuple[Graph, Op]]:
        """Go through all ops."""
        return ((graph, op) for graph in self.graphs for op in graph.ops)

    def data_dtypes(self, graph: Graph, op: Op) -> set[str]:
        """Give the dtypes of an op's inputs and outputs that are no constants."""
        return {graph.tensors[i].dtype for i in (*op.inputs, *op.outputs) if i not in graph.origins}

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
        return told_by_op(strangers, where)


def io_outside(infos: Collection[TensorInfo], dtypes: Collection[str], side: str) -> list[str]:
    """Tell of inputs or outputs of another dtype than these."""
    return [
        f"the {side} '{info.name}' must be {' or '.join(dtypes)}. Got {info.dtype}: quantization.io decides it."
        for info in infos
        if info.dtype not in dtypes
    ]


def told_by_op(found: Collection[tuple[Graph, Op]], why: str) -> list[str]:
    """Tell what holds for these ops, a sentence a type of op, with the places of the first."""
    places: dict[str, list[str]] = {}
    for graph, op in found:
        places.setdefault(op.name, []).append(place(graph, op))
    return [f"{name} {why}: at {_listed(at)}." for name, at in places.items()]


def place(graph: Graph, op: Op) -> str:
    """Name an op by what it computes, which the converter names after the layer."""
    names = graph.names[op.index] or tuple(graph.tensors[i].name for i in op.outputs)
    return f"'{short_name(names[0])}'" if names else f"op {op.index}"


def _listed(places: list[str]) -> str:
    more = f" and {len(places) - _TOLD} more" if len(places) > _TOLD else ""
    return ", ".join(places[:_TOLD]) + more
