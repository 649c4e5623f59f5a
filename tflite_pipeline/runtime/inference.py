"""A `.tflite` and samples by input name in; what the file computes on them out, to a consumer, as it comes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Samples, TensorInfo
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.delegates import count_delegated
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.runtime.progress import advance
from tflite_pipeline.runtime.rows import Rows, stored_rows

Array = npt.NDArray[Any]
Consumer = Callable[[int, list[Array]], None]
"""`consume(start, outputs)`: float32, one array an output, its first axis the samples from `start` on."""

BATCH = 8
"""Rows an inference where the graph allows it: more gain little and cost memory."""
MOST_ACTIVATIONS = 1_000_000
"""Values that a sample fills, up to which several at a time are faster; of a larger graph they leave the cache."""


def inputs_of(samples: Samples) -> dict[str, Rows]:
    """Open the inputs of samples by name."""
    return {name: stored_rows(path) for name, path in samples.inputs.items()}


@dataclass(frozen=True)
class Job:
    """A file and the samples that it is to compute, `rows` of them an inference.

    `arrays` and `shapes` are in the file's order of inputs; `shapes` are those of the tensors at that many rows.
    """

    path: Path
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    arrays: tuple[Rows, ...]
    shapes: tuple[tuple[int, ...], ...]
    rows: int
    stateful: bool

    @property
    def count(self) -> int:
        """How many samples there are."""
        return self.arrays[0].shape[0]


def plan(path: Path, arrays: Mapping[str, Rows]) -> Job:
    """Match samples with the inputs of a file by name; a single input takes samples without a name too.

    The file's own batch is the number of rows an inference, one where it is open. Raises StageError where the samples
    do not fit the file.
    """
    inputs, outputs = litert.describe(path)
    if len(inputs) == 1 and set(arrays) == {""}:
        arrays = {inputs[0].name: arrays[""]}
    named = {info.name: info for info in inputs}
    fit = set(named) == set(arrays) and all(_fits(info, arrays[name]) for name, info in named.items())
    counts = {array.shape[:1] for array in arrays.values()}
    if not fit or len(counts) != 1 or counts == {(0,)}:
        expected = "; ".join(f"'{info.name}' {shape_text(('n', *info.shape[1:]))} {info.dtype}" for info in inputs)
        got = "; ".join(f"'{name}' {shape_text(array.shape)} {array.dtype}" for name, array in arrays.items())
        raise StageError(
            f"the samples must fit the inputs of '{path.name}', n samples each: {expected}. Got {got or 'none'}.",
            "Name the dataset's inputs as the model does, and let the preprocessing give them these shapes and dtypes.",
        )
    ordered = tuple(arrays[info.name] for info in inputs)
    rows = _own_batch(path, inputs, ordered)
    job = Job(path, inputs, outputs, ordered, (), rows, litert.has_state(path))
    return replace(job, shapes=_shapes(job, rows))


def elsewhere(job: Job, path: Path) -> Job:
    """Give the same samples to another file that takes the same inputs."""
    return replace(job, path=path, outputs=litert.describe(path)[1])


def widen(job: Job) -> Job:
    """Take more rows an inference where the graph is small, and gives the same results with them."""
    all_batched = all(_is_batched(info, array) for info, array in zip(job.inputs, job.arrays, strict=True))
    if job.stateful or not all_batched or job.rows >= BATCH or job.count < BATCH:
        return job
    if _activations(job.path) > MOST_ACTIVATIONS:
        return job
    wide = replace(job, rows=BATCH, shapes=_shapes(job, BATCH))
    one = Session(job)
    try:
        fast = Session(wide).outputs_of(0)
    except StageError:
        return job
    parts = [[rows.copy() for rows in one.outputs_of(start)] for start in range(0, BATCH, job.rows)]
    slow = [np.concatenate(column)[:BATCH] for column in zip(*parts, strict=True)]
    return wide if all(map(_same, job.outputs, fast, slow)) else job


def _activations(path: Path) -> int:
    """Count the values of all tensors that one inference fills."""
    graphs = read_graphs(path)
    return sum(math.prod(map(abs, tensor.shape)) for graph in graphs for tensor in graph.tensors if not tensor.stored)


def run(job: Job, threads: int, consume: Consumer, what: str) -> None:
    """Compute all samples, with one interpreter a thread, and hand on what each inference gives.

    The call for start 0 comes first and alone; from then on as many threads as there are interpreters call `consume`,
    each for rows of its own. The arrays are the interpreter's: they must be used up during the call. Where computing or
    consuming raises, it is the error of the earliest rows that is raised. `what` names the work in the progress;
    nothing is told without it.
    """
    starts = range(0, job.count, job.rows)
    sessions = [Session(job) for _ in range(max(1, min(threads, len(starts))))]
    consume(0, sessions[0].outputs_of(0))
    turns = _Turns(job, starts[1:], what)
    turns.tell()

    def work(session: Session) -> None:
        while (start := turns.take()) is not None:
            try:
                consume(start, session.outputs_of(start))
            except Exception as error:
                turns.fail(start, error)
            else:
                turns.tell()

    with ThreadPoolExecutor(len(sessions)) as pool:
        try:
            for done in [pool.submit(work, session) for session in sessions]:
                done.result()
        finally:
            # An interrupt must not wait for all that is left.
            turns.stop()
    turns.raise_earliest()


class _Turns:
    """Gives threads their next rows, in order, until one of them fails."""

    def __init__(self, job: Job, starts: Iterable[int], what: str) -> None:
        self._job, self._starts, self._what = job, iter(starts), what
        self._lock, self._done = Lock(), 0
        self._errors: dict[int, Exception] = {}

    def take(self) -> int | None:
        with self._lock:
            return next(self._starts, None)

    def tell(self) -> None:
        with self._lock:
            self._done += self._job.rows
            if self._what:
                advance(min(self._done, self._job.count), self._job.count, self._what)

    def stop(self) -> None:
        with self._lock:
            self._starts = iter(())

    def fail(self, start: int, error: Exception) -> None:
        # Earlier rows are done or under way: whichever of them fails too will be here before the end.
        self._errors[start] = error
        self.stop()

    def raise_earliest(self) -> None:
        if self._errors:
            raise self._errors[min(self._errors)]


def shape_text(sizes: Sequence[int | str]) -> str:
    """Write a shape for a message."""
    return "(" + ", ".join("any" if size == -1 else str(size) for size in sizes) + ")"


def _is_batched(info: TensorInfo, array: Rows) -> bool:
    """Without a batch dimension, as in an input without any dimension, a sample is the whole tensor."""
    return len(info.shape) == len(array.shape)


def _fits(info: TensorInfo, array: Rows) -> bool:
    if not array.shape:
        return False
    wanted, sizes = info.shape[1:] if _is_batched(info, array) else info.shape, array.shape[1:]
    same = len(wanted) == len(sizes) and all(w in (-1, s) for w, s in zip(wanted, sizes, strict=True))
    if info.dtype in ("float32", "float16") or info.scale:
        return same and array.dtype.kind in "fiub"
    return same and bool(np.can_cast(array.dtype, np.dtype(info.dtype), "same_kind"))


def _own_batch(path: Path, inputs: Sequence[TensorInfo], arrays: Sequence[Rows]) -> int:
    pairs = zip(inputs, arrays, strict=True)
    batches = {abs(info.shape[0]) if _is_batched(info, array) else 1 for info, array in pairs}
    if len(batches) > 1:
        raise StageError(
            f"the inputs of '{path.name}' must agree on the batch, their first dimension. "
            f"Got {', '.join(f'{info.name} {shape_text(info.shape)}' for info in inputs)}.",
            "Export the model with batch: 1.",
        )
    return batches.pop()


def _shapes(job: Job, rows: int) -> tuple[tuple[int, ...], ...]:
    pairs = zip(job.inputs, job.arrays, strict=True)
    return tuple((rows, *array.shape[1:]) if _is_batched(info, array) else array.shape[1:] for info, array in pairs)


def _same(info: TensorInfo, fast: Array, slow: Array) -> bool:
    if fast.shape != slow.shape:
        return False
    tolerance = 1e-5 if info.dtype == "float32" else 0.0
    return bool(np.allclose(fast, slow, rtol=tolerance, atol=tolerance * float(np.abs(slow).max(initial=0.0))))


class Session:
    """One interpreter at the job's shapes; used by one thread at a time. `nanoseconds` tells of the last inference."""

    def __init__(self, job: Job, kernels: litert.Kernels = "xnnpack", threads: int = 1) -> None:
        """Load the job's file. Raises StageError where it does not load at these shapes."""
        self._job = job
        self._interpreter = litert.open_interpreter(job.path, threads, kernels=kernels, shapes=job.shapes)
        self.nanoseconds = 0
        self._inputs = [row["index"] for row in self._interpreter.get_input_details()]
        self._outputs = [row["index"] for row in self._interpreter.get_output_details()]

    def outputs_of(self, start: int) -> list[Array]:
        """Compute the rows from `start` on; the rows that the last inference lacks are filled up and cut off again.

        The arrays may be the interpreter's own memory, which has to be let go before the next inference.
        """
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
        begin = time.perf_counter_ns()
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            cause = " ".join(str(error).split())
            raise StageError(f"LiteRT failed to run '{job.path}' on sample {start}: {cause}") from error
        self.nanoseconds = time.perf_counter_ns() - begin
        return [self._rows(*pair)[:kept] for pair in zip(self._outputs, job.outputs, strict=True)]

    def count_delegated(self) -> tuple[int, int]:
        """Count the ops that XNNPACK computes, and all of them."""
        return count_delegated(self._interpreter)

    def _rows(self, index: int, info: TensorInfo) -> Array:
        if info.dtype == "float32":
            value: Array = self._interpreter.tensor(index)()
        else:
            value = litert.dequantize(self._interpreter.get_tensor(index), info)
        if value.shape[:1] == (self._job.rows,):
            return value
        if self._job.rows > 1:
            raise StageError(
                f"output '{info.name}' of '{self._job.path.name}' must have one row a sample, {self._job.rows}. "
                f"Got the shape {shape_text(value.shape)}.",
                "Export the model with batch: 1.",
            )
        return value[None]


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
