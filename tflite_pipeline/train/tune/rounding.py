"""What activations and constants were rounded to at the end of a training, kept in a file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tflite_pipeline.runtime.grids import Grids, Range, Steps


def write_rounding(path: Path, grids: Grids) -> None:
    """Write the grids of activations and constants, by number of the tensor, as JSON."""
    path.write_text(json.dumps({"ranges": _rows(grids.ranges), "constants": _rows(grids.constants)}))


def read_rounding(path: Path) -> Grids:
    """Read back what `write_rounding` wrote."""
    stored = json.loads(path.read_text())
    ranges = {int(n): Range(**row) for n, row in stored["ranges"].items()}
    return Grids(ranges, {int(n): Steps(**row) for n, row in stored["constants"].items()})


def _rows(found: Mapping[int, Any]) -> dict[int, dict[str, Any]]:
    return {number: dataclasses.asdict(one) for number, one in found.items()}
