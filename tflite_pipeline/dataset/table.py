"""What every source gives: columns of raw samples, labels, and which rows the source itself sets apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tflite_pipeline.errors import StageError

Array = npt.NDArray[Any]


class Column(Protocol):
    """The raw samples of one input; `column[row]` reads one, which may be slow and may raise StageError."""

    def __len__(self) -> int:
        """Give the number of samples."""

    def __getitem__(self, row: int, /) -> Array:
        """Give one sample, without a batch dimension."""


def _unplaced(row: int) -> str:
    return ""


@dataclass(frozen=True)
class Table:
    """All rows of a dataset, not yet preprocessed.

    `inputs` and `labels` are by name, the empty name where there is just one without a name; class numbers are
    one-dimensional. `groups` are rows of the splits that the source itself knows, `unlabelled` those of them whose
    labels are only placeholders. `origin(row)` says where a row was read from, for messages.
    """

    count: int
    inputs: dict[str, Column]
    labels: dict[str, Array]
    classes: tuple[str, ...] = ()
    groups: dict[str, range] = field(default_factory=dict)
    synthetic: bool = False
    unlabelled: frozenset[str] = frozenset()
    origin: Callable[[int], str] = _unplaced

    @property
    def class_labels(self) -> Array | None:
        """The class of each row, or None where there is not exactly one array of class numbers."""
        arrays = list(self.labels.values())
        return arrays[0] if len(arrays) == 1 and arrays[0].ndim == 1 and arrays[0].dtype.kind in "iu" else None


def as_labels(values: Any, what: str) -> Array:
    """Check labels and give them as an array; class numbers of shape (n, 1) become (n,).

    Raises:
        StageError: where they are no numbers; `what` names them in the message.
    """
    try:
        labels = np.asarray(values)
    except ValueError as error:
        raise StageError(
            f"{what} must be an array of numbers. Got rows of different shapes.", "Give every sample the same labels."
        ) from error
    if labels.dtype.kind not in "biuf":
        raise StageError(
            f"{what} must be numbers. Got dtype {labels.dtype}.",
            "Number the classes 0, 1, 2, … and give the names as dataset.classes.",
        )
    if labels.ndim == 0:
        raise StageError(f"{what} must have one entry a sample. Got the single value {labels}.", "Name another array.")
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int64)
    return labels[:, 0] if labels.dtype.kind in "iu" and labels.ndim == 2 and labels.shape[1] == 1 else labels


def check_lengths(lengths: dict[str, int], where: str) -> int:
    """Give the common number of samples of columns; the keys of `lengths` name them in messages.

    Raises:
        StageError: where there are none, or where the numbers differ.
    """
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise StageError(
            f"{where}: inputs and labels must have the same number of samples. Got: {told or 'none'}.",
            "Give every sample one row in each of them.",
        )
    count = next(iter(lengths.values()))
    if count == 0:
        raise StageError(f"{where}: must hold at least one sample. Got none.", "Correct the dataset section.")
    return count


@dataclass(frozen=True)
class Joined:
    """Columns one after the other, as one column."""

    parts: Sequence[Column]

    def __len__(self) -> int:
        """Give the number of samples of all parts."""
        return sum(map(len, self.parts))

    def __getitem__(self, row: int) -> Array:
        """Give one sample."""
        for part in self.parts:
            if row < len(part):
                return part[row]
            row -= len(part)
        raise IndexError(row)
