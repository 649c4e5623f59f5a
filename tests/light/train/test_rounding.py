"""What a training rounded to outlives its process in a file."""

from __future__ import annotations

import json
from pathlib import Path

from tflite_pipeline.runtime.grids import Grids, Range, Steps
from tflite_pipeline.train.tune.rounding import read_rounding, write_rounding


def test_ranges_and_steps_come_back_as_they_were(tmp_path: Path) -> None:
    ranges = {
        3: Range(8, -0.1, 0.7000000001, False, 3, True),
        12: Range(16, -5e-9, 5e-9, True, 3, False),
    }
    grids = Grids(ranges, {4: Steps(4, 7, 0, True), 5: Steps(8, 127, None, False)})
    write_rounding(tmp_path / "rounding.json", grids)
    assert read_rounding(tmp_path / "rounding.json") == grids
    assert set(json.loads((tmp_path / "rounding.json").read_text())["ranges"]) == {"3", "12"}


def test_no_ranges_come_back_as_none(tmp_path: Path) -> None:
    write_rounding(tmp_path / "rounding.json", Grids({}, {}))
    assert read_rounding(tmp_path / "rounding.json") == Grids({}, {})
