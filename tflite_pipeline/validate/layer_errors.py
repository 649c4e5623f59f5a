"""The float reference and the quantized file, run side by side, in; the error of what each op puts out, out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import QuantizedModel, Reference, Samples
from tflite_pipeline.runtime import flatbuffer, inference
from tflite_pipeline.runtime.draft import Draft
from tflite_pipeline.runtime.graph import BORDER, NO_DATA, Graph, Op, read_graphs
from tflite_pipeline.runtime.grids import pair_ops
from tflite_pipeline.runtime.inference import Job, Session
from tflite_pipeline.runtime.layers import layers_at
from tflite_pipeline.runtime.sums import SUMS
from tflite_pipeline.runtime.values import as_outputs
from tflite_pipeline.validate.tallies import Integers, Tally

Array = npt.NDArray[Any]
_SILENT = 1e-6
"""Of the largest channel: training leaves weights of nothing, such as 1e-30, where a channel has died."""
Twins = dict[int, int]
"""By number of a tensor in the reference: that of the same one in the file."""


@dataclass(frozen=True)
class OpErrors:
    """How far what one op puts out in a quantized file is from what it puts out in the reference.

    `index` and `tensor`, the name of its first output, are those of subgraph 0 of the reference; `file_index` is the
    op's in the file. `activations` and `weights` are dtypes in the file, "" where there is none; `granularity` says
    what shares a scale of the weights.
    `sqnr_db` is None where both are equal; `before_db` is the lowest one of what the op reads, None where that is not
    known. In steps of the integers, and None where the op puts out floats: `mean_lsb` is the mean of quantized minus
    float, `max_lsb` the largest difference, `typical_lsb` the root mean square of the float values themselves.
    `clipped` is the share of the float values that lie outside of what the integers stand for, `saturated` that of the
    integers at an end of theirs, where that end does not stand for 0. `shift` is the share of the error's power that is
    one constant for each channel, the last axis. `channels_largest_to_median` and `channels_largest_to_smallest`
    compare the largest absolute weights of the output channels of a float kernel, silent ones left out;
    `inputs_largest_to_median` does so for the channels that it reads, where these are others.
    """

    index: int
    file_index: int
    op: str
    tensor: str
    layer: str
    activations: str
    weights: str
    granularity: str
    sqnr_db: float | None
    before_db: float | None
    mean_lsb: float | None
    max_lsb: float | None
    typical_lsb: float | None
    clipped: float | None
    saturated: float | None
    shift: float
    channels_largest_to_median: float | None
    channels_largest_to_smallest: float | None
    inputs_largest_to_median: float | None


@dataclass(frozen=True)
class LayerErrors:
    """The errors of every op that computes, in the order of the graph, over `samples` samples.

    `reference` and `quantized` are the SHA-256 of the files.
    """

    reference: str
    quantized: str
    samples: int
    rows: tuple[OpErrors, ...]


def measure_errors(
    reference: Reference, quantized: QuantizedModel, samples: Samples, threads: int, out: Path
) -> LayerErrors:
    """Run both files on all samples, every activation of an op an output, and sum up how far they are apart.

    The error of an op has those of all ops before in it. `quantized` must be made of `reference`. Raises StageError
    where its ops are others, and where the samples do not fit.
    """
    graph, other = read_graphs(reference.path)[0], read_graphs(quantized.path)[0]
    pairs = [(op, twin) for op, twin in pair_ops(graph, other) if op.name not in BORDER | NO_DATA]
    twins = _twins(graph, other, pairs)
    model = flatbuffer.unpack(quantized.path).subgraphs[0]
    tallies = {mine: Tally(_integers(other, model, theirs)) for mine, theirs in twins.items()}
    inputs = inference.inputs_of(samples)
    jobs = inference.plan(reference.path, inputs), inference.plan(quantized.path, inputs)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        real = _observed(jobs[0], list(twins), Path(folder) / "reference.tflite")
        found = _observed(jobs[1], list(twins.values()), Path(folder) / "quantized.tflite")
        _run_both(real, found, threads, list(tallies.values()))
    kernels = _kernels(reference.path, graph)
    rows = tuple(
        _row(_Place(graph, other, op, twin), tallies, kernels, reference.layers)
        for op, twin in pairs
        if any(number in tallies for number in op.outputs)
    )
    return LayerErrors(reference.sha256, quantized.sha256, jobs[0].count, rows)


def _twins(graph: Graph, other: Graph, pairs: Iterable[tuple[Op, Op]]) -> Twins:
    """Pair what ops compute from the samples: float in the reference, float or integers with a scale in the file."""
    found: Twins = {}
    for op, twin in pairs:
        for mine, theirs in zip(op.outputs, twin.outputs, strict=True):
            tensor, stored = graph.tensors[mine], other.tensors[theirs]
            computed = mine not in graph.origins and tensor.dtype == "float32" and 0 not in tensor.shape
            if computed and (stored.quantized or stored.dtype == "float32"):
                found[mine] = theirs
    return found


def _integers(graph: Graph, model: Any, number: int) -> Integers | None:
    tensor = graph.tensors[number]
    if not tensor.quantized:
        return None
    quantization, limits = model.tensors[number].quantization, np.iinfo(tensor.dtype)
    scale, zero = float(quantization.scale[0]), int(quantization.zeroPoint[0])
    return Integers(scale, (limits.min - zero) * scale, (limits.max - zero) * scale)


def _observed(job: Job, tensors: Sequence[int], path: Path) -> Job:
    """Give the samples to the same file with these tensors as its outputs."""
    draft = Draft(job.path)
    path.write_bytes(draft.finish(as_outputs(draft, tensors, job.rows)))
    return inference.elsewhere(job, path)


def _run_both(real: Job, found: Job, threads: int, tallies: Sequence[Tally]) -> None:
    """Run each inference of the one file together with the same of the other, so that no values need to be kept."""
    idle: SimpleQueue[Session] = SimpleQueue()
    for _ in range(max(1, threads)):
        idle.put(Session(found))

    def consume(start: int, outputs: list[Array]) -> None:
        session = idle.get()
        try:
            for tally, values, others in zip(tallies, outputs, session.outputs_of(start), strict=True):
                tally.add(values, others)
        finally:
            idle.put(session)

    inference.run(real, threads, consume, "comparing")


def _kernels(path: Path, graph: Graph) -> Callable[[Op], Array | None]:
    """Give a function from an op to the absolute values of its float kernel, where it has one."""
    model = flatbuffer.unpack(path)

    def kernel(op: Op) -> Array | None:
        if op.name not in SUMS or len(op.inputs) <= SUMS[op.name].kernel:
            return None
        origin = graph.origins.get(op.inputs[SUMS[op.name].kernel])
        if origin is None or graph.tensors[origin[0]].dtype != "float32":
            return None
        data = model.buffers[model.subgraphs[0].tensors[origin[0]].buffer].data
        return np.abs(np.frombuffer(data, np.float32).reshape(graph.tensors[origin[0]].shape))

    return kernel


def _ratios(op: Op, kernel: Array | None) -> dict[str, float | None]:
    """Compare the largest channel with the median one and with the smallest, of those that are not silent."""
    made = _peaks(kernel, SUMS[op.name].channels) if kernel is not None else np.zeros(0)
    read = np.zeros(0)
    if kernel is not None and op.name != "DEPTHWISE_CONV_2D":
        read = _peaks(kernel, max(axis for axis in range(kernel.ndim) if axis != SUMS[op.name].channels))
    return {
        "channels_largest_to_median": float(made.max() / np.median(made)) if made.size else None,
        "channels_largest_to_smallest": float(made.max() / made.min()) if made.size else None,
        "inputs_largest_to_median": float(read.max() / np.median(read)) if read.size else None,
    }


def _peaks(kernel: Array, channels: int) -> Array:
    peaks = kernel.max(axis=tuple(axis for axis in range(kernel.ndim) if axis != channels))
    return np.asarray(peaks[peaks > peaks.max(initial=0.0) * _SILENT])


@dataclass(frozen=True)
class _Place:
    """An op of the reference and its twin in the file, each with its graph."""

    graph: Graph
    other: Graph
    op: Op
    twin: Op


def _row(
    place: _Place, tallies: Mapping[int, Tally], kernels: Callable[[Op], Array | None], layers: Sequence[str]
) -> OpErrors:
    graph, op = place.graph, place.op
    own = [number for number in op.outputs if number in tallies]
    worst = min(own, key=lambda number: _order(tallies[number].sqnr_db))
    before = [tallies[i].sqnr_db for i in op.inputs if i in tallies]
    stored = place.other.weights_of(place.twin)
    activation = place.other.tensors[place.twin.outputs[op.outputs.index(worst)]]
    return OpErrors(
        index=op.index,
        file_index=place.twin.index,
        op=op.name,
        tensor=graph.tensors[op.outputs[0]].name,
        layer=", ".join(layers_at(graph, op, layers)),
        activations=activation.dtype,
        weights=stored[0].dtype if stored else "",
        granularity=stored[0].granularity if stored else "",
        sqnr_db=tallies[worst].sqnr_db,
        before_db=min(before, key=_order) if before else None,
        **tallies[worst].in_steps(),
        shift=tallies[worst].shift,
        **_ratios(op, kernels(op)),
    )


def _order(sqnr_db: float | None) -> float:
    return float("inf") if sqnr_db is None else sqnr_db
