"""An `.npy` file larger than memory in; any rows of it out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


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


def stored_rows(path: Path) -> Rows:
    """Open an `.npy` file whose first axis are rows; the errors are those of `np.load`."""
    mapped: np.memmap[Any, Any] = np.load(path, mmap_mode="r")
    if mapped.ndim == 0 or not mapped.flags.c_contiguous:
        return mapped
    return StoredRows(path, mapped.shape, mapped.dtype, mapped.offset)
