"""`.npy` files larger than memory: rows of them out, rows into them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

BLOCK_BYTES = 16 << 20
MAPPED_BYTES = 32 << 20
"""Written pages of a mapped file count as the process's memory until it is mapped anew; so often that is done."""


class Rows(Protocol):
    """An array, or what reads like one by slices of its first axis."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of all dimensions."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """What an element is."""

    def __getitem__(self, rows: slice, /) -> Array:
        """Give some rows."""


@dataclass(frozen=True)
class StoredRows:
    """The array of an `.npy` file; rows are read when asked for, since those of a mapped file would stay in memory."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    def __getitem__(self, rows: slice) -> Array:
        """Read rows that follow each other."""
        start, stop, _ = rows.indices(self.shape[0])
        count, size = max(0, stop - start), math.prod(self.shape[1:])
        offset = self.offset + start * size * self.dtype.itemsize
        values = np.fromfile(self.path, self.dtype, count * size, offset=offset)
        return values.reshape(count, *self.shape[1:])


@dataclass(frozen=True)
class PickedRows:
    """Some rows of an array, in an order of their own; they are read when asked for."""

    whole: Rows
    picked: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of all dimensions."""
        return (len(self.picked), *self.whole.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """What an element is."""
        return self.whole.dtype

    def __getitem__(self, rows: slice) -> Array:
        """Read rows by their places in the order."""
        return np.concatenate([self.whole[row : row + 1] for row in self.picked[rows]])


def stored_rows(path: Path) -> Rows:
    """Open an `.npy` file whose first axis are rows; the errors are those of `np.load`."""
    mapped: np.memmap[Any, Any] = np.load(path, mmap_mode="r")
    if mapped.ndim == 0 or not mapped.flags.c_contiguous:
        return mapped
    return StoredRows(path, mapped.shape, mapped.dtype, mapped.offset)


def spread_rows(count: int, most: int) -> Array:
    """Choose at most so many of `count` rows, int64, evenly from all over: stored samples are often sorted by class."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))


def read_blocks(path: Path) -> Iterator[Array]:
    """Read an `.npy` file some rows at a time, an even number, each row flat."""
    whole = stored_rows(path)
    row_bytes = max(math.prod(whole.shape[1:]) * whole.dtype.itemsize, 1)
    rows = 2 * max(BLOCK_BYTES // row_bytes // 2, 1)
    for start in range(0, whole.shape[0], rows):
        block = whole[start : start + rows]
        yield block.reshape(len(block), -1)


class RowsFile:
    """An `.npy` file that is filled by rows, few of which are in memory; threads may write, each rows of its own."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        """Lay the file out; the first axis of `shape` are the rows."""
        self.path = path
        self._array: Array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        self._written = 0

    def write(self, start: int, rows: Array) -> None:
        """Put rows in their places, from `start` on."""
        self._array[start : start + len(rows)] = rows
        self._written += rows.nbytes
        if self._written >= MAPPED_BYTES:
            # A thread that is just writing does so through the old map, to the same file.
            self._array = np.lib.format.open_memmap(self.path, "r+")
            self._written = 0
