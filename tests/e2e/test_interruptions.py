"""Runs that are killed or interrupted lose nothing that was finished and leave nothing half-written."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
KILLS = 20
RECIPE = """
recipe: 1
name: small
model: {source: application, name: MobileNetV2, input_shape: [32, 32, 3], classes: 10, arguments: {alpha: 0.35}}
dataset:
  source: digits
  calibration: {split: train, samples: 50}
  evaluation: {split: test, samples: 100}
  preprocessing: [{resize: {height: 32, width: 32}}, grayscale_to_rgb]
training: {method: fit, epochs: 4, batch: 64}
quantization: {scheme: full_int8, io: int8}
validation: {metrics: [top1]}
"""


def _command(tmp_path: Path) -> list[str]:
    (tmp_path / "small.yaml").write_text(RECIPE)
    return [sys.executable, "-m", "tflite_pipeline", "run", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "b")]


def _assert_whole(out: Path) -> None:
    """No result with a good name is partial: every published entry has all its files, the result folder too."""
    for entry in out.glob(".cache/*/*/entry.json"):
        if ".partial" in entry.parent.name or ".resume" in entry.parent.name:
            continue
        for name, size in json.loads(entry.read_text())["files"].items():
            assert (entry.parent / name).stat().st_size == size
    if (out / "small").exists():
        report = json.loads((out / "small" / "report.json").read_text())
        assert (out / "small" / report["model"]["file"]).stat().st_size == report["model"]["bytes"]


@pytest.mark.tf
def test_killed_runs_go_on_where_they_were(tmp_path):
    chance = random.Random(0)
    done_before: set[str] = set()
    for _ in range(KILLS):
        with subprocess.Popen(_command(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            time.sleep(chance.uniform(0.1, 8.0))
            run.send_signal(signal.SIGKILL)
        _assert_whole(tmp_path / "b")
        done = {str(path.parent) for path in tmp_path.glob("b/.cache/*/*/entry.json") if ".partial" not in str(path)}
        assert done_before <= done
        done_before = done
    last = subprocess.run(_command(tmp_path), capture_output=True, text=True, check=False)
    assert last.returncode in (0, 1), last.stderr
    report = json.loads((tmp_path / "b" / "small" / "report.json").read_text())
    assert len(report["history"]) == 4
    assert len(report["cached"]) >= len(done_before) - 1
    leftovers = [path for path in (tmp_path / "b" / ".cache").rglob("*.partial*")]
    assert leftovers == []


@pytest.mark.tf
def test_interrupt_ends_at_once_and_says_how_to_go_on(tmp_path):
    run = subprocess.Popen(_command(tmp_path), stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(3)
    begin = time.monotonic()
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=10)
    assert time.monotonic() - begin < 5
    assert run.returncode == 130
    assert "run the same command again to go on" in err
    assert "Traceback" not in err
