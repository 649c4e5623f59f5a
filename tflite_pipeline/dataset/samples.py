"""Rows of a table come in; checked, preprocessed samples go out, and the `.npy` files that hold them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tflite_pipeline.dataset.preprocessing import preprocess
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.dataset.table import Array, Table
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.rows import RowsFile

RANGE_SLACK = 1e-6
"""So much of the width of `dataset.range` may a value lie outside: rounding in float32 is no mistake."""

Sample = dict[str, Array]


@dataclass(frozen=True)
class Reader:
    """Reads samples of one split as the model takes them."""

    table: Table
    spec: Dataset
    split: str

    def place(self, row: int) -> str:
        """Say where a row was read from, for messages."""
        origin = self.table.origin(row)
        return f"split '{self.split}', row {row}" + (f" ({origin})" if origin else "")

    def read(self, row: int) -> Sample:
        """Give the preprocessed inputs of a row by name, float64 as float32.

        Raises:
            StageError: where the row cannot be read or preprocessed, or holds NaN, infinity or a value outside
                `dataset.range`.
        """
        return {name: self._input(name, row) for name in self.table.inputs}

    def _input(self, name: str, row: int) -> Array:
        label = f"input '{name}', " if name else ""
        try:
            raw = self.table.inputs[name][row]
        except StageError as error:
            raise StageError(
                f"{label}split '{self.split}', row {row}: {error.what}", error.remedy, log=error.log
            ) from error
        try:
            value = preprocess(raw, self.spec.preprocessing.get(name, ()))
        except StageError as error:
            raise StageError(f"{label}{self.place(row)}: {error.what}", error.remedy) from error
        with np.errstate(over="ignore"):
            settled = value.astype(np.float32 if value.dtype.kind == "f" else value.dtype.newbyteorder("="), copy=False)
        if settled.dtype.kind == "f" and not np.isfinite(settled).all():
            raise StageError(
                f"{label}{self.place(row)}: must hold finite numbers after preprocessing. Got NaN or infinity.",
                "Repair or remove the sample, or correct dataset.preprocessing.",
            )
        self._refuse_outside(name, f"{label}{self.place(row)}", raw, settled)
        return np.ascontiguousarray(settled).reshape(settled.shape)

    def _refuse_outside(self, name: str, place: str, raw: Array, value: Array) -> None:
        bounds = self.spec.bounds(name)
        if bounds is None or not value.size:
            return
        low, high = bounds
        slack = RANGE_SLACK * (high - low)
        least, most = float(value.min()), float(value.max())
        if low - slack <= least and most <= high + slack:
            return
        worst = least if low - least > most - high else most
        scaled = any(step.scale or step.normalize for step in self.spec.preprocessing.get(name, ()))
        cause = "a scale or normalize step that does not fit" if scaled else "a missing scale or normalize step"
        raise StageError(
            f"{place}: must hold values in dataset.range [{low:g}, {high:g}] after preprocessing. Got {worst:.7g}, "
            f"where the source has values from {float(raw.min()):.7g} to {float(raw.max()):.7g}.",
            f"The likely cause is {cause}: correct dataset.preprocessing, or dataset.range where it is wrong.",
        )


def sample_digest(sample: Sample) -> str:
    """Give the SHA-256 of a sample's input bytes, inputs in the order of their names, cut to 16 hex digits."""
    digest = hashlib.sha256()
    for name in sorted(sample):
        digest.update(sample[name].tobytes())
    return digest.hexdigest()[:16]


class InputFile:
    """An `.npy` file of one input that is filled sample by sample, without holding more than a few in memory."""

    def __init__(self, path: Path, count: int, first: Array) -> None:
        """Lay the file out for `count` samples like `first`."""
        self.path, self.shape, self.dtype = path, first.shape, first.dtype
        self._file = RowsFile(path, (count, *first.shape), first.dtype)

    def write(self, position: int, value: Array, place: str) -> None:
        """Put a sample in its position; `place` says in messages where it came from."""
        if (value.shape, value.dtype) != (self.shape, self.dtype):
            raise StageError(
                f"{place}: all samples must have one shape and dtype. Got {value.shape} {value.dtype}, "
                f"where the first sample has {self.shape} {self.dtype}.",
                "Put a step into dataset.preprocessing that makes them equal, e.g. resize, reshape or cast.",
            )
        self._file.write(position, value[None])
