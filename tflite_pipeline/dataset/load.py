"""The `dataset` section comes in, a table of raw samples goes out: which source reads what, and its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import file_digest
from tflite_pipeline.dataset import digits, factory, image_folder, npz, synthetic
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.dataset.table import Column, Table

__all__ = ["SOURCES", "Column", "Table", "source_digest"]

SOURCES: dict[str, Callable[[Any, int], Table]] = {
    "digits": digits.read,
    "npz": npz.read,
    "image_folder": image_folder.read,
    "factory": factory.read,
    "synthetic": synthetic.read,
}
"""By source: section and seed come in, the table goes out; raises StageError where the source cannot be read."""

FileDigest = Callable[[Path], str]

_DIGESTS: dict[str, Callable[[Any, Sequence[Path], FileDigest], str]] = {
    "digits": lambda spec, *_: digits.digest(spec),
    "npz": lambda spec, _, digest_file: npz.digest(spec, digest_file),
    "image_folder": lambda spec, *_: image_folder.digest(spec),
    "factory": lambda spec, folders, _: factory.digest(spec, folders),
    "synthetic": lambda spec, *_: synthetic.digest(spec),
}


def source_digest(spec: Dataset, code_folders: Sequence[Path] = (), digest_file: FileDigest = file_digest) -> str:
    """Give a digest of the content that the source would read; the section itself and the seed are not in it.

    Args:
        spec: the section.
        code_folders: where a factory's module is looked for before `sys.path`.
        digest_file: gives the digest of a large file, and may remember it.

    Raises:
        StageError: where that content is missing.
    """
    return hashlib.sha256(
        f"{spec.source}:{_DIGESTS[spec.source](spec, code_folders, digest_file)}".encode()
    ).hexdigest()
