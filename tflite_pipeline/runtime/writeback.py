"""A reference and the trained values of its constants in; the same file with these values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Ranges, Reference, file_digest
from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.runtime.grids import Range


def write_back(reference: Reference, constants: Mapping[int, npt.NDArray[Any]], out: Path) -> Reference:
    """Write `reference.tflite` below `out` with new values of constants, float32, by number of the tensor.

    It has no SavedModel and no answers of an original model any more: those belong to the old weights.
    """
    model = flatbuffer.unpack(reference.path)
    for number, values in constants.items():
        # Tensors may share a buffer by mere chance, such as biases that were all zero.
        tensor = model.subgraphs[0].tensors[number]
        buffer = type(model.buffers[tensor.buffer])()
        buffer.data = np.ascontiguousarray(values, np.float32).view(np.uint8).reshape(-1)
        tensor.buffer = len(model.buffers)
        model.buffers.append(buffer)
    for orphan in set(range(1, len(model.buffers))) - _used(model):
        model.buffers[orphan].data = None
    path = out / "reference.tflite"
    path.write_bytes(flatbuffer.pack(model))
    return replace(reference, path=path, sha256=file_digest(path), saved_model=None, probe=None)


def _used(model: Any) -> set[int]:
    tensors = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    return tensors | {entry.buffer for entry in model.metadata or ()}


def as_ranges(reference: Reference, earlier: Ranges, trained: Mapping[int, Range], out: Path) -> Ranges:
    """Give the trained ranges as those of one calibration sample; tensors without one keep what was calibrated.

    Writes `low.npy` and `high.npy` below `out`.
    """
    low, high = np.load(earlier.low).min(axis=0), np.load(earlier.high).max(axis=0)
    for column, tensor in enumerate(earlier.tensors):
        if tensor in trained:
            low[column], high[column] = trained[tensor].low, trained[tensor].high
    files = {"low": out / "low.npy", "high": out / "high.npy"}
    np.save(files["low"], low[None].astype(np.float32))
    np.save(files["high"], high[None].astype(np.float32))
    return replace(earlier, reference=reference.sha256, low=files["low"], high=files["high"], count=1)
