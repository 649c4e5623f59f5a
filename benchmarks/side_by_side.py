"""What the benchmarks of whole processes share: a recipe with its model and images, and a clock."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from networks import images, save_mobilenet_v2


def write_task(folder: Path, calibration: int, evaluation: int, io: str) -> None:
    """Write `model.keras` (MobileNetV2 224), `images.npz` and `recipe.yaml`, the images for calibration first."""
    save_mobilenet_v2(folder / "model.keras")
    rows = images(calibration + evaluation)
    np.savez(folder / "images.npz", x=rows, y=np.random.default_rng(0).integers(0, 1000, len(rows)))
    (folder / "recipe.yaml").write_text(f"""
recipe: 1
name: benchmark
model: {{source: keras_file, path: model.keras}}
dataset:
  source: npz
  path: images.npz
  inputs: x
  labels: y
  splits: {{train: "0:{calibration}", test: "{calibration}:{calibration + evaluation}"}}
  calibration: {{split: train, samples: {calibration}}}
  evaluation: {{split: test}}
quantization: {{scheme: full_int8, io: {io}}}
validation: {{metrics: [top1]}}
""")


def timed(command: list[str], folder: Path, codes: tuple[int, ...] = (0, 1)) -> float:
    """Run a command to its end; exit code 1 is right too, since with random weights a gate may fail."""
    with (folder / "output.txt").open("w") as output:
        begin = time.perf_counter()
        code = subprocess.run(command, stdout=output, stderr=output, check=False).returncode
        seconds = time.perf_counter() - begin
    if code not in codes:
        sys.exit((folder / "output.txt").read_text())
    return seconds
