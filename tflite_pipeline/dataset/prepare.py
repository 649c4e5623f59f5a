"""The stage of the dataset: the section and a role come in, preprocessed samples and labels go out as `.npy` files."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import numpy as np

from tflite_pipeline.artifacts import Samples, file_digest
from tflite_pipeline.dataset.calibration import Choice, choose, pick
from tflite_pipeline.dataset.load import SOURCES
from tflite_pipeline.dataset.mistakes import preprocessing_mistakes, range_mistakes
from tflite_pipeline.dataset.samples import InputFile, Reader, Sample, sample_digest
from tflite_pipeline.dataset.spec import Dataset, Rows
from tflite_pipeline.dataset.splits import split_rows
from tflite_pipeline.dataset.table import Array, Table
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.progress import tracked

Role = Literal["training", "calibration", "evaluation"]


def prepare(spec: Dataset, role: Role, seed: int, taken: tuple[str, ...], out: Path) -> Samples:
    """Choose the rows of a role, preprocess them one by one and write them below `out`.

    Args:
        spec: the section.
        role: whose `split`, `samples` and `rows` count.
        seed: the recipe's seed; decides ratio splits and drawn rows.
        taken: digests of samples that must not be used, those of evaluation when `role` is calibration.
        out: an empty folder.

    Raises:
        StageError: where rows or samples are not as they must be; names the split, the row and its source.
    """
    table = SOURCES[spec.source](spec, seed)
    names = set(table.inputs)
    for path, text in (*preprocessing_mistakes(spec.preprocessing, names), *range_mistakes(spec.range, names)):
        raise StageError(f"dataset.{'.'.join(map(str, path))} {text}", f"Correct dataset.{path[0]}.")
    rule: Rows = getattr(spec, role)
    reader = Reader(table, spec, rule.split)
    choice = _choose(reader, role, seed, taken)
    labels = _labels(reader, choice.rows)
    inputs, digests = _write_inputs(reader, choice.rows, role, sum(array.nbytes for array in labels.values()), out)
    label_files = _write_labels(labels, out)
    return Samples(
        split=rule.split,
        folder=out,
        inputs=inputs,
        labels=label_files,
        rows=tuple(choice.rows.tolist()),
        digests=digests,
        classes=table.classes,
        synthetic=table.synthetic,
        digest=_digest(inputs, label_files, table),
        passed_over=choice.passed_over,
    )


def _choose(reader: Reader, role: Role, seed: int, taken: tuple[str, ...]) -> Choice:
    rule: Rows = getattr(reader.spec, role)
    rows = split_rows(reader.spec.splits, rule.split, reader.table, seed)
    known = frozenset(taken)

    def is_taken(row: int) -> bool:
        return bool(known) and sample_digest(reader.read(row)) in known

    if rule.rows is not None:
        return pick(rows, rule.rows, role, is_taken)
    classes = None if rule.split in reader.table.unlabelled else reader.table.class_labels
    return choose(classes, rows, rule.samples, seed, role, is_taken)


def _labels(reader: Reader, rows: Array) -> dict[str, Array]:
    if reader.split in reader.table.unlabelled:
        return {}
    return {name: _checked(reader, name, labels[rows], rows) for name, labels in reader.table.labels.items()}


def _checked(reader: Reader, name: str, labels: Array, rows: Array) -> Array:
    """Convert to int64 or float32; refuse what is no label."""
    classes = len(reader.table.classes) if len(reader.table.labels) == 1 else 0
    whole = labels.dtype.kind in "iu"
    flat = labels.reshape(len(labels), -1)
    if not whole:
        needed = "finite numbers"
        wrong = ~np.isfinite(flat)
        if classes and labels.ndim == 1:
            needed, wrong = f"class numbers (integers) from 0 to {classes - 1}", np.ones_like(wrong)
    elif classes:
        needed, wrong = f"class numbers from 0 to {classes - 1}", (flat < 0) | (flat >= classes)
    else:
        needed, wrong = "class numbers, at least 0", (flat < 0) & (labels.ndim == 1)
    if wrong.any():
        position, column = np.argwhere(wrong)[0].tolist()
        raise StageError(
            f"{reader.place(int(rows[position]))}: labels{f' {name!r}' if name else ''} must be {needed}. "
            f"Got {flat[position, column]} ({labels.dtype}).",
            "Number classes 0, 1, 2, …; store values that are no classes as floats without dataset.classes.",
        )
    return labels.astype(np.int64 if whole else np.float32)


def _write_inputs(
    reader: Reader, rows: Array, role: Role, label_bytes: int, out: Path
) -> tuple[dict[str, Path], tuple[str, ...]]:
    count = len(rows)
    first = reader.read(int(rows[0]))
    _check_disk(first, count, label_bytes, role, out)
    (out / "inputs").mkdir()
    files = {name: InputFile(out / "inputs" / _file_name(name, "input"), count, value) for name, value in first.items()}
    digests = []
    for position, row in enumerate(tracked(rows.tolist(), count, f"{role} samples")):
        sample = reader.read(row) if position else first
        for name, file in files.items():
            file.write(position, sample[name], reader.place(row))
        digests.append(sample_digest(sample))
    return {name: file.path for name, file in files.items()}, tuple(digests)


def _check_disk(first: Sample, count: int, label_bytes: int, role: Role, out: Path) -> None:
    each = sum(value.nbytes for value in first.values()) + label_bytes // count
    free = shutil.disk_usage(out).free
    if each * count > free:
        raise StageError(
            f"the {count} {role} samples need {each * count / 1e9:.1f} GB in {out}. Got {free / 1e9:.1f} GB.",
            f"Set dataset.{role}.samples to at most {free // each}, make the samples smaller or free some disk.",
        )


def _write_labels(labels: dict[str, Array], out: Path) -> dict[str, Path]:
    (out / "labels").mkdir()
    files = {name: out / "labels" / _file_name(name, "output") for name in labels}
    for name, path in files.items():
        np.save(path, labels[name])
    return files


def _file_name(name: str, unnamed: str) -> str:
    return quote(name, safe=" ") + ".npy" if name else f"{unnamed}.npy"


def _digest(inputs: dict[str, Path], labels: dict[str, Path], table: Table) -> str:
    """Stand for all that the files hold, wherever they lie."""
    parts = [
        {name: file_digest(path) for name, path in inputs.items()},
        {name: file_digest(path) for name, path in labels.items()},
        table.classes,
        table.synthetic,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
