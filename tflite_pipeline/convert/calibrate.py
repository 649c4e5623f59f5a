"""Reference and samples to the range of every activation, sample by sample, at the speed of float inference."""

from __future__ import annotations

import tempfile
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Histograms, Ranges, Reference, Samples
from tflite_pipeline.convert import observe
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import inference, litert
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.runtime.inference import Consumer, Job
from tflite_pipeline.runtime.rows import RowsFile, read_blocks

Array = npt.NDArray[Any]

BINS = 2048
"""Bins of a histogram: eight for each step of 8 bits."""

_AT_ONCE = 1 << 16
"""Values that are binned at a time, so that what is made of them stays in the processor's cache."""
AGAIN = "Calibrate again: run with --force."


def calibrate(reference: Reference, samples: Samples, threads: int, out: Path) -> Ranges:
    """Run the reference over all samples, with one interpreter a thread, and note the range of every activation.

    Writes `out/low.npy` and `out/high.npy`. Raises StageError where the ranges inside an op cannot be seen, where the
    samples do not fit, and where an activation is not finite.
    """
    graphs = read_graphs(reference.path)
    observe.refuse_uncalibratable(graphs)
    tensors = observe.activations(graphs[0])
    names = tuple(graphs[0].tensors[index].name for index in tensors)
    job = inference.plan(reference.path, inference.inputs_of(samples))
    low, high = (RowsFile(out / f"{side}.npy", (job.count, len(tensors)), np.float32) for side in ("low", "high"))

    def consume(start: int, outputs: list[Array]) -> None:
        smallest, largest, total = outputs
        finite = np.isfinite(smallest) & np.isfinite(largest) & ~np.isnan(total)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise _not_finite(names[column], samples.rows[start + row])
        low.write(start, smallest)
        high.write(start, largest)

    _run(job, observe.with_ranges(reference, graphs[0], job.rows), threads, consume, "calibrating", out)
    return Ranges(reference.sha256, samples.digest, tensors, names, low.path, high.path, job.count)


def spread(reference: Reference, samples: Samples, ranges: Ranges, threads: int, out: Path) -> Histograms:
    """Run the reference over all samples again, and count the values of every activation in equal bins over its range.

    Writes `out/counts.npy`. Raises StageError where the ranges are not those of this reference and these samples.
    """
    check_ranges(ranges, reference)
    if ranges.samples != samples.digest:
        raise StageError(f"the ranges must be those of the {samples.count} samples. Got others'.", AGAIN)
    low, high = _overall(ranges)
    counts = np.zeros((len(low), BINS), np.int64)
    lock = Lock()

    def consume(_: int, outputs: list[Array]) -> None:
        for column, values in enumerate(outputs):
            found = _binned(values.reshape(-1), float(low[column]), float(high[column]))
            with lock:
                counts[column] += found

    graph = read_graphs(reference.path)[0]
    job = inference.plan(reference.path, inference.inputs_of(samples))
    _run(job, observe.with_values(reference, graph, job.rows), threads, consume, "counting", out)
    np.save(out / "counts.npy", counts)
    edges = (tuple(map(float, side)) for side in (low, high))
    return Histograms(reference.sha256, samples.digest, out / "counts.npy", *edges)


def check_ranges(ranges: Ranges, reference: Reference) -> None:
    """Raise StageError where the ranges were made from another model, or where their files are not whole."""
    if ranges.reference != reference.sha256:
        expected, got = reference.sha256[:12], ranges.reference[:12]
        text = f"the ranges must be those of '{reference.path.name}' (SHA-256 {expected}…). Got those of a file {got}…."
        raise StageError(text, AGAIN)
    shape = (ranges.count, len(ranges.tensors))
    for path in (ranges.low, ranges.high):
        wanted = f"'{path}' must hold {shape[0]} x {shape[1]} numbers, float32"
        try:
            table = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError) as error:
            raise StageError(f"{wanted}. It cannot be read: {error}", AGAIN) from error
        if table.shape != shape or table.dtype != np.float32:
            raise StageError(f"{wanted}. Got {' x '.join(map(str, table.shape))}, {table.dtype}.", AGAIN)


def _run(job: Job, content: bytes, threads: int, consume: Consumer, what: str, out: Path) -> None:
    """Give the job's samples to a file that observes the job's own."""
    with tempfile.TemporaryDirectory(dir=out) as folder:
        path = Path(folder) / job.path.name
        path.write_bytes(content)
        del content  # as large as the model, and no longer needed
        try:
            inference.run(inference.elsewhere(job, path), threads, consume, what)
        except StageError:
            # Where the reference itself does not load, the error names it and its own ops.
            litert.open_interpreter(job.path, shapes=job.shapes)
            raise


def _not_finite(name: str, row: int) -> StageError:
    return StageError(
        f"tensor '{name}' must hold finite numbers. Got NaN or infinity, first on row {row} of the dataset.",
        "Look for NaN or huge values in that row and in the model's weights.",
    )


def _overall(ranges: Ranges) -> tuple[Array, Array]:
    low = np.min([block.min(axis=0) for block in read_blocks(ranges.low)], axis=0)
    return low, np.max([block.max(axis=0) for block in read_blocks(ranges.high)], axis=0)


def _binned(values: Array, low: float, high: float) -> Array:
    """Count float32 values [n] in equal bins from `low` to `high`, which belongs to the last one: int64 [bins]."""
    counts = np.zeros(BINS, np.int64)
    # A range too narrow for a factor in float32 fills the first bins only.
    scale = np.float32(min(BINS / (high - low), float(np.finfo(np.float32).max))) if high > low else np.float32(0)
    steps, whole, bins = (np.empty(min(_AT_ONCE, values.size), kind) for kind in (np.float32, np.int32, np.int64))
    for start in range(0, values.size, _AT_ONCE):
        chunk = values[start : start + _AT_ONCE]
        part = slice(0, chunk.size)
        np.subtract(chunk, np.float32(low), out=steps[part])
        np.multiply(steps[part], scale, out=steps[part])
        np.clip(steps[part], 0, BINS - 1, out=steps[part])
        # float32 to int32 to int64 is faster than at once: processors have instructions for both.
        whole[part] = steps[part]
        bins[part] = whole[part]
        counts += np.bincount(bins[part], minlength=BINS)
    return counts
