"""A sound model and its graphs in; versions of ops, axes of scales, open dimensions and shape arithmetic out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.graph import NO_DATA, Graph, Op

MIN_RUNTIME = "min_runtime_version"
TFLITE_METADATA = "TFLITE_METADATA"

Row = dict[str, Any]


def op_versions(model: Any) -> list[Row]:
    """Count the ops by name and version, over all graphs, the most frequent first: `{op, version, count}`."""
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    ops = (graph.Operators(i) for graph in graphs for i in range(graph.OperatorsLength()))
    found = Counter((litert.op_name(model, op), model.OperatorCodes(op.OpcodeIndex()).Version()) for op in ops)
    return [{"op": name, "version": version, "count": count} for (name, version), count in found.most_common()]


def channel_axes(model: Any, graphs: Sequence[Graph]) -> list[Row]:
    """Count the constants with a scale a channel by the op that reads them and the axis: `{op, axis, count}`.

    Biases, which have one axis only, are left out.
    """
    found: Counter[tuple[str, int]] = Counter()
    for graph in graphs:
        tensors = model.Subgraphs(graph.index)
        for op in graph.ops:
            for index in op.inputs:
                tensor = graph.tensors[index]
                if tensor.stored and tensor.granularity == "per_channel" and len(tensor.shape) > 1:
                    found[op.name, tensors.Tensors(index).Quantization().QuantizedDimension()] += 1
    return [{"op": name, "axis": axis, "count": count} for (name, axis), count in found.most_common()]


def open_tensors(model: Any) -> list[Row]:
    """List the tensors with a dimension that may vary, -1 in their shape: `{subgraph, tensor, shape}`."""
    rows = []
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            shape = [tensor.ShapeSignature(i) for i in range(tensor.ShapeSignatureLength())]
            if -1 in shape:
                rows.append({"subgraph": number, "tensor": litert.text(tensor.Name()), "shape": shape})
    return rows


def shape_chains(graphs: Sequence[Graph]) -> list[Row]:
    """List the shape arithmetic that is left in the graphs: `{subgraph, ops, feeds}`.

    A chain begins at a SHAPE or RANK; an op belongs to it that makes whole numbers of nothing else than the chain and
    constants. What else reads it is fed by it; chains that meet are one.
    """
    return [row for graph in graphs for row in _chains(graph)]


def _chains(graph: Graph) -> Iterator[Row]:
    owners: dict[int, Row] = {}
    chains: list[Row] = []
    for op in graph.ops:
        if op.name in NO_DATA:
            chains.append({"subgraph": graph.index, "ops": [op.name], "feeds": []})
            owners.update(dict.fromkeys(op.outputs, chains[-1]))
            continue
        read = _distinct(owners[i] for i in op.inputs if i in owners)
        if not read:
            continue
        if not _in_chain(graph, op, owners):
            for chain in read:
                chain["feeds"].append(op.name)
            continue
        first, *others = read
        for chain in others:
            first["ops"] += chain["ops"]
            first["feeds"] += chain["feeds"]
            chains = [kept for kept in chains if kept is not chain]
            owners.update({tensor: first for tensor, owner in owners.items() if owner is chain})
        first["ops"].append(op.name)
        owners.update(dict.fromkeys(op.outputs, first))
    yield from chains


def _in_chain(graph: Graph, op: Op, owners: Mapping[int, Row]) -> bool:
    alone = all(i in owners or i in graph.origins for i in op.inputs)
    return alone and all("int" in graph.tensors[i].dtype for i in op.outputs)


def _distinct(rows: Iterator[Row]) -> list[Row]:
    return list({id(row): row for row in rows}.values())


def metadata(model: Any) -> list[Row]:
    """List the metadata: `{name, bytes}`, and of the least version of the runtime its `text`."""
    rows = []
    for position in range(model.MetadataLength()):
        entry = model.Metadata(position)
        buffer, name = model.Buffers(entry.Buffer()), litert.text(entry.Name())
        row: Row = {"name": name, "bytes": buffer.DataLength() or buffer.Size()}
        if name == MIN_RUNTIME and buffer.DataLength():
            row["text"] = litert.text(buffer.DataAsNumpy().tobytes().rstrip(b"\0"))
        rows.append(row)
    return rows


def subgraphs(model: Any) -> list[Row]:
    """List the graphs with the numbers of their ops, tensors, inputs and outputs."""
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    return [
        {
            "name": litert.text(graph.Name()),
            "ops": graph.OperatorsLength(),
            "tensors": graph.TensorsLength(),
            "inputs": graph.InputsLength(),
            "outputs": graph.OutputsLength(),
        }
        for graph in graphs
    ]
