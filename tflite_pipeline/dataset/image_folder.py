"""JPEG and PNG files in one sub-folder a class; each is decoded to RGB, uint8 (height, width, 3), when asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from tflite_pipeline.artifacts import file_digest
from tflite_pipeline.dataset.spec import ImageFolder
from tflite_pipeline.dataset.table import Array, Table
from tflite_pipeline.errors import StageError

REPLACE = "Replace the file by a sound JPEG or PNG, or remove it."
SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


@dataclass(frozen=True)
class _Images:
    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Array:
        return decode(self.paths[row])


def decode(path: Path) -> Array:
    """Decode an image file to RGB, uint8 (height, width, 3); transparency is dropped.

    Raises:
        StageError: where the file is damaged, truncated, no JPEG or PNG, or has more than 8 bits a channel.
    """
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            if image.mode in _EIGHT_BIT:
                # A palette may carry transparency, which only RGBA can take over.
                whole = image.convert("RGBA") if image.mode in ("P", "PA") else image
                return np.asarray(whole.convert("RGB"))
            mode = image.mode
    except UnidentifiedImageError as error:
        raise StageError(f"{path} is no JPEG or PNG.", REPLACE) from error
    except Exception as error:  # Pillow's decoders raise whatever fits the damage
        raise StageError(f"{path} cannot be decoded: {error}", REPLACE) from error
    raise StageError(f"{path} must have 8 bits a channel. Got mode {mode}.", "Convert it to an 8-bit PNG or JPEG.")


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)
    except OSError as error:
        raise StageError(f"{folder} must be a readable folder: {error.strerror}.", "Correct dataset.path.") from error


def _images(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.suffix.lower() in SUFFIXES and path.is_file()]


def _class_folders(folder: Path) -> dict[str, list[Path]]:
    found = {path.name: _images(path) for path in _visible(folder) if path.is_dir()}
    if not found:
        raise StageError(f"{folder} must hold one sub-folder a class. Got none.", "Correct dataset.path.")
    if empty := [name for name, images in found.items() if not images]:
        deeper = [name for name in empty if any(path.is_dir() for path in _visible(folder / name))]
        raise StageError(
            f"{folder}: every class folder must hold .jpg, .jpeg or .png files. Got none in {', '.join(empty)}.",
            f"If these are splits, name them: dataset.splits: {{{deeper[0]}: {{folder: {deeper[0]}}}, …}}."
            if deeper
            else "Add images or remove the empty folders.",
        )
    return found


def _listing(spec: ImageFolder) -> dict[str, dict[str, list[Path]]]:
    splits = {name: spec.path / rule.folder for name, rule in spec.splits.items() if rule.folder}
    return {split: _class_folders(folder) for split, folder in (splits or {"": spec.path}).items()}


def read(spec: ImageFolder, seed: int) -> Table:
    """List the files; classes are the sorted names of the class folders of all splits together."""
    listing = _listing(spec)
    classes = sorted({name for folders in listing.values() for name in folders})
    paths: list[Path] = []
    labels: list[int] = []
    groups: dict[str, range] = {}
    for split, folders in listing.items():
        start = len(paths)
        for name, images in folders.items():
            paths += images
            labels += [classes.index(name)] * len(images)
        if split:
            groups[split] = range(start, len(paths))
    return Table(
        count=len(paths),
        inputs={"": _Images(tuple(paths))},
        labels={"": np.asarray(labels, np.int64)},
        classes=tuple(classes),
        groups=groups,
        origin=lambda row: str(paths[row]),
    )


def digest(spec: ImageFolder) -> str:
    """Give a digest of every image's relative path and bytes."""
    files = {
        path.relative_to(spec.path).as_posix() if path.is_relative_to(spec.path) else path.as_posix(): path
        for folders in _listing(spec).values()
        for images in folders.values()
        for path in images
    }
    whole = hashlib.sha256()
    for name, path in sorted(files.items()):
        whole.update(f"{len(name)}:{name}{file_digest(path)}".encode())
    return whole.hexdigest()
