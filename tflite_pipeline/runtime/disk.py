"""Errors of the file system in; errors that a user can mend out."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

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
        raise StageError(f"{what}: {error.strerror}.", _REMEDIES[error.errno]) from error
