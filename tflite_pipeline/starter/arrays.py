"""The arrays of an `.npz` and the border of a model in; which array is what, out: by name, shape and dtype."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.errors import StageError
from tflite_pipeline.starter.looks import ModelLook, Port
from tflite_pipeline.starter.steps import can_become

ROLES = {
    **dict.fromkeys(("train", "training", "calibration", "calib", "fit"), "train"),
    **dict.fromkeys(("test", "testing", "evaluation", "eval", "val", "valid", "validation"), "test"),
}
INPUT_NAMES = frozenset({"x", "data", "image", "images", "input", "inputs", "features", "samples"})
LABEL_NAMES = frozenset({"y", "label", "labels", "target", "targets", "class", "classes", "truth"})


@dataclass(frozen=True)
class Header:
    """What the head of an array says: one sample a row."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def stem(self) -> str:
        """The name without the word that tells the split."""
        return "_".join(word for word in _words(self.name) if word not in ROLES)

    @property
    def role(self) -> str:
        """The split that the name tells: train, test or neither."""
        return next((ROLES[word] for word in _words(self.name) if word in ROLES), "")

    def __str__(self) -> str:
        """Give name, dtype and shape."""
        return f"{self.name} {self.dtype} {self.shape}"


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", name.lower()) if word]


@dataclass(frozen=True)
class Arrays:
    """By input and output name: the arrays of one split; the empty name where there is one input or output."""

    inputs: dict[str, str]
    labels: dict[str, str]


def read_headers(path: Path) -> list[Header]:
    """List the arrays of numbers that have samples. Raises StageError where the file is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = [_header(archive, name) for name in archive.namelist() if name.endswith(".npy")]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise StageError(
            f"'{path.name}' cannot be read: {error}.", "Write it again with numpy.savez(path, x=…, y=…)."
        ) from error
    return [header for header in found if header.shape and header.dtype.kind in "biuf"]


def _header(archive: zipfile.ZipFile, name: str) -> Header:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    return Header(name.removesuffix(".npy"), shape, dtype)


def choose_arrays(headers: Sequence[Header], model: ModelLook, where: str) -> dict[str, Arrays]:
    """Give the arrays by split, `train` and `test`; under the empty name where the names tell no splits.

    Raises StageError where no array fits an input.
    """
    by_role = {role: [header for header in headers if header.role == role] for role in ("train", "test")}
    named = {role: _inputs(of_role, model) for role, of_role in by_role.items()}
    if all(named.values()):
        return {role: _with_labels(inputs, by_role[role], model) for role, inputs in named.items()}
    inputs = _inputs(headers, model)
    if not inputs:
        listed = "; ".join(map(str, headers)) or "none that holds samples"
        wanted = " and ".join(f"'{port.name}' {_text(port)}" for port in model.inputs)
        raise StageError(
            f"{where} must hold an array for each input: {wanted}. Got: {listed}.",
            "Name each array as its input, one sample a row, or correct the shapes: numpy.savez(path, x=inputs, y=…).",
        )
    return {"": _with_labels(inputs, headers, model)}


def _text(port: Port) -> str:
    return "(" + ", ".join(["samples", *("any" if size is None else str(size) for size in port.shape)]) + ")"


def _inputs(headers: Sequence[Header], model: ModelLook) -> dict[str, Header]:
    """Find an array for every input; nothing where one has none."""
    if len(model.inputs) == 1:
        (port,) = model.inputs
        able = [header for header in headers if can_become(header.shape[1:], port.shape)]
        best = max(able, key=lambda header: _fitness(header, port), default=None)
        return {"": best} if best else {}
    found = {}
    left = list(headers)
    for port in model.inputs:
        same = [header for header in left if port.name in (header.name, header.stem)]
        fitting = same or [header for header in left if can_become(header.shape[1:], port.shape)]
        if not same and len(fitting) != 1:
            return {}
        found[port.name] = fitting[0]
        left.remove(fitting[0])
    return found


def _fitness(header: Header, port: Port) -> tuple[bool, bool, bool, int]:
    exact = len(header.shape) == len(port.shape) + 1 and all(
        size in (None, given) for size, given in zip(port.shape, header.shape[1:], strict=True)
    )
    return (
        header.name == port.name,
        not LABEL_NAMES & set(_words(header.name)),
        exact,
        len(INPUT_NAMES & set(_words(header.name))),
    )


def _with_labels(inputs: Mapping[str, Header], headers: Sequence[Header], model: ModelLook) -> Arrays:
    taken = {header.name for header in inputs.values()}
    count = next(iter(inputs.values())).shape[0]
    left = [header for header in headers if header.name not in taken and header.shape[0] == count]
    names = {name: header.name for name, header in inputs.items()}
    if len(model.outputs) > 1:
        labels = {port.name: header.name for port in model.outputs for header in left if header.stem == port.name}
        return Arrays(names, labels if len(labels) == len(model.outputs) else {})
    able = [header for header in left if _may_be_truth(header, model.outputs[0])]
    best = max(able, key=lambda header: len(LABEL_NAMES & set(_words(header.name))), default=None)
    told = best is not None and (len(able) == 1 or LABEL_NAMES & set(_words(best.name)))
    return Arrays(names, {"": best.name} if best is not None and told else {})


def _may_be_truth(header: Header, output: Port) -> bool:
    """Tell whether an array may say what is right: a class number a sample, or what the output should be."""
    shape = header.shape[1:]
    if shape in ((), (1,)):
        return header.dtype.kind in "biu" or output.scores == 1
    return can_become(shape, output.shape, images=False)
