"""The float reference and schemes in; what the outputs lose where one op alone is quantized, out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Histograms, Ranges, Reference, Samples
from tflite_pipeline.convert.effects import Effect, effect_on
from tflite_pipeline.convert.engines import ai_edge
from tflite_pipeline.convert.engines.job import Job, Limits
from tflite_pipeline.convert.methods import choose_limits
from tflite_pipeline.convert.observe import refuse_uncalibratable
from tflite_pipeline.convert.plan import Plan, make_plan
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import flatbuffer, inference
from tflite_pipeline.runtime.answers import compute
from tflite_pipeline.runtime.graph import Graph, Op, read_graphs
from tflite_pipeline.runtime.grids import SAME_RANGE, pair_ops
from tflite_pipeline.runtime.layers import layers_at
from tflite_pipeline.runtime.progress import tracked
from tflite_pipeline.runtime.rows import spread_rows
from tflite_pipeline.schemes import SCHEMES

MOST_SAMPLES = 32
"""More change the figures little: each sample has many values."""

_ROUNDING = frozenset({"AVERAGE_POOL_2D", "CONCATENATION", "PACK", "RESIZE_BILINEAR"})
_MOVING = SAME_RANGE - _ROUNDING
"""Ops that hand on the integers that they read."""


@dataclass(frozen=True)
class OpEffect:
    """What the outputs lose where one op alone is quantized under a scheme, all others being float.

    `index` and `tensor`, the name of its first output, are those of subgraph 0 of the reference. `sqnr_db` is that of
    the output that loses most, None where nothing is lost; `agreement`, the share of the samples with the same class,
    and `divergence`, the mean Kullback-Leibler divergence in nats, are those of the class distributions among the
    outputs, None where there is none. `bytes` is what the op's weights and biases take under the scheme, with their
    scales, `float_bytes` what they take in the reference. `refused` says why the scheme cannot be had; there are no
    figures then.
    """

    index: int
    op: str
    tensor: str
    layer: str
    scheme: str
    sqnr_db: float | None
    agreement: float | None
    divergence: float | None
    bytes: int | None
    float_bytes: int
    refused: str = ""


@dataclass(frozen=True)
class Sensitivity:
    """The effect of each op and scheme that was tried, in the order of the graph, over `samples` samples.

    `reference` is the SHA-256 of the float file.
    """

    reference: str
    samples: int
    rows: tuple[OpEffect, ...]


@dataclass(frozen=True)
class _Trial:
    """An op and the scheme to try on it; `refused` says why it cannot have that."""

    op: Op
    scheme: str
    refused: str


def measure_sensitivity(
    spec: Quantization,
    schemes: Mapping[str, Sequence[int]],
    reference: Reference,
    spread: tuple[Ranges | None, Histograms | None],
    samples: tuple[Samples, int],
    out: Path,
) -> Sensitivity:
    """Quantize one op after the other with ai-edge-quantizer, and compare the outputs with the float ones.

    `schemes` has by scheme the indices of the ops to try it on, or none for all ops; where it is empty, each op has the
    scheme that the recipe gives it, and int8 of the same kind where there is no int4 for it. Tried are ops with
    weights, and under schemes with integer activations those that round. `spread` is for these schemes. `samples` are
    the samples, of which at most `MOST_SAMPLES` evenly spread ones are taken, and the number of threads. Raises
    StageError where ranges are missing or cannot be taken, and where the library does not take the model.
    """
    graphs = tuple(read_graphs(reference.path))
    plan = make_plan(spec, graphs, reference.layers)
    trials = list(_trials(spec, schemes, plan, reference, graphs[0]))
    bench = _Bench(spec.model_copy(update={"io": "float32"}), reference, graphs, plan, spread)
    bench.refuse({trial.scheme for trial in trials})
    inputs, threads = _few(samples[0]), samples[1]
    real = compute(reference.path, inputs, threads)
    weight = _Constants(reference.path, graphs[0])
    rows = []
    with tempfile.TemporaryDirectory(dir=out) as folder:
        path = Path(folder) / "alone.tflite"
        for trial in tracked(trials, len(trials), "quantizing one op alone"):
            float_bytes = weight.bytes_of(trial.op)
            if trial.refused:
                rows.append(_row(trial, graphs[0], reference, (None, float_bytes), None))
                continue
            path.write_bytes(bench.alone(trial.op, trial.scheme))
            lost = effect_on(real, compute(path, inputs, threads))
            other = read_graphs(path)[0]
            twin = next(twin for op, twin in pair_ops(graphs[0], other) if op.index == trial.op.index)
            taken = _Constants(path, other).bytes_of(twin)
            rows.append(_row(trial, graphs[0], reference, (taken, float_bytes), lost))
    return Sensitivity(reference.sha256, len(next(iter(inputs.values()))), tuple(rows))


def _row(
    trial: _Trial, graph: Graph, reference: Reference, sizes: tuple[int | None, int], lost: Effect | None
) -> OpEffect:
    return OpEffect(
        index=trial.op.index,
        op=trial.op.name,
        tensor=graph.tensors[trial.op.outputs[0]].name,
        layer=", ".join(layers_at(graph, trial.op, reference.layers)),
        scheme=trial.scheme,
        sqnr_db=lost.sqnr_db if lost else None,
        agreement=lost.agreement if lost else None,
        divergence=lost.divergence if lost else None,
        bytes=sizes[0],
        float_bytes=sizes[1],
        refused=trial.refused,
    )


def _trials(
    spec: Quantization, schemes: Mapping[str, Sequence[int]], plan: Plan, reference: Reference, graph: Graph
) -> Iterator[_Trial]:
    for op in graph.ops:
        own = {_own_scheme(spec, plan.schemes[0, op.index], graph, op): ()}
        for scheme in (scheme for scheme, ops in (schemes or own).items() if not ops or op.index in ops):
            row = SCHEMES[scheme]
            counts = bool(graph.weights_of(op)) or (row.calibrated and op.name not in _MOVING)
            refused = ai_edge.misfit(spec, scheme, reference, graph, op)
            if counts and (refused or ai_edge.choose_treatment(spec, scheme, graph, op)):
                yield _Trial(op, scheme, refused)


def _own_scheme(spec: Quantization, scheme: str, graph: Graph, op: Op) -> str:
    """Name the scheme by what it makes of this op: int8 of the same kind where there is no int4 for it."""
    treatment = ai_edge.choose_treatment(spec, scheme, graph, op)
    if treatment is None or SCHEMES[scheme].weights != "int4" or treatment.weights == 4:
        return scheme
    return "full_int8" if SCHEMES[scheme].calibrated else f"{scheme.split('_')[0]}_int8"


def _few(samples: Samples) -> dict[str, npt.NDArray[Any]]:
    rows = spread_rows(samples.count, MOST_SAMPLES)
    inputs = inference.inputs_of(samples)
    return {name: np.concatenate([stored[row : row + 1] for row in rows]) for name, stored in inputs.items()}


class _Bench:
    """Makes files with one op quantized; the limits of all ops are chosen once for each scheme."""

    def __init__(
        self,
        spec: Quantization,
        reference: Reference,
        graphs: tuple[Graph, ...],
        plan: Plan,
        spread: tuple[Ranges | None, Histograms | None],
    ) -> None:
        self._spec, self._reference, self._graphs, self._plan, self._spread = spec, reference, graphs, plan, spread
        self._limits: dict[str, Limits | None] = {}

    def refuse(self, schemes: set[str]) -> None:
        """Raise StageError where no op can have one of the schemes, for a reason that is the model's."""
        if any(SCHEMES[scheme].calibrated for scheme in schemes):
            refuse_uncalibratable(self._graphs)
            if self._spread[0] is None:
                raise StageError("the effect of integer activations must be measured with ranges. Got none.")
        if why := ai_edge.refuse_model(self._graphs):
            raise StageError(f"no op can be quantized alone: {why}.", "Give the model with plain float32 weights.")

    def alone(self, op: Op, scheme: str) -> bytes:
        """Quantize one op."""
        if scheme not in self._limits:
            uniform = replace(self._plan, schemes=dict.fromkeys(self._plan.schemes, scheme))
            spread = self._spread if SCHEMES[scheme].calibrated else (None, None)
            self._limits[scheme] = choose_limits(self._spec, self._reference, uniform, *spread)
        plan = replace(self._plan, schemes={**dict.fromkeys(self._plan.schemes, "float32"), (0, op.index): scheme})
        return ai_edge.quantize(Job(self._spec, self._reference, self._graphs, plan, self._limits[scheme], None))


class _Constants:
    """The constants of a file, as many bytes as they take there."""

    def __init__(self, path: Path, graph: Graph) -> None:
        self._model, self._graph = flatbuffer.unpack(path), graph

    def bytes_of(self, op: Op) -> int:
        """Give the bytes of an op's weights, biases and their scales."""
        stored = {self._graph.origins[i][0] for i in op.inputs if i in self._graph.origins}
        return sum(self._bytes(self._model.subgraphs[0].tensors[number]) for number in stored)

    def _bytes(self, tensor: Any) -> int:
        data, found = self._model.buffers[tensor.buffer].data, tensor.quantization
        scales = 0 if found is None or found.scale is None else 4 * len(found.scale)
        return (0 if data is None else len(data)) + scales
