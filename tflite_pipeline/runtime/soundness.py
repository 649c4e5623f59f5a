"""A `.tflite` of any origin in; its schema `Model` out, all references of which were seen to lead somewhere."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert

_STRETCH = 8
"""Times the size of a file that all its lists and names may amount to: equal ones may be stored once."""


def read_sound_model(path: Path) -> Any:
    """Open a file of any origin. LiteRT's verifier looks at the layout only, so the references are looked at here.

    Raises StageError where the file is missing or damaged, or holds a dtype that this LiteRT does not know.
    """
    if _is_swollen(path):
        raise StageError(f"'{path}' is damaged: its parts repeat each other beyond all measure.", "Copy it anew.")
    model = litert.read_model(path)
    problem = next(_problems(model), None)
    if problem is not None:
        raise StageError(f"'{path}' is damaged or of a newer format: {problem}.", "Make it again, or copy it anew.")
    return model


def _is_swollen(path: Path) -> bool:
    """Tell whether a small file unfolds to a large one, which LiteRT would unfold.

    Nothing was verified yet, but reading by Python ends where the bytes do, and the sum after a bounded count of steps.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = path.read_bytes()
    try:
        lengths = _lengths(schema.Model.GetRootAs(content, 0))
        return any(total > _STRETCH * len(content) for total in itertools.accumulate(lengths))
    except (struct.error, AttributeError, IndexError, TypeError, ValueError):
        return False  # the verifier has words for it


def _lengths(model: Any) -> Iterator[int]:
    """Give the lengths of what is going to be read, of which a small file may name the same again and again."""
    yield from (1 + model.Buffers(i).DataLength() for i in range(model.BuffersLength()))
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        yield 1
        for position in range(graph.TensorsLength()):
            tensor = graph.Tensors(position)
            yield 1 + tensor.ShapeLength() + tensor.ShapeSignatureLength() + len(tensor.Name() or b"")
            if (grid := tensor.Quantization()) is not None:
                yield grid.ScaleLength() + grid.ZeroPointLength() + grid.MinLength() + grid.MaxLength()
        for position in range(graph.OperatorsLength()):
            op = graph.Operators(position)
            yield 1 + op.InputsLength() + op.OutputsLength() + op.IntermediatesLength() + op.CustomOptionsLength()


def _problems(model: Any) -> Iterator[str]:
    if model.SubgraphsLength() == 0:
        yield "it has no graph"
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        yield from _of_tensors(model, graph, number)
        yield from _of_ops(model, graph, number)
    yield from _of_signatures(model)
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    yield from _strangers("metadata", [entry.Buffer() for entry in entries], model.BuffersLength(), "buffer")


def _of_tensors(model: Any, graph: Any, number: int) -> Iterator[str]:
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    place = f"a tensor of graph {number}"
    yield from _strangers(place, [tensor.Buffer() for tensor in tensors], model.BuffersLength(), "buffer")
    known = litert.type_numbers()
    for tensor in tensors:
        if tensor.Type() not in known:
            yield f"{place} has dtype number {tensor.Type()}, which is none"


def _of_ops(model: Any, graph: Any, number: int) -> Iterator[str]:
    tensors = graph.TensorsLength()
    for side in ("Inputs", "Outputs"):
        yield from _strangers(f"graph {number}", _vector(graph, side), tensors, "tensor")
    for position in range(graph.OperatorsLength()):
        op, place = graph.Operators(position), f"op {position} of graph {number}"
        yield from _strangers(place, [op.OpcodeIndex()], model.OperatorCodesLength(), "op code")
        # An input of -1 is one that is left out.
        yield from _strangers(place, [i for i in _vector(op, "Inputs") if i != -1], tensors, "tensor")
        yield from _strangers(place, _vector(op, "Outputs"), tensors, "tensor")
        yield from _strangers(place, [i for i in _vector(op, "Intermediates") if i != -1], tensors, "tensor")


def _of_signatures(model: Any) -> Iterator[str]:
    for position in range(model.SignatureDefsLength()):
        signature, place = model.SignatureDefs(position), f"signature {position}"
        graph = signature.SubgraphIndex()
        yield from _strangers(place, [graph], model.SubgraphsLength(), "graph")
        if graph >= model.SubgraphsLength():
            return
        maps = [*_vector(signature, "Inputs"), *_vector(signature, "Outputs")]
        tensors = model.Subgraphs(graph).TensorsLength()
        yield from _strangers(place, [row.TensorIndex() for row in maps], tensors, "tensor")


def _vector(table: Any, name: str) -> list[Any]:
    return [getattr(table, name)(i) for i in range(getattr(table, f"{name}Length")())]


def _strangers(place: str, numbers: Sequence[int], count: int, what: str) -> Iterator[str]:
    for number in numbers:
        if not 0 <= number < count:
            yield f"{place} names {what} {number}, but there are {count}"
            return
