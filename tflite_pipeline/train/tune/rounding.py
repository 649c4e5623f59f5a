"""The ranges that training left, kept in a file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from tflite_pipeline.train.tune.grids import Range


def write_rounding(path: Path, ranges: Mapping[int, Range]) -> None:
    """Write the ranges of activations, by number of the tensor, as JSON."""
    path.write_text(json.dumps({number: dataclasses.asdict(one) for number, one in ranges.items()}))


def read_rounding(path: Path) -> dict[int, Range]:
    """Read back what `write_rounding` wrote."""
    rows = json.loads(path.read_text())
    return {int(number): Range(**row | {"shifts": tuple(row["shifts"])}) for number, row in rows.items()}
