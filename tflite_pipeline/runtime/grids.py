"""A reference and the draft of its quantized file in; what each tensor of the reference is rounded to out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.runtime.graph import BORDER, FIXED_RANGE, Graph, Op, Tensor, read_graphs

Array = npt.NDArray[Any]

_BITS = {"int4": 4, "int8": 8, "uint8": 8, "int16": 16}
SAME_RANGE = frozenset(
    {
        "AVERAGE_POOL_2D",
        "BATCH_TO_SPACE_ND",
        "BROADCAST_TO",
        "CONCATENATION",
        "DEPTH_TO_SPACE",
        "DYNAMIC_UPDATE_SLICE",
        "EXPAND_DIMS",
        "GATHER",
        "GATHER_ND",
        "MAXIMUM",
        "MAX_POOL_2D",
        "MINIMUM",
        "MIRROR_PAD",
        "PACK",
        "PAD",
        "PADV2",
        "REDUCE_MAX",
        "REDUCE_MIN",
        "RESHAPE",
        "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR",
        "REVERSE_V2",
        "SELECT",
        "SELECT_V2",
        "SLICE",
        "SPACE_TO_BATCH_ND",
        "SPACE_TO_DEPTH",
        "SPLIT",
        "SPLIT_V",
        "SQUEEZE",
        "STRIDED_SLICE",
        "TILE",
        "TOPK_V2",
        "TRANSPOSE",
        "UNPACK",
    }
)
"""Ops that quantizers give one scale for what they read and what they put out."""

_FRACTIONS = np.linspace(1.0, 0.5, 26)


@dataclass(frozen=True)
class Range:
    """What an activation is rounded to: integers of so many bits between two real values.

    `symmetric` ranges have zero point 0 and one end, `high`; `group` is the number of the tensor whose range it shares.
    Ranges that kernels prescribe are not `free` to be trained.
    """

    bits: int
    low: float
    high: float
    symmetric: bool
    group: int
    free: bool


@dataclass(frozen=True)
class Steps:
    """What a constant is rounded to: `most` is the largest integer, `axis` the dimension that has a scale each.

    `symmetric` constants have zero point 0, and the largest absolute value is `most` steps; the others use all steps
    between their smallest and largest value.
    """

    bits: int
    most: int
    axis: int | None
    symmetric: bool


@dataclass(frozen=True)
class Grids:
    """By number of the tensor in subgraph 0 of the reference."""

    ranges: dict[int, Range]
    constants: dict[int, Steps]

    @cached_property
    def groups(self) -> dict[int, Range]:
        """Give each range that several tensors may share once."""
        return {one.group: one for one in self.ranges.values()}


@dataclass(frozen=True)
class _Stored:
    """How the draft stores a tensor: scales and zero points, one for each place along `axis`."""

    bits: int
    scale: Array
    zero_point: Array
    axis: int


def read_grids(reference: Path, draft: Path, symmetric: bool) -> Grids:
    """Read what the draft rounds the tensors of the reference to.

    `symmetric` says that int8 activations have zero point 0. Raises StageError where the draft is not made of this
    reference, or rounds in blocks.
    """
    graph, other = read_graphs(reference)[0], read_graphs(draft)[0]
    tensors = flatbuffer.unpack(draft).subgraphs[0].tensors
    stored = [_stored(described, tensor) for described, tensor in zip(other.tensors, tensors, strict=True)]
    shared = _Shared()
    ranges: dict[int, Range] = {}
    constants: dict[int, Steps] = {}
    pairs = list(pair_ops(graph, other))
    for op, twin in pairs:
        for mine, theirs in pair_tensors(op, twin):
            found = stored[_source(other, theirs)] if mine in graph.origins else stored[theirs]
            if found is None or graph.tensors[mine].dtype != "float32":
                continue
            if mine not in graph.origins:
                ranges.setdefault(mine, _range(found, mine, symmetric))
            elif mine not in constants:
                constants[mine] = _steps(found)
    for op, _ in pairs:
        shared.join(graph, op, ranges)
    fixed = {shared.root(i) for op, _ in pairs if op.name in FIXED_RANGE for i in op.outputs}
    return Grids({i: _placed(one, shared.root(i), ranges, fixed) for i, one in ranges.items()}, constants)


def _placed(one: Range, group: int, ranges: Mapping[int, Range], fixed: set[int]) -> Range:
    leader = ranges[group]
    return Range(one.bits, leader.low, leader.high, one.symmetric, group, group not in fixed)


def pair_ops(graph: Graph, other: Graph) -> Iterator[tuple[Op, Op]]:
    """Pair the ops of the reference with those of the draft, which has some more at the borders of integers."""
    twins = [op for op in other.ops if op.name not in BORDER]
    mine = [op for op in graph.ops if op.name not in BORDER]
    if [_looks(graph, op) for op in mine] != [_looks(other, op) for op in twins]:
        raise StageError(
            f"the quantized file must have the ops of its reference, {len(mine)} in their order and of "
            f"the shapes that they put out. Got {len(twins)}, which differ.",
            "Try another quantization.engine, or another scheme.",
        )
    return zip(mine, twins, strict=True)


def _looks(graph: Graph, op: Op) -> tuple[str, list[tuple[int, ...]]]:
    return op.name, [graph.tensors[number].shape for number in op.outputs]


def pair_tensors(op: Op, twin: Op) -> Iterator[tuple[int, int]]:
    """Pair what two ops put out, then what they read; an input that only one of them has is left out."""
    yield from zip(op.outputs, twin.outputs, strict=False)
    yield from zip(op.inputs, twin.inputs, strict=False)


def _source(graph: Graph, tensor: int) -> int:
    """Give the stored tensor that a constant comes from, through a DEQUANTIZE or a QUANTIZE of it."""
    return graph.origins[tensor][0] if tensor in graph.origins else tensor


def _stored(described: Tensor, tensor: Any) -> _Stored | None:
    """Read how a tensor is quantized; int32 biases, whose steps are finer than float's, count as not."""
    found, bits = tensor.quantization, _BITS.get(described.dtype)
    if bits is None or not described.quantized:
        return None
    if described.granularity.startswith("block"):
        raise StageError(
            f"weights with a scale for each block cannot be trained, and those of '{described.name}' have them.",
            "Use a scheme without blocks, e.g. dynamic_int4.",
        )
    zero = np.zeros(len(found.scale)) if found.zeroPoint is None else np.asarray(found.zeroPoint)
    return _Stored(bits, np.asarray(found.scale, np.float64), zero, int(found.quantizedDimension))


def _range(found: _Stored, tensor: int, symmetric: bool) -> Range:
    scale, zero = float(found.scale[0]), int(found.zero_point[0])
    most = 2 ** (found.bits - 1) - 1
    even = zero == 0 and (symmetric or found.bits == 16)
    low = -most if even else -most - 1 - zero
    return Range(found.bits, low * scale, (most - zero) * scale, even, tensor, True)


def _steps(found: _Stored) -> Steps:
    # Two's complement has one integer more below zero, which symmetric quantizers leave out.
    most = 2 ** (found.bits - 1) - 1
    return Steps(found.bits, most, found.axis if len(found.scale) > 1 else None, not found.zero_point.any())


def scale_of(one: Range) -> float:
    """Give the step of a range as the file stores it, in float32."""
    most = 2 ** (one.bits - 1) - 1
    width, steps = (one.high, most) if one.symmetric else (one.high - one.low, 2 * most + 1)
    return float(np.float32(width / steps))


def kernel_scales(values: Array, steps: Steps) -> Array:
    """Give the steps of a kernel on its grid as the file stores them, one for each channel or for all."""
    axes = tuple(axis for axis in range(values.ndim) if axis != steps.axis)
    peak = np.maximum(np.abs(values.astype(np.float64)).max(axes), np.finfo(np.float32).tiny)
    return np.asarray((peak / steps.most).astype(np.float32), np.float64)


def on_grid(values: Array, steps: Steps) -> Array:
    """Give a symmetric constant that was rounded before as exact multiples of the steps of the file, float64."""
    scales = kernel_scales(values, steps)
    if steps.axis is not None:
        scales = scales.reshape([-1 if axis == steps.axis else 1 for axis in range(values.ndim)])
    return np.asarray(np.rint(values / scales) * scales)


def best_fractions(values: Array, steps: Steps) -> Array:
    """Give the share of each channel's range, float32 [channels, 1, …], that leaves the least squared error."""
    axes = tuple(axis for axis in range(values.ndim) if axis != steps.axis)
    peak = np.maximum(np.abs(values).max(axes, keepdims=True), np.finfo(np.float32).tiny)
    errors = []
    for fraction in _FRACTIONS:
        scale = peak / steps.most * fraction
        rounded = np.clip(np.rint(values / scale), -steps.most, steps.most) * scale
        errors.append(np.square(rounded - values).sum(axes, keepdims=True))
    best: Array = _FRACTIONS[np.argmin(errors, axis=0)].astype(np.float32)
    return best


class _Shared:
    """Tensors that have one range, as sets that grow together."""

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}

    def root(self, tensor: int) -> int:
        while (parent := self._parents.get(tensor, tensor)) != tensor:
            tensor = parent
        return tensor

    def join(self, graph: Graph, op: Op, ranges: Mapping[int, Range]) -> None:
        """Unite what an op reads and puts out where it has one scale for both."""
        if op.name not in SAME_RANGE:
            return
        tensors: Sequence[int] = [i for i in graph.activations_of(op) if i in ranges]
        for one in tensors:
            for output in set(op.outputs).intersection(tensors):
                if _equal(ranges[one], ranges[output]) and self.root(one) != self.root(output):
                    self._parents[self.root(output)] = self.root(one)


def _equal(one: Range, other: Range) -> bool:
    return (one.bits, one.low, one.high, one.symmetric) == (other.bits, other.low, other.high, other.symmetric)
