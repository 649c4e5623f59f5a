"""How much memory a file may take: refused beforehand where there is too little, bounded where it lies about itself."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from tflite_pipeline.errors import StageError

_COPIES = 4
"""Times the size of a file that reading it takes at most: its bytes, LiteRT's, and those of its tensors."""
_LIBRARIES = 4 << 30
"""Bytes of addresses that the libraries and their threads may reserve; little of it is ever used."""


def refuse_too_large(path: Path, size: int) -> None:
    """Raise StageError where a file of `size` bytes cannot be read into the memory that is free."""
    free = free_memory()
    if size * _COPIES > free:
        raise StageError(
            f"'{path}' has {size >> 20} MiB, and reading it takes up to {_COPIES} times as much. "
            f"Got {free >> 20} MiB of free memory.",
            "End other programs, or use a machine with more memory.",
        )


def bound_memory(size: int) -> None:
    """Let this process take no more than reading a sound file of `size` bytes needs, where the system can see to it."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _LIBRARIES + _COPIES * size
    resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def free_memory() -> int:
    """Give the bytes that can be used without swapping, all there are where the system does not tell."""
    status = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    if found:
        return int(found[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else sys.maxsize
