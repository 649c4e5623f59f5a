"""Arrays too large for memory in; blocks of their rows out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK_BYTES = 16 << 20


def read_blocks(path: Path) -> Iterator[npt.NDArray[Any]]:
    """Read an `.npy` file some rows at a time, an even number, each row flat.

    The file is mapped anew for each block: pages that were read count as the process's memory until then.
    """
    whole = np.load(path, mmap_mode="r")
    count, row_bytes = len(whole), max(whole[:1].nbytes, 1)
    rows = 2 * max(BLOCK_BYTES // row_bytes // 2, 1)
    for start in range(0, count, rows):
        block = np.load(path, mmap_mode="r")[start : start + rows]
        yield block.reshape(len(block), -1)
