"""What calibration saw of each activation to the limits that its integers are to stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from tflite_pipeline.artifacts import Histograms, Ranges, Reference
from tflite_pipeline.convert import clipping
from tflite_pipeline.convert.calibrate import AGAIN, check_ranges
from tflite_pipeline.convert.clipping import Array, Interval
from tflite_pipeline.convert.engines.job import Limits
from tflite_pipeline.convert.plan import Plan
from tflite_pipeline.convert.spec import DEFAULT_METHOD, HISTOGRAM_METHODS, Method, Quantization
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.graph import FIXED_RANGE, Graph, read_graphs
from tflite_pipeline.schemes import SCHEMES

SMOOTHING = 0.95
"""Weight of the past in the moving average, as in ai-edge-quantizer."""
SAMPLES_HELD = 90
"""Percent of the samples whose largest value a range of sample_percentile holds; of the smallest likewise."""
LEAST_SCALE = 1.01 * 6 / 2**31
"""Below, kernels with a fused RELU6 refuse the file: 6 / scale must fit in 32 bits. One percent is for rounding."""
RESHAPING = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE"})
"""Ops that put out the values that they read; quantizers use one scale for both."""


@dataclass(frozen=True)
class Integers:
    """What a tensor becomes; `symmetric` ones have zero point 0."""

    bits: int
    symmetric: bool

    @property
    def steps(self) -> int:
        """How many steps it is from the smallest integer to the largest; from 0 where they are symmetric."""
        return int(2 ** (self.bits - 1) - 1 if self.symmetric else 2**self.bits - 1)


@dataclass(frozen=True)
class Seen:
    """What calibration saw of one tensor: `low` and `high` are float32 [samples], in an order drawn once for all.

    `counts`, float64 [bins], and `edges`, float64 [bins + 1], are its histogram, of absolute values for symmetric
    integers, and empty where no method needs one. `steps` is how many steps of the integers span a range, `percentile`
    the share of the values that percentile keeps at either end.
    """

    low: Array
    high: Array
    counts: Array
    edges: Array
    steps: int
    percentile: float


def choose_limits(
    spec: Quantization, reference: Reference, plan: Plan, ranges: Ranges | None, histograms: Histograms | None
) -> Limits | None:
    """Apply to every tensor its method, and make of the result what kernels bear; without ranges there are no limits.

    Raises StageError where the ranges are not those of this reference, and where the histograms are not there or not of
    the same samples.
    """
    if ranges is None:
        return None
    check_ranges(ranges, reference)
    graph = read_graphs(reference.path)[0]
    kinds = _kinds(spec, plan, graph, ranges.tensors)
    methods = _methods(spec, plan, graph, kinds)
    # Stored samples are often sorted by class: an average that forgets would be that of the last class.
    order = np.random.default_rng(0).permutation(ranges.count)
    low, high = np.load(ranges.low)[order], np.load(ranges.high)[order]
    spreads = _spreads(ranges, histograms) if HISTOGRAM_METHODS.intersection(methods.values()) else None
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise StageError("the ranges must be finite numbers. Got NaN or infinity.", AGAIN)
    limits: Limits = {}
    for column, tensor in enumerate(ranges.tensors):
        kind, method = kinds[tensor], methods[tensor]
        counts, edges = _spread(*spreads[column], kind.symmetric) if spreads else (np.zeros(0), np.zeros(0))
        seen = Seen(low[:, column], high[:, column], counts, edges, kind.steps, spec.calibration.percentile)
        limits[tensor] = _bearable(METHODS[method](seen), kind)
    return limits


def _spreads(ranges: Ranges, histograms: Histograms | None) -> list[tuple[Array, float, float]]:
    wanted = (ranges.reference, ranges.samples)
    if histograms is None or (histograms.reference, histograms.samples) != wanted:
        got = "none" if histograms is None else "those of another calibration"
        raise StageError(f"the histograms must be those of the ranges. Got {got}.", AGAIN)
    return list(zip(np.load(histograms.counts), histograms.low, histograms.high, strict=True))


def _kinds(spec: Quantization, plan: Plan, graph: Graph, tensors: Iterable[int]) -> dict[int, Integers]:
    """Give the integers of each tensor: its maker decides, or its first reader where the maker is float or none.

    Where ops of 8 bits read what one of 16 bits makes, its limits are not symmetric: that could cost the readers a bit.
    """
    users: dict[int, list[int]] = {tensor: [] for tensor in tensors}
    for op in graph.ops:
        bits = {"int8": 8, "int16": 16}.get(SCHEMES[plan.schemes[graph.index, op.index]].activations)
        for tensor in (*op.outputs, *op.inputs):
            if bits is not None and tensor in users:
                users[tensor].append(bits)
    return {
        tensor: Integers([*bits, 8][0], spec.symmetric_activations or set(bits) == {16})
        for tensor, bits in users.items()
    }


def _methods(spec: Quantization, plan: Plan, graph: Graph, kinds: dict[int, Integers]) -> dict[int, Method]:
    """Give the method of each tensor; those that gain nothing from clipping, or lose by it, keep minmax.

    Ops of `FIXED_RANGE` gain nothing, nor do 16 bits, whose steps are much finer than the bins of a histogram. Inputs
    and outputs of the graph lose, and so do the scores that a last SOFTMAX makes an output of: what an app measures or
    is told would end at the limit, and classes whose scores are clipped tie. A rule with another method has its way.
    """
    base = spec.calibration.method
    border = set(graph.outputs)
    for op in reversed(graph.ops):
        if op.name in RESHAPING | FIXED_RANGE and border.intersection(op.outputs):
            border.add(op.inputs[0])
    whole = {tensor for tensor in border if plan.methods.get(tensor, base) == base} | graph.inputs
    for op in graph.ops:
        if op.name in FIXED_RANGE or (op.name in RESHAPING and op.inputs[0] in whole):
            whole.update(op.outputs)
    methods: dict[int, Method] = {}
    for tensor, kind in kinds.items():
        asked = plan.methods.get(tensor, base)
        useless = kind.bits == 16 and asked in HISTOGRAM_METHODS | {"auto"}
        methods[tensor] = "minmax" if useless or tensor in whole else DEFAULT_METHOD if asked == "auto" else asked
    return methods


def _spread(counts: Array, low: float, high: float, symmetric: bool) -> tuple[Array, Array]:
    """Give a histogram as counts and edges, in float64; that of the absolute values where integers are symmetric."""
    counts, edges = counts.astype(np.float64), np.linspace(low, high, len(counts) + 1)
    if not symmetric or low >= 0:
        return counts, edges
    if high <= 0:
        return counts[::-1], -edges[::-1]
    farthest = max(-low, high)
    # A little wider than before, or one between two others could stay empty.
    bins = int(farthest / (edges[1] - edges[0]))
    middles = np.abs(edges[:-1] + edges[1:]) / 2
    places = np.minimum((middles / farthest * bins).astype(np.int64), bins - 1)
    return np.bincount(places, counts, bins), np.linspace(0, farthest, bins + 1)


def _bearable(interval: Interval, kind: Integers) -> Interval:
    """Make a range contain zero and, if symmetric, be around it, with steps that kernels bear.

    A tensor that was always zero gets a range of 1: its true one is not known, and with the least scale the biases of
    the next layer, whose scale is a multiple of it, would overflow.
    """
    low, high = min(interval[0], 0.0), max(interval[1], 0.0)
    if low == high:
        high = 1.0
    if kind.symmetric:
        scale = max(-low, high) / kind.steps
        # int8 has one more integer below zero; kernels of 16 bits leave it out.
        low, high = -scale * (kind.steps + (kind.bits == 8)), scale * kind.steps
    else:
        scale = (high - low) / kind.steps
    widened = max(1.0, LEAST_SCALE / scale)
    return float(np.float32(low * widened)), float(np.float32(high * widened))


def minmax(seen: Seen) -> Interval:
    """Give the smallest and the largest value of all samples: nothing that was seen is clipped."""
    return float(seen.low.min()), float(seen.high.max())


def moving_average(seen: Seen) -> Interval:
    """Smooth the smallest and the largest value of each sample exponentially, from the first sample on.

    About half of the samples reach beyond. Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for
    Efficient Integer-Arithmetic-Only Inference", section 3.1, there over training steps.
    """
    weights = (1 - SMOOTHING) * SMOOTHING ** np.arange(len(seen.low) - 1, -1, -1, dtype=np.float64)
    weights[0] /= 1 - SMOOTHING
    return float(weights @ seen.low), float(weights @ seen.high)


def sample_percentile(seen: Seen) -> Interval:
    """Hold all values of most samples: the percentile of the samples' smallest, and of their largest values.

    It needs no histogram, does not hang on one odd sample as minmax does, and clips far less than a percentile of the
    values where few of them matter. The default, by benchmarks/int8_accuracy.py.
    """
    return float(np.percentile(seen.low, 100 - SAMPLES_HELD)), float(np.percentile(seen.high, SAMPLES_HELD))


def percentile(seen: Seen) -> Interval:
    """Cut off, at either end, the values outside the percentile; a bin's values count as spread evenly over it.

    Source: Wu et al. 2020, "Integer Quantization for Deep Learning Inference: Principles and Empirical Evaluation",
    there of absolute values.
    """
    low = -_reached(seen.counts[::-1], -seen.edges[::-1], seen.percentile)
    return low, _reached(seen.counts, seen.edges, seen.percentile)


def _reached(counts: Array, edges: Array, percent: float) -> float:
    below = np.append(0, np.cumsum(counts))
    # As numpy counts: of n values the first is at 0 % and the last at 100 %.
    wanted = percent / 100 * (below[-1] - 1) + 0.5
    place = int(np.searchsorted(below, wanted)) - 1
    return float(edges[place] + (wanted - below[place]) / counts[place] * (edges[place + 1] - edges[place]))


METHODS: dict[Method, Callable[[Seen], Interval]] = {
    "minmax": minmax,
    "moving_average": moving_average,
    "sample_percentile": sample_percentile,
    "percentile": percentile,
    "mse": lambda seen: clipping.mse(seen.counts, seen.edges, seen.steps),
    "entropy": lambda seen: clipping.entropy(seen.counts, seen.edges, seen.steps),
}
