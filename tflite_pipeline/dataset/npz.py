"""Arrays of an `.npz` file by name; stored arrays are memory-mapped where they lie in the file, others are loaded."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np

from tflite_pipeline.artifacts import file_digest
from tflite_pipeline.dataset.mistakes import by_name
from tflite_pipeline.dataset.spec import Npz
from tflite_pipeline.dataset.table import Array, Joined, Table, as_labels, check_lengths
from tflite_pipeline.errors import StageError, did_you_mean

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass
class _Archive:
    path: Path
    arrays: dict[str, Array] = field(default_factory=dict)

    def array(self, name: str) -> Array:
        if name not in self.arrays:
            try:
                self.arrays[name] = self._open(name)
            except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                # What the system says of a seek to nowhere (OSError) tells a user nothing.
                cause = f"it is damaged or cut short ({error})" if not isinstance(error, OSError) else "it is cut short"
                raise StageError(
                    f"array '{name}' of {self.path} cannot be read: {cause}.", "Write the file again with numpy.savez."
                ) from error
        return self.arrays[name]

    def _open(self, name: str) -> Array:
        with zipfile.ZipFile(self.path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if name not in members:
                hint = did_you_mean(name, members)
                raise StageError(
                    f"{self.path} has no array '{name}'; it has {', '.join(members)}.{hint}", "Correct dataset.inputs."
                )
            member = members[name]
            with archive.open(member) as file:
                if _header(file)[2].hasobject:
                    raise StageError(
                        f"array '{name}' of {self.path} must hold numbers. Got Python objects, which could run code.",
                        "Store it with one dtype of numbers; arrays of Python objects are not supported.",
                    )
            if member.compress_type == zipfile.ZIP_STORED and member.file_size:
                return _mapped(self.path, member)
            with archive.open(member) as file:
                return np.lib.format.read_array(file, allow_pickle=False)


def _mapped(path: Path, member: zipfile.ZipInfo) -> Array:
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)
        # The local header's own lengths count: its extra field may differ from the central directory's.
        name_length, extra_length = np.frombuffer(file.read(4), "<u2").tolist()
        file.seek(name_length + extra_length, 1)
        shape, fortran_order, dtype = _header(file)
        offset = file.tell()
    end = offset + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if 0 in shape or not shape:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
    if end > path.stat().st_size:
        raise ValueError("it is cut short")
    return np.memmap(path, dtype, "r", offset, shape, "F" if fortran_order else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"it has the unknown format version {version}")
    return _HEADERS[version](file)


@dataclass(frozen=True)
class _Part:
    split: str
    inputs: dict[str, Array]
    labels: dict[str, Array]
    count: int
    array: str


def _part(archive: _Archive, split: str, inputs: dict[str, str], labels: dict[str, str]) -> _Part:
    found = {name: archive.array(array) for name, array in inputs.items()}
    for name, values in found.items():
        if values.ndim == 0:
            raise StageError(
                f"{archive.path}: array '{inputs[name]}' must have one sample a row. Got a single value.",
                "Correct dataset.inputs.",
            )
    classes = {
        name: as_labels(archive.array(array), f"{archive.path}: labels '{array}'") for name, array in labels.items()
    }
    named = {inputs[name]: len(values) for name, values in found.items()}
    count = check_lengths(named | {labels[name]: len(values) for name, values in classes.items()}, str(archive.path))
    return _Part(split, found, classes, count, next(iter(inputs.values())))


def read(spec: Npz, seed: int) -> Table:
    """Give the arrays of the section first, then those that splits name for themselves, each a group of rows."""
    archive = _Archive(spec.path)
    parts = [_part(archive, "", by_name(spec.inputs), by_name(spec.labels))] if spec.inputs else []
    for split, rule in spec.splits.items():
        if rule.inputs is not None:
            parts.append(_part(archive, split, by_name(rule.inputs), by_name(rule.labels)))
    if not parts:
        raise StageError(f"{spec.path}: no array is named.", "Name the array of the inputs as dataset.inputs.")
    starts = [0, *np.cumsum([part.count for part in parts]).tolist()]
    ranges = [range(*bounds) for bounds in pairwise(starts)]
    return Table(
        count=starts[-1],
        inputs={name: _joined(parts, name, spec.path) for name in parts[0].inputs},
        labels=_labels(parts, spec.path),
        classes=spec.classes,
        groups={part.split: rows for part, rows in zip(parts, ranges, strict=True) if part.split},
        unlabelled=frozenset(part.split for part in parts if part.split and not part.labels),
        origin=partial(_origin, spec.path.name, [(part.array, rows) for part, rows in zip(parts, ranges, strict=True)]),
    )


def _joined(parts: list[_Part], name: str, path: Path) -> Array | Joined:
    for part in parts:
        if part.inputs.keys() != parts[0].inputs.keys():
            raise StageError(
                f"{path}: all splits must name the same inputs. Got others for split '{part.split}'.",
                "Correct dataset.splits.",
            )
    return parts[0].inputs[name] if len(parts) == 1 else Joined([part.inputs[name] for part in parts])


def _labels(parts: list[_Part], path: Path) -> dict[str, Array]:
    labelled = [part for part in parts if part.labels]
    if len(parts) == 1 or not labelled:
        return parts[0].labels
    first = labelled[0].labels
    for part in labelled:
        for name in first.keys() | part.labels.keys():
            shapes = [labels[name].shape[1:] if name in labels else None for labels in (first, part.labels)]
            if shapes[0] != shapes[1]:
                raise StageError(
                    f"{path}: labels '{name}' must have one shape in all splits. Got {shapes}.",
                    "Correct the label arrays in dataset.splits.",
                )
    return {
        name: np.concatenate(
            [
                part.labels[name] if part.labels else np.zeros((part.count, *some.shape[1:]), some.dtype)
                for part in parts
            ]
        )
        for name, some in first.items()
    }


def _origin(file: str, arrays: list[tuple[str, range]], row: int) -> str:
    return next(f"{array}[{row - rows.start}] of {file}" for array, rows in arrays if row in rows)


def digest(spec: Npz, digest_file: Callable[[Path], str] = file_digest) -> str:
    """Give the digest of the file."""
    if not spec.path.is_file():
        raise StageError(f"{spec.path} does not exist.", "Put the file there or correct dataset.path.")
    return digest_file(spec.path)
