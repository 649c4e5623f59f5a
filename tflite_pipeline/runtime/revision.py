"""A `.tflite` in; the same file, with ops of its first subgraph replaced by others, out."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.runtime.draft import Draft

_WITH_OPTIONS = frozenset({"ADD", "GATHER", "MUL", "SUB"})
"""Of the ops that are put in, those that have options."""


class Revision(Draft):
    """A file whose ops are gone through in order; what is put in stands where the op stood that is not kept."""

    def __init__(self, file: Path | bytes) -> None:
        """Read the file."""
        super().__init__(file)
        self._readers = Counter(int(index) for op in self.graph.operators for index in set(op.inputs))
        self._readers.update(map(int, self.graph.outputs))

    def ops(self) -> Iterator[Any]:
        """Yield each op at its turn; it stays only where it is kept."""
        standing, self.graph.operators = self.graph.operators, []
        yield from standing

    def keep(self, op: Any) -> None:
        """Leave an op as it is."""
        self.graph.operators.append(op)

    def put(self, name: str, inputs: Sequence[int], output: int, **fields: Any) -> int:
        """Put in an op that makes a tensor that is there already, and give the tensor's number again.

        `fields` are those of its options in the schema that are not to be as they are by default.
        """
        from ai_edge_litert import schema_py_generated as schema

        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(name)
        operator.inputs, operator.outputs = list(inputs), [output]
        if name in _WITH_OPTIONS:
            title = f"{name.capitalize()}Options"
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, title)
            operator.builtinOptions = getattr(schema, f"{title}T")()
            vars(operator.builtinOptions).update(fields)
        self.graph.operators.append(operator)
        return output

    def name(self, op: Any) -> str:
        """Give the schema's name of an op, e.g. `CONV_2D`."""
        from ai_edge_litert import schema_py_generated as schema

        number = self._model.operatorCodes[op.opcodeIndex].builtinCode
        names = (str(name) for name, value in vars(schema.BuiltinOperator).items() if value == number)
        return next(names, "")

    def dtype(self, tensor: int) -> str:
        """Give numpy's name of the dtype of a tensor's elements."""
        from ai_edge_litert import schema_py_generated as schema

        number = self.graph.tensors[tensor].type
        return next(str(name).lower() for name, value in vars(schema.TensorType).items() if value == number)

    def shape(self, tensor: int) -> list[int]:
        """List a tensor's sizes; what may vary is 1."""
        return [int(size) for size in self.graph.tensors[tensor].shape]

    def is_open(self, tensor: int, axis: int) -> bool:
        """Tell whether the size of a tensor along an axis may vary."""
        signature = self.graph.tensors[tensor].shapeSignature
        return signature is not None and len(signature) > 0 and int(signature[axis]) < 0

    def stored(self, tensor: int) -> npt.NDArray[Any] | None:
        """Give the values of a constant, flat; nothing for what is computed."""
        data = self._model.buffers[self.graph.tensors[tensor].buffer].data
        return None if data is None else np.frombuffer(data, self.dtype(tensor))

    def varies(self, tensor: int) -> bool:
        """Tell whether a tensor is float32 that is computed or given, not stored."""
        return self.dtype(tensor) == "float32" and self.stored(tensor) is None

    def is_own(self, tensor: int) -> bool:
        """Tell whether a tensor is a float32 constant that one op reads."""
        return self.dtype(tensor) == "float32" and self.stored(tensor) is not None and self._readers[tensor] == 1

    def store(self, tensor: int, values: npt.NDArray[Any]) -> None:
        """Give a float32 constant other values, in a buffer of its own, since tensors may share one."""
        from ai_edge_litert import schema_py_generated as schema

        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)
        self.graph.tensors[tensor].buffer = len(self._model.buffers)
        self._model.buffers.append(buffer)

    def maker(self, tensor: int) -> Any:
        """Give the op that makes a tensor, where it was kept or put in already; else nothing."""
        return next((op for op in self.graph.operators if tensor in op.outputs), None)

    def drop(self, op: Any) -> None:
        """Take out an op that was kept."""
        self.graph.operators.remove(op)

    def is_activated(self, op: Any) -> bool:
        """Tell whether an activation is fused into an op."""
        return bool(op.builtinOptions.fusedActivationFunction)

    def is_padded(self, op: Any) -> bool:
        """Tell whether an op may read beyond the edges of its input."""
        from ai_edge_litert import schema_py_generated as schema

        return bool(getattr(op.builtinOptions, "padding", schema.Padding.VALID) != schema.Padding.VALID)

    def readers(self, tensor: int) -> int:
        """Count the ops that the file came with that read a tensor, and the graph where it is an output."""
        return self._readers[tensor]

    def integers(self, values: Sequence[int]) -> int:
        """Add a constant of int32 [values], and give its number among the tensors."""
        return self._named(self.constant(np.array(values, np.int32)), "rewritten/integers")

    def number(self, value: float) -> int:
        """Add a constant of float32 [], and give its number among the tensors."""
        return self._named(self._floats(np.array(value, np.float32)), "rewritten/number")

    def zeros(self, count: int, name: str) -> int:
        """Add a constant of zeros, float32 [count], and give its number among the tensors."""
        return self._named(self._floats(np.zeros(count, np.float32)), name)

    def _floats(self, values: npt.NDArray[np.float32]) -> int:
        from ai_edge_litert import schema_py_generated as schema

        index = self.constant(values.view(np.int32))
        self.graph.tensors[index].type = schema.TensorType.FLOAT32
        return index

    def beside(self, tensor: int, word: str) -> int:
        """Add a tensor of the dtype and shape of another, named after it, and give its number."""
        twin = copy.copy(self.graph.tensors[tensor])
        twin.quantization = None
        self.graph.tensors.append(twin)
        return self._named(len(self.graph.tensors) - 1, f"{twin.name.decode()}_{word}")

    def content(self) -> bytes:
        """Serialize the file, with its signatures; kinds of ops and data that are no longer used are left out.

        LiteRT refuses a file that lists an op that it does not know, even where no op is of that kind.
        """
        used = {tensor.buffer for graph in self._model.subgraphs for tensor in graph.tensors}
        used.update(entry.buffer for entry in self._model.metadata or [])
        for index, buffer in enumerate(self._model.buffers):
            buffer.data = buffer.data if index in used else None
        codes: list[Any] = []
        for op in (op for graph in self._model.subgraphs for op in graph.operators):
            code = self._model.operatorCodes[op.opcodeIndex]
            if code not in codes:
                codes.append(code)
            op.opcodeIndex = codes.index(code)
        self._model.operatorCodes = codes
        return flatbuffer.pack(self._model)

    def _named(self, index: int, name: str) -> int:
        taken = {tensor.name for tensor in self.graph.tensors}
        tries = (name if count == 0 else f"{name}_{count}" for count in range(len(taken) + 1))
        self.rename(index, next(text for text in tries if text.encode() not in taken))
        return index
