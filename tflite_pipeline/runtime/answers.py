"""A `.tflite` and samples in; what it computes on all of them, as arrays, out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import TensorInfo
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import inference
from tflite_pipeline.runtime.inference import Job, shape_text

Array = npt.NDArray[Any]


def compute(path: Path, inputs: Mapping[str, Array], threads: int = 1) -> dict[str, Array]:
    """Run a file over a few samples held in memory: float32 outputs by name, first axis the samples."""
    return collect(inference.plan(path, inputs), threads, lambda _, shape: np.empty(shape, np.float32), "")


def collect(job: Job, threads: int, sink: Callable[[str, tuple[int, ...]], Array], what: str) -> dict[str, Array]:
    """Fill a float32 array an output, made by `sink(name, shape)`; `what` names the work in the progress, if any."""
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

    inference.run(job, threads, fill, what)
    return arrays


def output_files(outputs: Sequence[TensorInfo], out: Path) -> dict[str, Path]:
    """Make the folder `out/outputs`, and name a file in it for each output."""
    (out / "outputs").mkdir()
    return {info.name: out / "outputs" / f"{quote(info.name, safe=' ')}.npy" for info in outputs}
