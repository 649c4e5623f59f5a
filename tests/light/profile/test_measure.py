from __future__ import annotations

from pathlib import Path

import pytest

from tflite_pipeline.errors import StageError
from tflite_pipeline.profile import measure as measuring
from tflite_pipeline.profile.measure import measure
from tflite_pipeline.profile.spec import Latency

DATA = Path(__file__).parents[2] / "data"


def test_latency_and_memory_of_a_real_file(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "image_classification" / "published_int8.tflite"
    profile = measure(path, Latency(warmup=2, runs=20), tmp_path)
    times = profile.latency_ms
    assert 0 < times["min"] <= times["p50"] <= times["p90"] <= times["p99"] < 1000
    assert times["min"] <= times["mean"]
    assert (profile.threads, profile.warmup, profile.runs) == (1, 2, 20)
    assert 1 << 17 < profile.peak_memory < 1 << 28
    assert profile.host
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_a_stage_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes((DATA / "float32.tflite").read_bytes()[:2000])
    with pytest.raises(StageError, match=r"cut\.tflite' is damaged"):
        measure(path, Latency(), tmp_path)


def test_a_slow_file_is_run_less_often_and_the_profile_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "ENOUGH_SECONDS", 0.0)
    assert measure(DATA / "float32.tflite", Latency(warmup=0, runs=50), tmp_path).runs == measuring.FEWEST_RUNS
