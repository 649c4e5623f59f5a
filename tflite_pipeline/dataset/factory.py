"""What a Python function of the user returns, `(inputs, labels)`, as a table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import file_digest
from tflite_pipeline.dataset.spec import Factory
from tflite_pipeline.dataset.table import Array, Table, as_labels, check_lengths
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import user_code

KEY = "dataset.function"
RETURNS = (
    "Return (inputs, labels): inputs has len() and [i], or is a dict of such by input name; "
    "labels is an array, a dict of arrays by output name, or None."
)


@dataclass(frozen=True)
class _Values:
    values: Any
    function: str

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> Array:
        try:
            return np.asarray(self.values[row])
        except Exception as error:  # the user's own code
            raise user_code.failed(f"the inputs that {self.function} returned: reading sample {row}", error) from error


def read(spec: Factory, seed: int) -> Table:
    """Call the function and check what it returns."""
    result = user_code.call(KEY, spec.function, spec.arguments)
    if not isinstance(result, tuple) or len(result) != 2:
        raise _wrong(spec, f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__)
    inputs, labels = (part if isinstance(part, dict) else {"": part} for part in result)
    columns = {str(name): _column(spec, str(name), values) for name, values in inputs.items()}
    arrays = {
        str(name): as_labels(values, f"labels{_quoted(str(name))} of {spec.function}")
        for name, values in labels.items()
        if values is not None
    }
    lengths = {f"inputs{_quoted(name)}": len(column) for name, column in columns.items()}
    lengths |= {f"labels{_quoted(name)}": len(array) for name, array in arrays.items()}
    return Table(
        count=check_lengths(lengths, f"dataset.function {spec.function}"),
        inputs=dict(columns),
        labels=arrays,
        classes=spec.classes,
    )


def _quoted(name: str) -> str:
    return f" '{name}'" if name else ""


def _column(spec: Factory, name: str, values: Any) -> _Values:
    try:
        len(values)
    except TypeError as error:
        raise _wrong(spec, f"inputs{_quoted(name)} of type {type(values).__name__} without len()") from error
    if not hasattr(values, "__getitem__"):
        raise _wrong(spec, f"inputs{_quoted(name)} of type {type(values).__name__} without [i]")
    return _Values(values, spec.function)


def _wrong(spec: Factory, got: str) -> StageError:
    return StageError(f"dataset.function {spec.function} must return (inputs, labels). Got {got}.", RETURNS)


def digest(spec: Factory, folders: Sequence[Path] = ()) -> str:
    """Give a digest of the function's name, its arguments and its module's source file, not of what that imports."""
    source = user_code.source_file(KEY, spec.function, folders)
    parts = [spec.function, spec.arguments, file_digest(source) if source else ""]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
