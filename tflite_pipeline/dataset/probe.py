"""A few samples, evenly spread over a split, on which the original model and its conversions are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tflite_pipeline.artifacts import Samples
from tflite_pipeline.runtime.rows import spread_rows


def take_probe(samples: Samples, count: int, out: Path) -> Samples:
    """Copy `count` samples (or all, where there are fewer) into `out/inputs/<name>.npy`."""
    positions = spread_rows(samples.count, count)
    (out / "inputs").mkdir()
    inputs = {}
    for name, path in samples.inputs.items():
        inputs[name] = out / "inputs" / path.name
        np.save(inputs[name], np.load(path, mmap_mode="r")[positions])
    rows = tuple(samples.rows[position] for position in positions)
    digests = tuple(samples.digests[position] for position in positions)
    return Samples("probe", out, inputs, {}, rows, digests, samples.classes, samples.synthetic, "".join(digests))
