from __future__ import annotations

from pathlib import Path

from tflite_pipeline.profile.race import race
from tflite_pipeline.profile.spec import Latency

DATA = Path(__file__).parent.parent.parent / "data"


def test_each_file_gets_a_median_within_its_interval(tmp_path):
    paths = (DATA / "float32.tflite", DATA / "conv_net.tflite", DATA / "float32.tflite")
    found = race(paths, Latency(warmup=0, runs=20), tmp_path)
    assert len(found.laps) == 3
    for lap in found.laps:
        assert 0 < lap.interval[0] <= lap.p50 <= lap.interval[1]
    assert not list(tmp_path.iterdir())
