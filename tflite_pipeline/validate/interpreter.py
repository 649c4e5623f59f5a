"""A `.tflite` and samples in; what the file computes on every sample, as an app would run it, out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Predictions, Samples, TensorInfo, file_digest
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.progress import advance

Array = npt.NDArray[Any]

BATCH = 8
"""Rows an inference where the graph allows it: more gain little and cost memory."""


@dataclass(frozen=True)
class _Job:
    """`arrays` and `inputs` in the file's order; `shapes` of the tensors at `rows` samples an inference."""

    path: Path
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    arrays: tuple[Array, ...]
    shapes: tuple[tuple[int, ...], ...]
    rows: int
    stateful: bool

    @property
    def count(self) -> int:
        return len(self.arrays[0])


def predict(path: Path, samples: Samples, threads: int, out: Path) -> Predictions:
    """Run a file over all samples, with one interpreter a thread.

    Samples are real numbers in the units of the float model: a quantized input gets
    `clip(round(x / scale) + zero_point)`, a quantized output is turned back to float32.
    Writes `out/outputs/<name>.npy`. Raises StageError where inputs do not fit the file, and on NaN.
    """
    arrays = {name: np.load(file, mmap_mode="r") for name, file in samples.inputs.items()}
    job = _widen(_plan(path, arrays))
    (out / "outputs").mkdir()
    files = {info.name: out / "outputs" / f"{info.name.replace('/', '_')}.npy" for info in job.outputs}

    def sink(name: str, shape: tuple[int, ...]) -> Array:
        return np.lib.format.open_memmap(files[name], mode="w+", dtype=np.float32, shape=shape)

    for name, values in _run(job, threads, sink).items():
        _refuse_nan(path, name, values, samples.rows)
    digest = hashlib.sha256("".join(file_digest(files[name]) for name in sorted(files)).encode()).hexdigest()
    return Predictions(outputs=files, count=job.count, batch=job.rows, digest=digest)


def compute(path: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Run a file over a few samples held in memory: float32 outputs by name, first axis the samples."""
    return _run(_plan(path, inputs), 1, lambda _, shape: np.empty(shape, np.float32))


def _plan(path: Path, arrays: Mapping[str, Array]) -> _Job:
    inputs, outputs = litert.describe(path)
    if len(inputs) == 1 and set(arrays) == {""}:
        arrays = {inputs[0].name: arrays[""]}
    named = {info.name: info for info in inputs}
    fit = set(named) == set(arrays) and all(_fits(info, arrays[name]) for name, info in named.items())
    counts = {array.shape[:1] for array in arrays.values()}
    if not fit or len(counts) != 1 or counts == {(0,)}:
        expected = "; ".join(f"'{info.name}' {_shape(('n', *info.shape[1:]))} {info.dtype}" for info in inputs)
        got = "; ".join(f"'{name}' {_shape(array.shape)} {array.dtype}" for name, array in arrays.items())
        raise StageError(
            f"the samples must fit the inputs of '{path.name}', n samples each: {expected}. Got {got or 'none'}.",
            "Name the dataset's inputs as the model does, and let the preprocessing give them these shapes and dtypes.",
        )
    ordered = tuple(arrays[info.name] for info in inputs)
    rows = _own_batch(path, inputs, ordered)
    job = _Job(path, inputs, outputs, ordered, (), rows, litert.has_state(path))
    return replace(job, shapes=_shapes(job, rows))


def _shape(sizes: Sequence[int | str]) -> str:
    return "(" + ", ".join("any" if size == -1 else str(size) for size in sizes) + ")"


def _is_batched(info: TensorInfo, array: Array) -> bool:
    """Without a batch dimension, as in an input without any dimension, a sample is the whole tensor."""
    return len(info.shape) == array.ndim


def _fits(info: TensorInfo, array: Array) -> bool:
    if array.ndim == 0:
        return False
    wanted, sizes = info.shape[1:] if _is_batched(info, array) else info.shape, array.shape[1:]
    same = len(wanted) == len(sizes) and all(w in (-1, s) for w, s in zip(wanted, sizes, strict=True))
    if info.dtype in ("float32", "float16") or info.scale:
        return same and array.dtype.kind in "fiub"
    return same and bool(np.can_cast(array.dtype, np.dtype(info.dtype), "same_kind"))


def _own_batch(path: Path, inputs: Sequence[TensorInfo], arrays: Sequence[Array]) -> int:
    pairs = zip(inputs, arrays, strict=True)
    batches = {abs(info.shape[0]) if _is_batched(info, array) else 1 for info, array in pairs}
    if len(batches) > 1:
        raise StageError(
            f"the inputs of '{path.name}' must agree on the batch, their first dimension. "
            f"Got {', '.join(f'{info.name} {_shape(info.shape)}' for info in inputs)}.",
            "Export the model with batch: 1.",
        )
    return batches.pop()


def _shapes(job: _Job, rows: int) -> tuple[tuple[int, ...], ...]:
    pairs = zip(job.inputs, job.arrays, strict=True)
    return tuple((rows, *array.shape[1:]) if _is_batched(info, array) else array.shape[1:] for info, array in pairs)


def _widen(job: _Job) -> _Job:
    """Take more rows an inference where the graph gives the same results with them."""
    all_batched = all(_is_batched(info, array) for info, array in zip(job.inputs, job.arrays, strict=True))
    if job.stateful or not all_batched or job.rows >= BATCH or job.count < BATCH:
        return job
    wide = replace(job, rows=BATCH, shapes=_shapes(job, BATCH))
    one = _Session(job)
    try:
        fast = _Session(wide).outputs_of(0)
    except StageError:
        return job
    parts = [one.outputs_of(start) for start in range(0, BATCH, job.rows)]
    slow = [np.concatenate(column)[:BATCH] for column in zip(*parts, strict=True)]
    return wide if all(map(_same, job.outputs, fast, slow)) else job


def _same(info: TensorInfo, fast: Array, slow: Array) -> bool:
    if fast.shape != slow.shape:
        return False
    tolerance = 1e-5 if info.dtype == "float32" else 0.0
    return bool(np.allclose(fast, slow, rtol=tolerance, atol=tolerance * float(np.abs(slow).max(initial=0.0))))


class _Session:
    """One interpreter at the job's shapes; used by one thread at a time."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._interpreter = litert.open_interpreter(job.path, shapes=job.shapes)
        self._inputs = [row["index"] for row in self._interpreter.get_input_details()]
        self._outputs = [row["index"] for row in self._interpreter.get_output_details()]

    def outputs_of(self, start: int) -> list[Array]:
        """Compute the rows from `start` on; the rows that the last inference lacks are filled up and cut off again."""
        job = self._job
        kept = min(job.rows, job.count - start)
        if job.stateful:
            self._interpreter.reset_all_variables()
        for index, info, array, shape in zip(self._inputs, job.inputs, job.arrays, job.shapes, strict=True):
            chunk = np.asarray(array[start : start + kept])
            _refuse_overflow(job.path, info, chunk, start)
            if kept < job.rows:
                chunk = np.concatenate([chunk, np.repeat(chunk[-1:], job.rows - kept, axis=0)])
            self._interpreter.set_tensor(index, litert.quantize(chunk, info).reshape(shape))
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            cause = " ".join(str(error).split())
            raise StageError(f"LiteRT failed to run '{job.path}' on sample {start}: {cause}") from error
        pairs = zip(self._outputs, job.outputs, strict=True)
        return [self._rows(info, self._interpreter.get_tensor(index))[:kept] for index, info in pairs]

    def _rows(self, info: TensorInfo, value: Array) -> Array:
        if value.shape[:1] != (self._job.rows,):
            if self._job.rows > 1:
                raise StageError(
                    f"output '{info.name}' of '{self._job.path.name}' must have one row a sample, {self._job.rows}. "
                    f"Got the shape {_shape(value.shape)}.",
                    "Export the model with batch: 1.",
                )
            value = value[None]
        return litert.dequantize(value, info)


def _refuse_overflow(path: Path, info: TensorInfo, chunk: Array, start: int) -> None:
    dtype = np.dtype(info.dtype)
    if info.scale or dtype.kind not in "iu" or np.can_cast(chunk.dtype, dtype, "safe"):
        return
    limits = np.iinfo(dtype)
    if chunk.min(initial=0) < limits.min or chunk.max(initial=0) > limits.max:
        raise StageError(
            f"input '{info.name}' of '{path.name}' must be {info.dtype}. "
            f"Got values from {chunk.min()} to {chunk.max()} in the samples from {start} on.",
            "Check the dataset and the preprocessing of this input.",
        )


def _run(job: _Job, threads: int, sink: Callable[[str, tuple[int, ...]], Array]) -> dict[str, Array]:
    """Fill a float32 array an output, made by `sink(name, shape)`; the threads write rows of their own."""
    starts = range(0, job.count, job.rows)
    sessions = [_Session(job) for _ in range(max(1, min(threads, len(starts))))]
    first = sessions[0].outputs_of(0)
    arrays = [sink(info.name, (job.count, *rows.shape[1:])) for info, rows in zip(job.outputs, first, strict=True)]
    idle: SimpleQueue[_Session] = SimpleQueue()
    for session in sessions:
        idle.put(session)

    def work(start: int) -> None:
        session = idle.get()
        try:
            for info, array, rows in zip(job.outputs, arrays, session.outputs_of(start), strict=True):
                if rows.shape[1:] != array.shape[1:]:
                    raise StageError(
                        f"output '{info.name}' of '{job.path.name}' must have one shape for all samples. "
                        f"Got {_shape(array.shape[1:])} for sample 0 and {_shape(rows.shape[1:])} for sample {start}."
                    )
                array[start : start + job.rows] = rows
        finally:
            idle.put(session)

    with ThreadPoolExecutor(len(sessions)) as pool:
        for start, _ in zip(starts, pool.map(work, starts), strict=True):
            advance(min(start + job.rows, job.count), job.count, "predicting")
    return {info.name: array for info, array in zip(job.outputs, arrays, strict=True)}


def _refuse_nan(path: Path, name: str, values: Array, rows: Sequence[int]) -> None:
    for start in range(0, len(values), 1024):
        bad = np.isnan(values[start : start + 1024]).reshape(len(values[start : start + 1024]), -1).any(axis=1)
        if bad.any():
            row = rows[start + int(bad.argmax())]
            raise StageError(
                f"output '{name}' of '{path.name}' must be numbers. Got NaN, first on row {row} of the dataset.",
                "Look for NaN or huge values in that row and in the model's weights.",
            )
