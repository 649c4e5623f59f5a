"""A path to data, and what the model takes, in; the dataset section and what the data hold out."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from tflite_pipeline.dataset.image_folder import SUFFIXES
from tflite_pipeline.dataset.load import SOURCES, Table
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.dataset.splits import split_rows
from tflite_pipeline.errors import Problem, RecipeError, StageError
from tflite_pipeline.model.border import listed
from tflite_pipeline.starter.arrays import ROLES, Arrays, choose_arrays, read_headers
from tflite_pipeline.starter.looks import DataLook, ModelLook, Shape

LOOKED_AT = 200
CALIBRATION = 200
SHARES = {"train": 0.3, "test": 0.7}
"""Quantization needs few samples to calibrate and many to be sure of what it lost."""
KINDS = "an .npz file, a folder with one sub-folder of images a class, or digits"
_FOREIGN = {
    ".csv": "It is a table: store its columns as arrays, numpy.savez('data.npz', x=inputs, y=labels).",
    ".npy": "Put the arrays into one file: numpy.savez('data.npz', x=numpy.load('x.npy'), y=numpy.load('y.npy')).",
    ".zip": "Unpack it, and give the folder.",
    ".tfrecord": "Read it, and store its arrays: numpy.savez('data.npz', x=inputs, y=labels).",
}


Found = dict[str, Any] | Path
"""The dataset section that reads the data, or an .npz file that has to be opened to say one."""
_TOLD = {"digits": "8x8 images of handwritten digits", "image_folder": "images, one sub-folder a class"}


def find_data(word: str) -> Found:
    """Say what lies there, before anything is read. Raises RecipeError where it is nothing that a source reads."""
    path = Path(word).expanduser()
    if word == "digits" and not path.exists():
        return {"source": "digits"}
    if path.is_dir():
        inside = sorted(path.glob("*.npz"))
        if len(inside) != 1 or any(child.is_dir() for child in path.iterdir()):
            return _folder_section(word, path)
        path = inside[0]
    if path.is_file() and path.suffix == ".npz":
        return path
    got = "which does not exist" if not path.exists() else f"a file '{path.name}'"
    hint = _FOREIGN.get(path.suffix.lower(), "") if path.exists() else ""
    raise RecipeError([Problem("init", "--data", f"must be {KINDS}. Got '{word}', {got}. {hint}".rstrip())])


def look_at_data(found: Found, model: ModelLook) -> DataLook:
    """Look at the data. Raises StageError where they are damaged or are none for this model."""
    if isinstance(found, Path):
        return _look_at_npz(found, model)
    return _look(found, _TOLD[found["source"]], model)


def _folder_section(word: str, path: Path) -> dict[str, Any]:
    """Tell splits by the names of folders that hold no images but folders."""
    section: dict[str, Any] = {"source": "image_folder", "path": str(path.absolute())}
    folders = [child for child in sorted(path.iterdir()) if child.is_dir() and not child.name.startswith(".")]
    if not folders:
        names = {child.suffix.lower() for child in path.iterdir()}
        hint = "Put the images of each class into a sub-folder of its own." if names & SUFFIXES else ""
        text = f"must be {KINDS}. Got '{word}', a folder without sub-folders. {hint}".rstrip()
        raise RecipeError([Problem("init", "--data", text)])
    splits: dict[str, str] = {}
    for child in folders:
        if child.name.lower() in ROLES and any(inner.is_dir() for inner in child.iterdir()):
            splits.setdefault(ROLES[child.name.lower()], child.name)
    if len(splits) == 2:
        section["splits"] = {role: {"folder": name} for role, name in sorted(splits.items(), reverse=True)}
    return section


def _look_at_npz(path: Path, model: ModelLook) -> DataLook:
    if not zipfile.is_zipfile(path):
        raise StageError(
            f"'{path.name}' is damaged or no .npz.", "Write it with numpy.savez(path, x=inputs, y=labels)."
        )
    chosen = choose_arrays(read_headers(path), model, f"'{path.name}'")
    section: dict[str, Any] = {"source": "npz", "path": str(path.absolute())}
    if "" in chosen:
        section |= _named(chosen[""])
        what = _array_text(chosen[""])
    else:
        section["splits"] = {role: _named(arrays) for role, arrays in chosen.items()}
        what = ", ".join(map(_array_text, chosen.values()))
    return _look(section, f"arrays {what}", model)


def _named(arrays: Arrays) -> dict[str, Any]:
    rows = {"inputs": arrays.inputs, "labels": arrays.labels}
    return {key: row.get("", row) for key, row in rows.items() if row}


def _array_text(arrays: Arrays) -> str:
    return ", ".join([*arrays.inputs.values(), *arrays.labels.values()])


def _look(section: dict[str, Any], what: str, model: ModelLook) -> DataLook:
    section.setdefault("splits", dict(SHARES))
    spec = TypeAdapter(Dataset).validate_python(section)
    table = SOURCES[spec.source](spec, 0)
    shares = tuple(len(split_rows(spec.splits, split, table, 0)) for split in ("train", "test"))
    section["calibration"] = {"split": "train", "samples": _calibration_rows(shares[0])}
    section["evaluation"] = {"split": "test"}
    rows = rows_to_look_at(table.count)
    samples = {name: [np.asarray(column[int(row)]) for row in rows] for name, column in table.inputs.items()}
    first = next(iter(samples.values()))
    truth, labels, highest, spread = _truth(table, model)
    return DataLook(
        section=section,
        what=what,
        shapes={name: _common_shape([value.shape for value in values]) for name, values in samples.items()},
        dtype=str(first[0].dtype),
        low=float(min(np.min(value) for value in first)),
        high=float(max(np.max(value) for value in first)),
        seen=len(rows),
        truth=truth,
        labels=labels,
        classes=table.classes,
        highest=highest,
        spread=spread,
        counts=(shares[0], shares[1]),
    )


def _calibration_rows(train: int) -> int:
    """Leave a few rows in reserve: one that equals an evaluation sample is not used."""
    return max(1, min(CALIBRATION, int(train * 0.9)))


def rows_to_look_at(count: int) -> Any:
    """Spread the rows that are looked at evenly over all, int64."""
    return np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(np.int64))


def _common_shape(shapes: list[tuple[int, ...]]) -> Shape:
    if len({len(shape) for shape in shapes}) != 1:
        raise StageError("the samples have different numbers of dimensions.", "Give every sample the same.")
    return tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=True))


def _truth(table: Table, model: ModelLook) -> tuple[str, str, int | None, float | None]:
    """Say what the labels are: kind, words, the highest class number, how much values vary."""
    if not table.labels:
        return "none", "no labels", None, None
    classes, (output, *others) = table.class_labels, model.outputs
    if others:
        return "values", f"labels of {', '.join(table.labels)}", None, None
    labels = next(iter(table.labels.values()))
    if classes is not None and output.scores is not None and (output.scores > 1 or output.ending == "sigmoid"):
        return _class_truth(classes, output.scores)
    if labels.ndim == 2 and labels.shape[1] == output.scores and model.classifies and output.ending == "softmax":
        return "classes", f"one-hot rows of {labels.shape[1]} classes", labels.shape[1] - 1, None
    each = f"{listed(labels.shape[1:])} numbers" if labels.ndim > 1 else "one number"
    return "values", f"labels of {each} a sample", None, float(np.std(labels))


def _class_truth(classes: Any, scores: int) -> tuple[str, str, int | None, float | None]:
    lowest, highest = int(classes.min()), int(classes.max())
    most = max(scores, 2) - 1
    if lowest < 0 or highest > most:
        raise StageError(
            f"the labels must be class numbers from 0 to {most}, as the model has {scores} outputs. "
            f"Got {lowest} to {highest}.",
            "Give data whose classes are those of the model, numbered from 0.",
        )
    return "classes", f"class numbers {lowest} to {highest}", highest, None
