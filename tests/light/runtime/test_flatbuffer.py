"""A file is the same after it was taken apart and put together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.graph import read_graphs

DATA = Path(__file__).parents[2] / "data"
NAMES = ["float32", "int16x8", "two_by_two", "audit_dynamic_int4_block32", "lstm_float32", "custom_op"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_on_the_way_there_and_back(tmp_path: Path, name: str) -> None:
    source, copy = DATA / f"{name}.tflite", tmp_path / "copy.tflite"
    copy.write_bytes(flatbuffer.pack(flatbuffer.unpack(source)))
    assert read_graphs(copy) == read_graphs(source)
    assert litert.describe(copy) == litert.describe(source)
    data = [[buffer.data for buffer in flatbuffer.unpack(path).buffers] for path in (source, copy)]
    assert len(data[0]) == len(data[1])
    for before, after in zip(*data, strict=True):
        np.testing.assert_array_equal(before, after)


def test_bytes_and_a_file_give_the_same() -> None:
    path = DATA / "float32.tflite"
    assert flatbuffer.pack(flatbuffer.unpack(path.read_bytes())) == flatbuffer.pack(flatbuffer.unpack(path))


def test_a_packed_file_bears_the_mark_by_which_readers_know_it() -> None:
    content = flatbuffer.pack(flatbuffer.unpack(DATA / "float32.tflite"))
    assert content[4:8] == flatbuffer.FILE_MARK


def test_ops_of_files_without_the_new_field_are_known() -> None:
    model = flatbuffer.unpack(DATA / "float32.tflite")
    known = [code.builtinCode for code in model.operatorCodes]
    for code in model.operatorCodes:
        code.builtinCode = 0
    again = flatbuffer.unpack(flatbuffer.pack(model))
    assert [code.builtinCode for code in again.operatorCodes] == known


def test_data_behind_the_flatbuffer_are_taken_in() -> None:
    model = flatbuffer.unpack(DATA / "float32.tflite")
    place, data = max(
        ((place, buffer.data) for place, buffer in enumerate(model.buffers) if buffer.data is not None),
        key=lambda pair: len(pair[1]),
    )
    model.buffers[place] = schema.BufferT()
    model.buffers[place].offset = model.buffers[place].size = 1 << 20  # room for the true ones
    start = len(flatbuffer.pack(model))
    model.buffers[place].offset, model.buffers[place].size = start, len(data)
    content = flatbuffer.pack(model)
    assert len(content) == start
    np.testing.assert_array_equal(flatbuffer.unpack(content + data.tobytes()).buffers[place].data, data)
