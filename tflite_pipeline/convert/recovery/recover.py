"""Reference, draft and calibration samples to a reference whose kernels and biases make up for what rounding loses."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tflite_pipeline.artifacts import Engine, QuantizedModel, Ranges, Recovered, Reference, Samples, file_digest
from tflite_pipeline.convert.recovery.walk import Array, Walk
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import inference
from tflite_pipeline.runtime.biases import round_biases, separated, with_biases
from tflite_pipeline.runtime.graph import Graph, read_graphs
from tflite_pipeline.runtime.grids import read_grids
from tflite_pipeline.runtime.pieces import Pieces, bound_ops
from tflite_pipeline.runtime.rows import spread_rows
from tflite_pipeline.runtime.writeback import as_ranges, write_back

Draft = tuple[QuantizedModel, Ranges | None, bool]
"""The file that the scheme makes of the reference, the ranges it came from, and whether int8 is symmetric."""
Seen = tuple[Samples, int]
"""Calibration samples, and that one in so many of them is left out, to judge by; with 0 none is."""

MOST_BYTES = 1 << 30
"""What the values of all samples may fill at a time; of larger networks fewer samples are used."""
LEAST_SAMPLES = 8


@dataclass(frozen=True)
class Obstacle:
    """Why a file cannot be recovered; empty where it can."""

    why: str


def find_obstacle(engine: Engine, reference: Reference, asked: str | tuple[str, ...], out: Path) -> Obstacle:
    """Look for what recovery cannot go through, before anything slow begins; nothing is written.

    Raises StageError where `asked` names passes; `auto` does without them.
    """
    del out
    why = ""
    if engine.name == "converter":
        why = "only the engine converter can make the file, and it takes the weights from the SavedModel"
    elif bound := bound_ops(read_graphs(reference.path)[0]):
        why = f"{', '.join(bound)} cannot be computed alone"
    if why and asked != "auto":
        remedy = "Leave out quantization.recovery, or set it to auto, which does without where it must."
        raise StageError(f"recovery cannot be done on this model: {why}.", remedy)
    return Obstacle(why)


def recover(
    passes: tuple[str, ...], reference: Reference, draft: Draft, seen: Seen, threads: int, out: Path
) -> Recovered:
    """Choose kernels and biases by the passes, on the grids of the draft.

    Writes `reference.tflite` below `out`, and with ranges `low.npy` and `high.npy`: quantized again with these, every
    kernel keeps its integers. Raises StageError where an op cannot be computed by itself, where the draft is not one of
    this reference, and where the samples do not fit.
    """
    with tempfile.TemporaryDirectory(dir=out) as folder:
        apart = Path(folder) / "separated.tflite"
        apart.write_bytes(with_biases(separated(reference.path)))
        reference = replace(reference, path=apart, sha256=file_digest(apart))
        pieces = Pieces(apart, Path(folder), threads)
        walk = Walk(pieces, read_grids(apart, draft[0].path, draft[2]), passes)
        feeds = _feeds(reference, pieces, *seen)
        walk.run(feeds)
        made = write_back(reference, _on_grid(walk), out)
    ranges = as_ranges(made, draft[1], walk.grids.ranges, out) if draft[1] is not None else None
    used = len(next(iter(feeds.values())))
    return Recovered(made, ranges, passes, used)


def _feeds(reference: Reference, pieces: Pieces, samples: Samples, left_out: int) -> dict[int, Array]:
    """Give the inputs of the graph: samples spread evenly over those that there are, as many as memory bears."""
    job = inference.plan(reference.path, inference.inputs_of(samples))
    if job.rows != 1:
        raise StageError(
            f"recovery must have a model of batch 1. Got {job.rows}.", "Set model.batch: 1, or leave recovery out."
        )
    count = min(job.count, max(LEAST_SAMPLES, MOST_BYTES // max(1, _live_bytes(pieces.graph))))
    able = np.array([row for row in range(job.count) if not left_out or row % left_out or job.count == 1])
    rows = able[spread_rows(len(able), count)]
    arrays = (np.concatenate([np.asarray(array[row : row + 1]) for row in rows]) for array in job.arrays)
    pairs = zip(pieces.inputs, job.inputs, arrays, strict=True)
    return {number: array.astype(info.dtype) for number, info, array in pairs}


def _live_bytes(graph: Graph) -> int:
    """Estimate what a sample fills at the widest place of the graph, in the float and in the rounded network."""
    last = {i: op.index for op in graph.ops for i in op.inputs}
    sizes = {i: 4 * int(np.prod(np.abs(tensor.shape), dtype=np.int64)) for i, tensor in enumerate(graph.tensors)}
    live, most = {i for i in graph.inputs if i in last}, 0
    for op in graph.ops:
        live |= set(op.outputs)
        # Beside the values that wait, an op has its sums twice, and patches of what it reads.
        most = max(most, 2 * sum(sizes[i] for i in live) + 4 * sum(sizes[i] for i in op.outputs))
        live -= {i for i in live if last.get(i, -1) <= op.index}
    return most


def _on_grid(walk: Walk) -> Mapping[int, Array]:
    """Give what was chosen, with the biases on the grid of the integers that the file holds."""
    pieces = walk.pieces
    stored = {i: pieces.constant(i) for i, tensor in enumerate(pieces.graph.tensors) if tensor.stored}
    biases = round_biases(pieces.calls, {**stored, **walk.chosen}, walk.grids.ranges, walk.grids.constants)
    return walk.chosen | biases
