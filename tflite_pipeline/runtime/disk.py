"""Errors of the file system in; errors that a user can mend out."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tflite_pipeline.errors import StageError

_FREE = "Free some disk, or choose another disk with --out; finished stages are kept."
_PATH = "Check the path and its permissions, or choose another folder with --out."

_REMEDIES = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EFBIG: _FREE,
    errno.EIO: "Check the disk, or choose another one with --out.",
    errno.EROFS: _PATH,
    errno.EACCES: _PATH,
    errno.EPERM: _PATH,
    errno.EISDIR: _PATH,
    errno.ENOTDIR: _PATH,
    errno.EEXIST: _PATH,
    errno.ENAMETOOLONG: _PATH,
}


def put(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a file beside `path`, then put it in its place: whoever reads `path` never sees half of it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    write(fresh)
    fresh.replace(path)


@contextlib.contextmanager
def disk_errors_told() -> Iterator[None]:
    """Turn what the disk, its space or its permissions refuse inside the block into a StageError.

    A missing file is none of these: whoever opens it says which key named it.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        what = f"cannot use '{error.filename}'" if error.filename is not None else "cannot write a file"
        raise StageError(f"{what}: {error.strerror}.", _REMEDIES[error.errno], topic="disk") from error
