"""The subgraphs of a `.tflite` as plain values: ops, tensors, and which tensors are constant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tflite_pipeline.runtime import litert

_WITH_WEIGHTS = {
    "BATCH_MATMUL",
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "CONV_2D",
    "CONV_3D",
    "CONV_3D_TRANSPOSE",
    "DEPTHWISE_CONV_2D",
    "EMBEDDING_LOOKUP",
    "FULLY_CONNECTED",
    "GATHER",
    "LSTM",
    "RNN",
    "SVDF",
    "TRANSPOSE_CONV",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
}


@dataclass(frozen=True)
class Tensor:
    """`stored` tensors have their values in the file; `state` ones keep theirs between inferences."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    quantized: bool
    stored: bool
    state: bool


@dataclass(frozen=True)
class Op:
    """An operator with the numbers of its tensors; optional inputs that are left out are not among them."""

    index: int
    name: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Weight:
    """A constant matrix or kernel as the file stores it; `unpacked` says that a DEQUANTIZE stands before its use."""

    name: str
    dtype: str
    elements: int
    unpacked: bool


@dataclass(frozen=True)
class Graph:
    """One subgraph."""

    index: int
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: frozenset[int]
    outputs: frozenset[int]

    @cached_property
    def origins(self) -> dict[int, tuple[int, bool]]:
        """By constant tensor: the stored tensor that it comes from, and whether a DEQUANTIZE lies between."""
        origins = {i: (i, False) for i, tensor in enumerate(self.tensors) if tensor.stored}
        for op in self.ops:
            if op.inputs and all(i in origins for i in op.inputs):
                origin, unpacked = origins[op.inputs[0]]
                origins.update({i: (origin, unpacked or op.name == "DEQUANTIZE") for i in op.outputs})
        return origins

    def activations_of(self, op: Op) -> list[int]:
        """List the op's tensors that depend on the graph's inputs; state is none."""
        return [i for i in (*op.inputs, *op.outputs) if i not in self.origins and not self.tensors[i].state]

    def at_border(self, op: Op) -> bool:
        """Tell whether an op reads an input of the graph or writes an output."""
        return bool(self.inputs.intersection(op.inputs) or self.outputs.intersection(op.outputs))

    def weights_of(self, op: Op) -> list[Weight]:
        """List the op's weights; biases and other vectors are none."""
        if op.name not in _WITH_WEIGHTS:
            return []
        found = []
        for index in op.inputs:
            if index in self.origins and len(self.tensors[index].shape) >= 2:
                origin, unpacked = self.origins[index]
                tensor = self.tensors[origin]
                if tensor.quantized or "float" in tensor.dtype:
                    found.append(Weight(tensor.name, tensor.dtype, math.prod(tensor.shape), unpacked))
        return found


def read_graphs(path: Path) -> list[Graph]:
    """Read all subgraphs. Raises StageError where the file is damaged."""
    model = litert.read_model(path)
    return [_graph(model, index) for index in range(model.SubgraphsLength())]


def _graph(model: Any, index: int) -> Graph:
    graph = model.Subgraphs(index)
    return Graph(
        index=index,
        tensors=tuple(_tensor(model, graph.Tensors(i)) for i in range(graph.TensorsLength())),
        ops=tuple(_op(model, graph.Operators(i), i) for i in range(graph.OperatorsLength())),
        inputs=frozenset(graph.Inputs(i) for i in range(graph.InputsLength())),
        outputs=frozenset(graph.Outputs(i) for i in range(graph.OutputsLength())),
    )


def _tensor(model: Any, tensor: Any) -> Tensor:
    buffer = model.Buffers(tensor.Buffer())
    quantization = tensor.Quantization()
    return Tensor(
        name=tensor.Name().decode(),
        dtype=litert.type_name(tensor),
        shape=tuple(tensor.Shape(i) for i in range(tensor.ShapeLength())),
        quantized=quantization is not None and quantization.ScaleLength() > 0,
        # Buffers of files above 2 GB lie outside the flatbuffer, at an offset.
        stored=buffer.DataLength() > 0 or buffer.Offset() > 1,
        state=bool(tensor.IsVariable()),
    )


def _op(model: Any, operator: Any, index: int) -> Op:
    name = litert.op_name(model, operator)
    inputs = (operator.Inputs(i) for i in range(operator.InputsLength()))
    return Op(
        index=index,
        name=name,
        custom=litert.is_custom(model, operator),
        inputs=tuple(i for i in inputs if i >= 0),
        outputs=tuple(operator.Outputs(i) for i in range(operator.OutputsLength())),
    )
