"""A `.tflite` as mutable objects of its schema, and back."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

FILE_MARK = b"TFL3"
OLD_CODES = 127
"""Numbers of operators above do not fit the field that older readers look at; there it holds this one."""
_ALIGNMENT = 16
"""Of the data of a buffer, as the schema wants it."""


def unpack(file: Path | bytes) -> Any:
    """Give the schema's `ModelT`, with the data of all its buffers inside it, as uint8 arrays."""
    from ai_edge_litert.tools import flatbuffer_utils

    content = file.read_bytes() if isinstance(file, Path) else file
    # It takes in the data that large files, and all of ai-edge-quantizer, keep behind the flatbuffer.
    model = flatbuffer_utils.read_model_from_bytearray(content)
    for buffer in model.buffers:
        if buffer.data is not None:
            buffer.data = np.frombuffer(buffer.data, np.uint8)
    for code in model.operatorCodes:
        # Files made before the 128th operator existed have the old field only, newer readers look at the new one.
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
        code.deprecatedBuiltinCode = min(code.builtinCode, OLD_CODES)
    return model


def pack(model: Any) -> bytes:
    """Serialize a `ModelT`; vectors and names that are equal are stored once.

    The zero points of a kernel take more room than its weights of 4 bits where channels are small, and are all zero.
    """
    # A builder that has to grow copies all that it holds.
    size = sum(0 if buffer.data is None else len(buffer.data) for buffer in model.buffers)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.quantization is not None and tensor.quantization.zeroPoint is not None:
                tensor.quantization.zeroPoint = np.asarray(tensor.quantization.zeroPoint, np.int64)
    builder = _sharing_builder()(size + (1 << 20))
    builder.Finish(model.Pack(builder), FILE_MARK)
    return bytes(builder.Output())


def with_metadata(file: Path | bytes, name: str, content: bytes) -> bytes:
    """Give a file an entry among its metadata, in the place of those of that name; what it computes stays as it is."""
    from ai_edge_litert import schema_py_generated as schema

    model = unpack(file)
    entry, buffer = schema.MetadataT(), schema.BufferT()
    entry.name, entry.buffer = name, len(model.buffers)
    buffer.data = np.frombuffer(content, np.uint8)
    replaced = [old for old in model.metadata or [] if old.name == name.encode()]
    for old in replaced:
        model.buffers[old.buffer].data = None  # its number stays, since others follow it
    model.metadata = [*(old for old in model.metadata or [] if old not in replaced), entry]
    model.buffers.append(buffer)
    return pack(model)


@cache
def _sharing_builder() -> Any:
    import flatbuffers

    class Sharing(flatbuffers.Builder):  # type: ignore[misc]
        """Writes a vector of numbers, or a string, that was written before as a reference to it."""

        def __init__(self, size: int) -> None:
            super().__init__(size)
            self._written: dict[tuple[str, bytes], int] = {}

        def CreateNumpyVector(self, x: Any) -> int:
            if x.dtype.itemsize == 1:  # data of buffers
                self.Prep(_ALIGNMENT, x.size)
                return int(super().CreateNumpyVector(x))
            key = x.dtype.str, x.tobytes()
            if key not in self._written:
                self._written[key] = int(super().CreateNumpyVector(x))
            return self._written[key]

        def CreateString(self, s: Any, encoding: str = "utf-8", errors: str = "strict") -> int:
            key = "text", s.encode(encoding, errors) if isinstance(s, str) else bytes(s)
            if key not in self._written:
                self._written[key] = int(super().CreateString(s, encoding, errors))
            return self._written[key]

    return Sharing
