from __future__ import annotations

import importlib.metadata
from pathlib import Path

from tflite_pipeline.targets.litert import TARGETS, check_targets
from tflite_pipeline.targets.names import TARGET_SUMMARIES

DATA = Path(__file__).parents[2] / "data"


def test_every_named_target_has_a_check() -> None:
    assert set(TARGETS) == set(TARGET_SUMMARIES)


def test_a_file_that_runs_passes_and_says_who_checked(tmp_path: Path) -> None:
    (check,) = check_targets(("litert",), DATA / "full_int8_uint8_io.tflite", tmp_path).checks
    version = importlib.metadata.version("ai-edge-litert")
    assert check == {
        "name": "litert",
        "passed": True,
        "checked_by": f"ai-edge-litert {version} on this host",
        "findings": [],
    }


def test_a_file_that_does_not_load_fails_with_the_cause(tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(b"TFL3")
    (check,) = check_targets(("litert",), path, tmp_path).checks
    assert not check["passed"]
    assert "cut.tflite' is damaged" in check["findings"][0]
