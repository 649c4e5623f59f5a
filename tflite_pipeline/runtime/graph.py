"""The subgraphs of a `.tflite` as plain values: ops, tensors, and which tensors are constant."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
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
BORDER = frozenset({"QUANTIZE", "DEQUANTIZE"})
"""Ops that change the dtype at a border of integers."""
NO_DATA = frozenset({"SHAPE", "RANK"})
"""Ops that look at a tensor's shape only."""
FIXED_RANGE = frozenset({"SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "TANH", "L2_NORMALIZATION"})
"""Ops whose kernels prescribe the scale of what they put out."""


@dataclass(frozen=True)
class Tensor:
    """`stored` tensors have their values in the file; `state` ones keep theirs between inferences.

    `granularity` says what shares a scale: per_tensor, per_channel, block32 (every 32 values), or "".
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    granularity: str
    stored: bool
    state: bool

    @property
    def quantized(self) -> bool:
        """Whether its integers stand for real numbers."""
        return bool(self.granularity)


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
    """A constant matrix or kernel as the file stores it, and the type of op that uses it.

    `unpacked` says that a DEQUANTIZE stands before its use; `granularity` is that of `Tensor`.
    """

    op: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    granularity: str
    unpacked: bool

    @property
    def elements(self) -> int:
        """How many values it has, however they are packed."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Graph:
    """One subgraph; `titles` are the names that the file's signatures give to outputs, by number of the tensor."""

    index: int
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: frozenset[int]
    outputs: frozenset[int]
    titles: dict[int, str] = field(default_factory=dict)

    @cached_property
    def origins(self) -> dict[int, tuple[int, bool]]:
        """By constant tensor: the stored tensor that it comes from, and whether a DEQUANTIZE lies between."""
        origins = {i: (i, False) for i, tensor in enumerate(self.tensors) if tensor.stored}
        for op in self.ops:
            if op.inputs and all(i in origins for i in op.inputs):
                origin, unpacked = origins[op.inputs[0]]
                origins.update({i: (origin, unpacked or op.name == "DEQUANTIZE") for i in op.outputs})
        return origins

    @cached_property
    def scopes(self) -> frozenset[str]:
        """All scopes that tensors lie in, as far as their names tell: of `a/b/Relu;c/MatMul` a, b and c."""
        parts = (part.split("/") for tensor in self.tensors for part in tensor.name.split(";"))
        return frozenset(scope for words in parts for scope in words[:-1])

    @cached_property
    def names(self) -> dict[int, tuple[str, ...]]:
        """By number of the op: the names of what it computes, its own outputs first, then their titles.

        What QUANTIZE or DEQUANTIZE makes of a tensor counts as computed by the op before it: engines that put them in
        leave the old name to either side.
        """
        makers: dict[int, Op] = {}
        for op in self.ops:
            maker = makers.get(op.inputs[0]) if op.name in BORDER else op
            if maker is not None:
                makers.update(dict.fromkeys(op.outputs, maker))
        names: dict[int, list[str]] = {op.index: [] for op in self.ops}
        for index, maker in makers.items():
            names[maker.index].append(self.tensors[index].name)
        for index, title in self.titles.items():
            if index in makers:
                names[makers[index].index].append(title)
        return {op: tuple(dict.fromkeys(found)) for op, found in names.items()}

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
                    kind = tensor.dtype, tensor.shape, tensor.granularity
                    found.append(Weight(op.name, tensor.name, *kind, unpacked))
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
        titles=_titles(model, index),
    )


def _titles(model: Any, index: int) -> dict[int, str]:
    signatures = (model.SignatureDefs(i) for i in range(model.SignatureDefsLength()))
    maps = (s.Outputs(i) for s in signatures if s.SubgraphIndex() == index for i in range(s.OutputsLength()))
    return {row.TensorIndex(): litert.text(row.Name()) for row in maps}


def _tensor(model: Any, tensor: Any) -> Tensor:
    buffer = model.Buffers(tensor.Buffer())
    return Tensor(
        name=litert.text(tensor.Name()),
        dtype=litert.type_name(tensor),
        shape=tuple(tensor.Shape(i) for i in range(tensor.ShapeLength())),
        granularity=_granularity(tensor.Quantization()),
        # Buffers of files above 2 GB lie outside the flatbuffer, at an offset.
        stored=buffer.DataLength() > 0 or buffer.Offset() > 1,
        state=bool(tensor.IsVariable()),
    )


def _granularity(quantization: Any) -> str:
    from ai_edge_litert import schema_py_generated as schema

    if quantization is None:
        return ""
    if quantization.DetailsType() == schema.QuantizationDetails.BlockwiseQuantization:
        details, table = schema.BlockwiseQuantization(), quantization.Details()
        details.Init(table.Bytes, table.Pos)
        return f"block{details.BlockSize()}"
    scales = quantization.ScaleLength()
    return "per_channel" if scales > 1 else "per_tensor" if scales else ""


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
