"""Rows of a file are those of its array, and those that are written are the ones that are read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tflite_pipeline.runtime.rows import PickedRows, RowsFile, read_blocks, stored_rows


@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 2, 3), (7, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_stored_rows_are_those_of_the_file(tmp_path, shape, order) -> None:
    values = np.asarray(np.random.default_rng(0).normal(size=shape).astype("f4"), order=order)
    np.save(tmp_path / "x.npy", values)
    rows = stored_rows(tmp_path / "x.npy")
    assert (rows.shape, rows.dtype) == (shape, np.float32)
    for part in (slice(0, 7), slice(2, 3), slice(5, 99), slice(9, 12)):
        np.testing.assert_array_equal(rows[part], values[part])


def test_picked_rows_are_read_in_their_own_order(tmp_path) -> None:
    values = np.random.default_rng(0).normal(size=(7, 2, 3)).astype("f4")
    np.save(tmp_path / "x.npy", values)
    rows = PickedRows(stored_rows(tmp_path / "x.npy"), (5, 0, 5, 3))
    assert (rows.shape, rows.dtype) == ((4, 2, 3), np.float32)
    np.testing.assert_array_equal(rows[slice(0, 4)], values[[5, 0, 5, 3]])
    np.testing.assert_array_equal(rows[slice(3, 9)], values[[3]])


@pytest.mark.parametrize("shape", [(7,), (7, 2, 3), (7, 0), (1, 5)])
@pytest.mark.parametrize("size", [1, 40, 1 << 20])
def test_blocks_are_flat_rows_an_even_number_at_a_time(tmp_path, monkeypatch, shape, size) -> None:
    monkeypatch.setattr("tflite_pipeline.runtime.rows.BLOCK_BYTES", size)
    values = np.random.default_rng(0).normal(size=shape).astype("f4")
    np.save(tmp_path / "x.npy", values)
    blocks = list(read_blocks(tmp_path / "x.npy"))
    np.testing.assert_array_equal(np.concatenate(blocks), values.reshape(shape[0], -1))
    assert not any(len(block) % 2 for block in blocks[:-1])


@pytest.mark.parametrize("mapped", [1, 1 << 20])
def test_threads_fill_a_file_with_rows_of_their_own(tmp_path, monkeypatch, mapped) -> None:
    monkeypatch.setattr("tflite_pipeline.runtime.rows.MAPPED_BYTES", mapped)
    values = np.random.default_rng(0).normal(size=(101, 3)).astype("f4")
    file = RowsFile(tmp_path / "x.npy", values.shape, values.dtype)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda start: file.write(start, values[start : start + 2]), range(0, 101, 2)))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), values)
