"""A `.tflite` and samples in; what the file computes on every sample, as an app would run it, out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Predictions, Samples
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import inference
from tflite_pipeline.runtime.answers import collect, output_files

Array = npt.NDArray[Any]


def predict(path: Path, samples: Samples, threads: int, out: Path) -> Predictions:
    """Run a file over all samples, with one interpreter a thread.

    Samples are real numbers in the units of the float model: a quantized input gets
    `clip(round(x / scale) + zero_point)`, a quantized output is turned back to float32.
    Writes `out/outputs/<name>.npy`. Raises StageError where inputs do not fit the file, and on NaN.
    """
    job = inference.widen(inference.plan(path, inference.inputs_of(samples)))
    files = output_files(job.outputs, out)

    def sink(name: str, shape: tuple[int, ...]) -> Array:
        return np.lib.format.open_memmap(files[name], mode="w+", dtype=np.float32, shape=shape)

    for name, values in collect(job, threads, sink, "predicting").items():
        _refuse_nan(path, name, values, samples.rows)
    return Predictions.of(files, job.count, job.rows)


def _refuse_nan(path: Path, name: str, values: Array, rows: Sequence[int]) -> None:
    for start in range(0, len(values), 1024):
        bad = np.isnan(values[start : start + 1024]).reshape(len(values[start : start + 1024]), -1).any(axis=1)
        if bad.any():
            row = rows[start + int(bad.argmax())]
            raise StageError(
                f"output '{name}' of '{path.name}' must be numbers. Got NaN, first on row {row} of the dataset.",
                "Look for NaN or huge values in that row and in the model's weights.",
            )
