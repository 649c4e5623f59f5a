"""A float `.tflite` in; each of its ops as a small file of its own, and what it computes on samples, out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import answers, flatbuffer, litert
from tflite_pipeline.runtime.graph import Graph, read_graphs

Array = npt.NDArray[Any]

_BOUND = frozenset({"CALL", "CALL_ONCE", "IF", "STABLEHLO_CASE", "STABLEHLO_COMPOSITE", "STABLEHLO_WHILE", "WHILE"})
"""Ops whose work is another subgraph, which a file of one op does not have."""


def bound_ops(graph: Graph) -> list[str]:
    """Name the ops that do not compute from their inputs alone: loops, and those that keep state."""
    return sorted({op.name for op in graph.ops if op.name in _BOUND or any(graph.tensors[i].state for i in op.inputs)})


@dataclass(frozen=True)
class Call:
    """An op with all its inputs, -1 where an optional one is left out."""

    name: str
    inputs: tuple[int, ...]


class Pieces:
    """The ops of subgraph 0 by their index; tensors go by their numbers there, samples are the first axis."""

    def __init__(self, path: Path, folder: Path, threads: int) -> None:
        """Read the file; the small ones are written below `folder`. Raises StageError for ops that cannot stand alone.

        `threads` is how many interpreters share the samples.
        """
        self.graph = read_graphs(path)[0]
        self._model = flatbuffer.unpack(path)
        self._own = self._model.subgraphs[0]
        self._folder, self._threads = folder, threads
        self._stored: dict[int, Array] = {}
        if bound := bound_ops(self.graph):
            raise StageError(
                f"every op must compute from its inputs alone for recovery. Got {', '.join(bound)}: loops or state.",
                "Leave out quantization.recovery, or set it to auto, which does without where it must.",
            )

    @property
    def inputs(self) -> tuple[int, ...]:
        """The inputs of the graph in the file's order."""
        return tuple(map(int, self._own.inputs))

    @property
    def calls(self) -> tuple[Call, ...]:
        """The ops as far as their places go."""
        return tuple(Call(op.name, self.inputs_of(op.index)) for op in self.graph.ops)

    def inputs_of(self, index: int) -> tuple[int, ...]:
        """List the tensors that an op reads in their places, -1 where an optional one is left out."""
        return tuple(map(int, self._own.operators[index].inputs))

    def options_of(self, index: int) -> Any:
        """Give an op's options, an object of the schema."""
        return self._own.operators[index].builtinOptions

    def constant(self, tensor: int) -> Array:
        """Give the values of a stored tensor."""
        data = self._model.buffers[self._own.tensors[tensor].buffer].data
        described = self.graph.tensors[tensor]
        return np.frombuffer(data, described.dtype).reshape(described.shape)

    def compute(
        self,
        index: int,
        values: Mapping[int, Array],
        constants: Mapping[int, Array] | None = None,
        activated: bool = True,
    ) -> dict[int, Array]:
        """Run an op on samples: arrays by tensor, for the tensors that it computes.

        `constants` stand in the place of stored ones; without `activated` the activation that is fused is left out.
        """
        op = self.graph.ops[index]
        path = self._folder / f"op{index}.tflite"
        path.write_bytes(self._cut(index, constants or {}, activated))
        fed = {str(i): values[i] for i in dict.fromkeys(op.inputs) if i in values}
        if not fed:
            return self._fold(path, op.outputs)
        # One sample an inference: what the first axis of a tensor is does not matter then.
        found = answers.compute(path, fed, self._threads)
        path.unlink()
        return {i: found[str(i)].astype(self.graph.tensors[i].dtype, copy=False) for i in op.outputs}

    def _fold(self, path: Path, outputs: tuple[int, ...]) -> dict[int, Array]:
        """Compute what depends on no sample, and keep it as if it were stored."""
        # XNNPACK does not start on a graph whose inputs are all constant.
        interpreter = litert.open_interpreter(path, kernels="reference")
        interpreter.invoke()
        rows = interpreter.get_output_details()
        self._stored.update({i: interpreter.get_tensor(row["index"]) for i, row in zip(outputs, rows, strict=True)})
        path.unlink()
        return {}

    def _cut(self, index: int, constants: Mapping[int, Array], activated: bool) -> bytes:
        model, graph = copy.copy(self._model), copy.copy(self._own)
        operator = copy.copy(self._own.operators[index])
        held = {**self._stored, **constants}
        numbers = [int(i) for i in dict.fromkeys([*operator.inputs, *operator.outputs]) if i >= 0]
        model.buffers, graph.tensors = [type(self._model.buffers[0])()], []
        for place, number in enumerate(numbers, 1):
            tensor = copy.copy(self._own.tensors[number])
            buffer = type(self._model.buffers[0])()
            buffer.data = self._data(number, held)
            model.buffers.append(buffer)
            tensor.buffer, tensor.name, tensor.shapeSignature = place, str(number).encode(), None
            graph.tensors.append(tensor)
        places = {number: place for place, number in enumerate(numbers)} | {-1: -1}
        graph.inputs = [
            places[i] for i in numbers if i in operator.inputs and model.buffers[places[i] + 1].data is None
        ]
        graph.outputs = [places[int(i)] for i in operator.outputs]
        operator.inputs = [places[int(i)] for i in operator.inputs]
        operator.outputs = graph.outputs
        model.operatorCodes = [self._model.operatorCodes[operator.opcodeIndex]]
        operator.opcodeIndex = 0
        if not activated:
            operator.builtinOptions = copy.copy(operator.builtinOptions)
            operator.builtinOptions.fusedActivationFunction = 0
        graph.operators = [operator]
        model.subgraphs, model.signatureDefs, model.metadata = [graph], None, None
        return flatbuffer.pack(model)

    def _data(self, number: int, held: Mapping[int, Array]) -> Array | None:
        if number in held:
            dtype = self.graph.tensors[number].dtype
            return np.ascontiguousarray(held[number], dtype).view(np.uint8).reshape(-1)
        data: Array | None = self._model.buffers[self._own.tensors[number].buffer].data
        return data
