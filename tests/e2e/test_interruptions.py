"""Runs that are killed or interrupted lose nothing that was finished and leave nothing half-written."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
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


QAT_RECIPE = """
recipe: 1
name: small
model: {source: factory, function: "tuning:plain_conv"}
dataset:
  source: digits
  calibration: {split: train, samples: 50}
  evaluation: {split: test, samples: 100}
  preprocessing: [{scale: {factor: 0.125, offset: -1.0}}]
training: {method: qat, epochs: 6, batch: 4}
quantization: {scheme: full_int8, io: int8}
validation: {metrics: [top1]}
"""


def _command(tmp_path: Path, recipe: str = RECIPE) -> list[str]:
    (tmp_path / "small.yaml").write_text(recipe)
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
    run = subprocess.Popen(
        _command(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell ignores it for what it starts in the background, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(3)
    begin = time.monotonic()
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=10)
    assert time.monotonic() - begin < 5
    assert run.returncode == 130
    assert "run the same command again to go on" in err
    assert "Traceback" not in err


@pytest.mark.tf
def test_a_training_that_was_killed_goes_on_at_its_epoch_and_ends_as_if_it_had_not_been(tmp_path):
    shutil.copy(ROOT / "tests" / "factories" / "tuning.py", tmp_path)
    command = [*_command(tmp_path, QAT_RECIPE), "--allow-code"]
    whole = [*command[:-3], "--out", str(tmp_path / "whole"), "--allow-code"]
    assert subprocess.run(whole, capture_output=True, check=False).returncode == 0
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as run:
        while not (found := list(tmp_path.glob("b/.cache/tune/*/epoch-00003.npz"))):
            assert run.poll() is None
            time.sleep(0.001)
        os.killpg(run.pid, signal.SIGKILL)
    (checkpoint,) = found
    assert not list(tmp_path.glob("b/.cache/tune/*/epoch-00004.npz"))
    with np.load(checkpoint) as stored:
        arrays = dict(stored)
    history = json.loads(str(arrays["history"]))
    # A mark by which the epochs before the kill are known.
    history[1]["loss"] += 100
    np.savez(checkpoint, **arrays | {"history": np.array(json.dumps(history))})
    last = subprocess.run(command, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    expected, report = (json.loads((tmp_path / out / "small" / "report.json").read_text()) for out in ("whole", "b"))
    rows, wanted = (one["training"]["steps"][0]["history"] for one in (report, expected))
    assert rows[1].pop("loss") == wanted[1].pop("loss") + 100
    assert rows == wanted
    assert len(rows) == 7
    assert report["model"]["sha256"] == expected["model"]["sha256"]
    assert not list(tmp_path.glob("b/.cache/**/epoch-*.npz"))
