"""A `.tflite` as mutable objects of its schema, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FILE_MARK = b"TFL3"
OLD_CODES = 127
"""Numbers of operators above do not fit the field that older readers look at; there it holds this one."""


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
    """Serialize a `ModelT`."""
    import flatbuffers

    # A builder that has to grow copies all that it holds.
    size = sum(0 if buffer.data is None else len(buffer.data) for buffer in model.buffers)
    builder = flatbuffers.Builder(size + (1 << 20))
    builder.Finish(model.Pack(builder), FILE_MARK)
    return bytes(builder.Output())
