"""A float `.tflite` in; the same graph, which gives the ranges or the values of its activations, out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tflite_pipeline.artifacts import Reference
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.draft import Draft
from tflite_pipeline.runtime.graph import Graph, Op
from tflite_pipeline.runtime.values import as_outputs, is_led, repeated

_ELSEWHERE = frozenset(
    {
        "CALL",
        "CALL_ONCE",
        "IF",
        "STABLEHLO_CASE",
        "STABLEHLO_COMPOSITE",
        "STABLEHLO_REDUCE",
        "STABLEHLO_REDUCE_WINDOW",
        "STABLEHLO_SCATTER",
        "STABLEHLO_SORT",
        "STABLEHLO_WHILE",
        "WHILE",
    }
)
"""Ops whose work is another subgraph."""
_VARIABLES = frozenset({"ASSIGN_VARIABLE", "READ_VARIABLE", "VAR_HANDLE"})
_TOLD = 3

_PASS_NAN_ON = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
"""Ops that give NaN wherever they read it. There are more; these read nearly all that there is to sum."""

_REDUCTIONS = {"low": "REDUCE_MIN", "high": "REDUCE_MAX", "sum": "SUM"}


class Obstacle(NamedTuple):
    """Why the ranges of a file's activations cannot be taken, and what to do about it."""

    reason: str
    remedy: str


def activations(graph: Graph) -> tuple[int, ...]:
    """List the float32 tensors whose values depend on the samples: the graph's inputs, then the ops' outputs, in order.

    Constants, what is computed from constants only, state and tensors without elements are left out.
    """
    candidates = [*sorted(graph.inputs), *(index for op in graph.ops for index in op.outputs if index >= 0)]

    def is_activation(index: int) -> bool:
        tensor = graph.tensors[index]
        return tensor.dtype == "float32" and not tensor.state and index not in graph.origins and 0 not in tensor.shape

    return tuple(filter(is_activation, candidates))


def find_obstacle(graphs: Sequence[Graph]) -> Obstacle | None:
    """Find what keeps the ranges of a file's activations from being taken; nothing where they can be."""
    main = graphs[0]
    for graph in graphs:
        for tensor in graph.tensors:
            if tensor.quantized:
                text = f"a quantized file is given as reference (tensor '{tensor.name}' is {tensor.dtype} with a scale)"
                return Obstacle(text, "Give the float file that it was made from.")
    elsewhere = [op for op in main.ops if op.name in _ELSEWHERE]
    if elsewhere:
        text = f"the ranges inside {_listed(main, elsewhere)} cannot be seen: another graph does the work"
        return Obstacle(text, "Unroll the layer, e.g. LSTM(unroll=True), or use scheme: dynamic_int8.")
    keeping = [op for op in main.ops if op.name in _VARIABLES or any(main.tensors[i].state for i in op.inputs)]
    if keeping:
        text = f"the ranges inside {_listed(main, keeping)} cannot be seen: it keeps state"
        remedy = (
            "Quantize the Keras model or SavedModel with engine: converter, which calibrates such an op by itself, "
            "or use scheme: dynamic_int8."
        )
        return Obstacle(text, remedy)
    if len(graphs) > 1:
        return Obstacle(f"it holds {len(graphs)} signatures", "Export the model with one signature.")
    if not activations(main):
        return Obstacle("it computes nothing in float32", "Use scheme: float32, which leaves it as it is.")
    return None


def uncalibratable(graphs: Sequence[Graph]) -> str:
    """Say why the ranges of a file's activations cannot be taken; nothing where they can."""
    found = find_obstacle(graphs)
    return found.reason if found else ""


def refuse_uncalibratable(graphs: Sequence[Graph]) -> None:
    """Raise StageError where the ranges of a file's activations cannot be taken."""
    if found := find_obstacle(graphs):
        raise StageError(f"the model cannot be calibrated: {found.reason}.", found.remedy)


def with_ranges(reference: Reference, graph: Graph, batch: int) -> bytes:
    """Give the reference the outputs `low`, `high` and `sum`, float32 [batch, activations], in place of its own.

    Each activation is reduced where it is made, so that its memory is free again as early as it was. What belongs to no
    row of the batch counts for every row. `sum` is there for NaN, which minimum and maximum pass over; where the
    readers of an activation pass its NaN on, it is `low` again.
    """
    draft, tensors, summed = Draft(reference.path), activations(graph), _summed(graph)
    columns: dict[str, list[int]] = {name: [] for name in _REDUCTIONS}
    axes: dict[tuple[int, int], int] = {}

    def reduce(made: Iterable[int]) -> None:
        for index in made:
            first, rank = int(is_led(draft, index, batch)), len(graph.tensors[index].shape)
            if first < rank and (first, rank) not in axes:
                axes[first, rank] = draft.constant(np.arange(first, rank, dtype=np.int32))
            for name, op in _REDUCTIONS.items():
                column = index
                if name == "sum" and index not in summed:
                    column = columns["low"][-1]
                elif first < rank:
                    inputs, shape = (index, axes[first, rank]), [batch] * first
                    column = draft.op(op, inputs, shape, "ReducerOptions", keepDims=False)
                columns[name].append(column)

    after_each(draft, graph, tensors, reduce)
    outputs = []
    for name, column in columns.items():
        outputs.append(_table(draft, column, [is_led(draft, index, batch) for index in tensors], batch))
        draft.rename(outputs[-1], name)
    name_inputs(draft, reference)
    return draft.finish(outputs)


def _summed(graph: Graph) -> frozenset[int]:
    """List the tensors whose NaN might be seen nowhere else: outputs, and those with a reader that could hide it."""
    hiding = (index for op in graph.ops if op.name not in _PASS_NAN_ON for index in op.inputs)
    return graph.outputs.union(hiding)


def with_values(reference: Reference, graph: Graph, batch: int) -> bytes:
    """Give the reference its activations as outputs, in place of its own; the first axis of each is the batch.

    A tensor that does not belong to the rows of the batch is repeated for each, where there is more than one.
    """
    draft = Draft(reference.path)
    name_inputs(draft, reference)
    return draft.finish(as_outputs(draft, activations(graph), batch))


def _listed(graph: Graph, ops: Sequence[Op]) -> str:
    names = [f"{op.name} '{graph.tensors[op.outputs[0]].name}'" if op.outputs else op.name for op in ops]
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


def after_each(draft: Draft, graph: Graph, tensors: Sequence[int], add: Callable[[Iterable[int]], None]) -> None:
    """Call `add(tensors made)` before the first op and after every op, so that what it adds stands there."""
    wanted = set(tensors)
    producers, draft.graph.operators = draft.graph.operators, []
    add(index for index in tensors if index in graph.inputs)
    for op, producer in zip(graph.ops, producers, strict=True):
        draft.graph.operators.append(producer)
        add(index for index in op.outputs if index in wanted)


def _table(draft: Draft, columns: Sequence[int], led: Sequence[bool], batch: int) -> int:
    """Join columns, which are [batch] where they are led and else single numbers, to [batch, columns]."""
    if batch == 1:
        row = draft.op("PACK", columns, [len(columns)], "PackOptions", valuesCount=len(columns), axis=0)
        return repeated(draft, row, [len(columns)], 1)
    whole = [c if own else repeated(draft, c, [], batch) for c, own in zip(columns, led, strict=True)]
    return draft.op("PACK", whole, [batch, len(whole)], "PackOptions", valuesCount=len(whole), axis=1)


def name_inputs(draft: Draft, reference: Reference) -> None:
    """Give the inputs the names that samples have for them, which the signature had."""
    for index, info in zip(draft.graph.inputs, reference.inputs, strict=True):
        draft.rename(index, info.name)
