"""A `.tflite` in; the same file with tensors and ops added to its first subgraph out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.runtime import flatbuffer


class Draft:
    """A file that is being added to; tensors go by their numbers in subgraph 0, `graph`, an object of the schema."""

    def __init__(self, file: Path | bytes) -> None:
        """Read the file; `graph.operators` may be taken apart before ops are added."""
        self._model = flatbuffer.unpack(file)
        self.graph = self._model.subgraphs[0]
        self._codes: dict[str, int] = {}

    def constant(self, values: npt.NDArray[np.int32]) -> int:
        """Add a constant and give its number."""
        from ai_edge_litert import schema_py_generated as schema

        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        return self._tensor(values.shape, schema.TensorType.INT32, len(self._model.buffers) - 1)

    def op(self, name: str, inputs: Sequence[int], shape: Sequence[int], options: str = "", **fields: Any) -> int:
        """Put an op behind those that are there, and give the number of its one output, which is float32.

        `name` and `options`, with its `fields`, are those of the schema, e.g. `PACK`, `PackOptions`.
        """
        from ai_edge_litert import schema_py_generated as schema

        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(name)
        operator.inputs, operator.outputs = list(inputs), [self._tensor(shape, schema.TensorType.FLOAT32)]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            vars(operator.builtinOptions).update(fields)
        self.graph.operators.append(operator)
        return int(operator.outputs[0])

    def rename(self, tensor: int, name: str) -> None:
        """Give a tensor a name."""
        self.graph.tensors[tensor].name = name.encode()

    def finish(self, outputs: Sequence[int]) -> bytes:
        """Serialize the file with these outputs; signatures, which told of others, are left out."""
        self.graph.outputs = list(outputs)
        self._model.signatureDefs = None
        return flatbuffer.pack(self._model)

    def _tensor(self, shape: Sequence[int], dtype: int, buffer: int = 0) -> int:
        from ai_edge_litert import schema_py_generated as schema

        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = b"", list(shape), dtype, buffer
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _code(self, name: str) -> int:
        from ai_edge_litert import schema_py_generated as schema

        if name not in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, name)
            code.deprecatedBuiltinCode = min(code.builtinCode, flatbuffer.OLD_CODES)
            code.version = 1
            self._codes[name] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(code)
        return self._codes[name]
