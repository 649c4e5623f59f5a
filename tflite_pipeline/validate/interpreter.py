"""A `.tflite` and samples in; what the file computes on every sample, as an app would run it, out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Predictions, Samples, file_digest
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import inference
from tflite_pipeline.runtime.inference import Job, shape_text

Array = npt.NDArray[Any]


def predict(path: Path, samples: Samples, threads: int, out: Path) -> Predictions:
    """Run a file over all samples, with one interpreter a thread.

    Samples are real numbers in the units of the float model: a quantized input gets
    `clip(round(x / scale) + zero_point)`, a quantized output is turned back to float32.
    Writes `out/outputs/<name>.npy`. Raises StageError where inputs do not fit the file, and on NaN.
    """
    job = inference.widen(inference.plan(path, inference.inputs_of(samples)))
    (out / "outputs").mkdir()
    files = {info.name: out / "outputs" / f"{quote(info.name, safe=' ')}.npy" for info in job.outputs}

    def sink(name: str, shape: tuple[int, ...]) -> Array:
        return np.lib.format.open_memmap(files[name], mode="w+", dtype=np.float32, shape=shape)

    for name, values in _run(job, threads, sink).items():
        _refuse_nan(path, name, values, samples.rows)
    digest = hashlib.sha256("".join(file_digest(files[name]) for name in sorted(files)).encode()).hexdigest()
    return Predictions(outputs=files, count=job.count, batch=job.rows, digest=digest)


def compute(path: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Run a file over a few samples held in memory: float32 outputs by name, first axis the samples."""
    return _run(inference.plan(path, inputs), 1, lambda _, shape: np.empty(shape, np.float32))


def _run(job: Job, threads: int, sink: Callable[[str, tuple[int, ...]], Array]) -> dict[str, Array]:
    """Fill a float32 array an output, made by `sink(name, shape)`; the threads write rows of their own."""
    arrays: dict[str, Array] = {}

    def fill(start: int, outputs: list[Array]) -> None:
        for info, rows in zip(job.outputs, outputs, strict=True):
            if start == 0:
                arrays[info.name] = sink(info.name, (job.count, *rows.shape[1:]))
            array = arrays[info.name]
            if rows.shape[1:] != array.shape[1:]:
                first, later = shape_text(array.shape[1:]), shape_text(rows.shape[1:])
                raise StageError(
                    f"output '{info.name}' of '{job.path.name}' must have one shape for all samples. "
                    f"Got {first} for sample 0 and {later} for sample {start}."
                )
            array[start : start + job.rows] = rows

    inference.run(job, threads, fill, "predicting")
    return arrays


def _refuse_nan(path: Path, name: str, values: Array, rows: Sequence[int]) -> None:
    for start in range(0, len(values), 1024):
        bad = np.isnan(values[start : start + 1024]).reshape(len(values[start : start + 1024]), -1).any(axis=1)
        if bad.any():
            row = rows[start + int(bad.argmax())]
            raise StageError(
                f"output '{name}' of '{path.name}' must be numbers. Got NaN, first on row {row} of the dataset.",
                "Look for NaN or huge values in that row and in the model's weights.",
            )
