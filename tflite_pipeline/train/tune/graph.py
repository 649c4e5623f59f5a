"""A float reference in; the same graph as a function of TensorFlow, for any batch and with gradients, out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.runtime.graph import Op, Tensor, read_graphs
from tflite_pipeline.runtime.sums import LEFT_OUT
from tflite_pipeline.runtime.tensorflow import tensorflow
from tflite_pipeline.train.tune.batch import Trace, relaid, trace
from tflite_pipeline.train.tune.call import Call
from tflite_pipeline.train.tune.node import Node, Place, Shape
from tflite_pipeline.train.tune.ops import ACTIVATIONS, OPS, compute
from tflite_pipeline.train.tune.rules import RULES

Array = npt.NDArray[Any]
Observer = Callable[[int, Any], Any]
"""`observe(number, value)` gives what stands for the value of that tensor."""

_LOOPS = {"WHILE", "IF", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_CASE", "STABLEHLO_COMPOSITE"}
_RECURRENT = {
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "LSTM",
    "RNN",
    "SVDF",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
}
_DTYPES = {"bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32"}


@dataclass(frozen=True)
class FloatGraph:
    """Subgraph 0 of a reference of batch 1; tensors go by their numbers in the file.

    `constants` are all stored tensors, those that decide over shapes too; `quantized` are tensors whose integers stand
    for real numbers, `state` those that keep their value from one inference to the next.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[int, Array]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    names: Mapping[int, str]
    shapes: Mapping[int, Shape]
    dtypes: Mapping[int, str]
    quantized: frozenset[int] = field(default_factory=frozenset)
    state: frozenset[int] = field(default_factory=frozenset)

    @cached_property
    def batch_axes(self) -> dict[int, int | None]:
        """By tensor: the axis along which the samples lie; None where it does not depend on the inputs.

        A tensor that only an op of `refusals` could give is left out.
        """
        return {
            number: None if place is None else place.axis
            for number, place in self.trace.places.items()
            if number != LEFT_OUT
        }

    def __call__(
        self,
        feeds: Sequence[Any],
        constants: Mapping[int, Any] | None = None,
        observe: Observer | None = None,
    ) -> list[Any]:
        """Compute the outputs, in the file's order, of inputs in the file's order whose first axis is any batch.

        `constants` stand in the place of stored ones; `observe` is asked about every input and every result of an op,
        which has its fused activation behind it. The graph must be one without `refusals`.
        """
        # AutoGraph would rewrite all this code, which has no loop or condition over tensors, at the cost of seconds.
        as_it_is = tensorflow().autograph.experimental.do_not_convert(self._compute)
        outputs: list[Any] = as_it_is(feeds, constants or {}, observe or _as_it_is)
        return outputs

    def _compute(self, feeds: Sequence[Any], constants: Mapping[int, Any], see: Observer) -> list[Any]:
        tf = tensorflow()
        values: dict[int, Any] = {LEFT_OUT: None, **self.constants, **constants}
        for number, feed in zip(self.inputs, feeds, strict=True):
            values[number] = see(number, _as_computed(tf, feed, self.dtypes[number]))
        places = self.trace.places
        batch = next((_length(tf, values[number]) for number in self.inputs if places.get(number)), 1)

        def read(number: int, place: Place | None) -> Any:
            own = places[number]
            if own is None or place is None or own == place:
                return values[number]
            shape = self.shapes[number]
            return relaid(tf, values[number], own.before(shape), shape, place)

        for node in self.nodes:
            reads, gives = self.trace.reads[node.index], tuple(places[number] for number in node.outputs)
            call = Call(node, tuple(map(read, node.inputs, reads)), reads, gives, batch, tf)
            values |= {number: see(number, value) for number, value in zip(node.outputs, compute(call), strict=True)}
        return [tf.convert_to_tensor(read(number, Place(0))) for number in self.outputs]

    @cached_property
    def trace(self) -> Trace:
        """Where the batch lies in all tensors."""
        return trace(self.nodes, {number: self.shapes[number] for number in self.inputs}, self.constants, RULES)


def refusals(graph: FloatGraph) -> list[tuple[Node, str]]:
    """List every op that TensorFlow cannot compute here for a batch, with the reason; needs no TensorFlow."""
    found = []
    refused = graph.trace.refused
    for node in graph.nodes:
        if why := _without_function(graph, node) or refused.get(node.index):
            found.append((node, why))
    return found


def read_float_graph(path: Path) -> FloatGraph:
    """Read subgraph 0 of a float `.tflite` whose shapes are static. Raises StageError where the file is damaged."""
    described = read_graphs(path)[0]
    model = flatbuffer.unpack(path)
    graph = model.subgraphs[0]
    numbered = dict(enumerate(described.tensors))
    nodes = tuple(_node(op, operator, numbered) for op, operator in zip(described.ops, graph.operators, strict=True))
    made = {number for node in nodes for number in node.outputs}.union(graph.inputs)
    # Of a tensor without values nothing is stored. Those with neither values nor an op that makes them are leftovers.
    empty = {i for i, tensor in numbered.items() if 0 in tensor.shape and i not in made}
    stored = {i: tensor for i, tensor in numbered.items() if tensor.stored or i in empty}
    return FloatGraph(
        nodes=nodes,
        constants={i: _constant(model.buffers[graph.tensors[i].buffer].data, tensor) for i, tensor in stored.items()},
        inputs=tuple(map(int, graph.inputs)),
        outputs=tuple(map(int, graph.outputs)),
        names={i: tensor.name for i, tensor in numbered.items()},
        shapes={i: tensor.shape for i, tensor in numbered.items()},
        dtypes={i: tensor.dtype for i, tensor in numbered.items()},
        quantized=frozenset(i for i, tensor in numbered.items() if tensor.quantized),
        state=frozenset(i for i, tensor in numbered.items() if tensor.state),
    )


def _without_function(graph: FloatGraph, node: Node) -> str:
    tensors = {*node.inputs, *node.outputs}
    if node.custom:
        return "it is no op of LiteRT itself"
    if node.name in _LOOPS:
        return "it runs other parts of the file, as loops do: unroll the layer (unroll=True)"
    if node.name in _RECURRENT:
        return "it is a whole recurrent layer in one op: build the layer with unroll=True"
    if node.name not in OPS:
        return "there is no function for it"
    if graph.state & tensors:
        return "it keeps a state from one inference to the next"
    if graph.quantized & tensors:
        return "it is quantized already"
    if node.option("fusedActivationFunction") not in ACTIVATIONS:
        return "there is no function for the activation that is fused into it"
    return ""


def _as_computed(tf: Any, feed: Any, dtype: str) -> Any:
    """Turn samples such as the bytes of an image into what the graph takes; float64 stays, to compute more exactly."""
    value = tf.convert_to_tensor(feed)
    return value if value.dtype.is_floating and dtype == "float32" else tf.cast(value, dtype)


def _as_it_is(_: int, value: Any) -> Any:
    return value


def _length(tf: Any, value: Any) -> Any:
    return tf.shape(value)[0] if value.shape[0] is None else value.shape[0]


def _node(op: Op, operator: Any, tensors: Mapping[int, Tensor]) -> Node:
    # Those of `op` lack the ones that are left out, and with them the meaning of their position.
    inputs = tuple(map(int, operator.inputs if operator.inputs is not None else ()))
    return Node(
        index=op.index,
        name=op.name,
        custom=op.custom,
        options=operator.builtinOptions,
        inputs=inputs,
        outputs=op.outputs,
        input_shapes=tuple(tensors[number].shape if number in tensors else () for number in inputs),
        output_shapes=tuple(tensors[number].shape for number in op.outputs),
        output_dtypes=tuple(tensors[number].dtype for number in op.outputs),
    )


def _constant(data: Array | None, tensor: Tensor) -> Array:
    """Give the values; those of a packed dtype stay as they are stored."""
    content = np.zeros(0, np.uint8) if data is None else data
    if tensor.dtype not in _DTYPES:
        return content
    return content.view(tensor.dtype).reshape(tensor.shape)
