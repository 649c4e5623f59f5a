"""The ops of a graph in; which channels of which tensors one positive factor may scale together, out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.runtime.revision import Revision
from tflite_pipeline.runtime.sums import LEFT_OUT, SUMS

Array = npt.NDArray[Any]

DEPTHS = {"CONV_2D": 3, "CONV_3D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 3}
"""By op: the axis of the kernel along which the channels lie that it reads."""
_CAPS = {0: math.inf, 1: math.inf, 2: 1.0, 3: 6.0}
"""By fused activation (none, RELU, RELU_N1_TO_1, RELU6): the largest absolute value that it lets through."""
_CAPPING = {"RELU6": 6.0, "RELU_N1_TO_1": 1.0}


@dataclass(frozen=True)
class Part:
    """A constant along whose `axis` the channels lie, over and over, each of them `each` times in a row.

    `filters` is the axis of the filters that read all channels together; none (-1) where each reads a channel of its
    own, as those of depthwise convolutions do, and where the constant makes the channels.
    """

    tensor: int
    axis: int
    each: int = 1
    filters: int = LEFT_OUT

    def spread(self, factors: Array, shape: Sequence[int]) -> Array:
        """Lay factors [channels] out so that they multiply the constant of this shape."""
        length = shape[self.axis]
        whole = np.repeat(np.tile(factors, length // (len(factors) * self.each)), self.each)
        return whole.reshape([length if axis == self.axis else 1 for axis in range(len(shape))])


class Survey:
    """Which tensors share their factors, what makes and what reads them, and where the scale is not free.

    `sizes` are the numbers of channels and `reasons` why they have no factors, by the tensor that stands for all that
    share them, its `root`; `caps` are the largest absolute values that tensors can have. `refused` counts layers whose
    kernels cannot be scaled.
    """

    def __init__(self, revision: Revision) -> None:
        """Start with no tensor tied to any other."""
        self.revision = revision
        self.sizes: dict[int, int] = {}
        self.reasons: dict[int, str] = {}
        self.caps: dict[int, float] = {}
        self.refused = 0
        self.makers: dict[int, str] = {}
        self._parents: dict[int, int] = {}
        self._parts: dict[str, list[tuple[int, Part]]] = {"made": [], "read": []}

    def walk(self) -> None:
        """Go through all ops."""
        graph = self.revision.graph
        for op in graph.operators:
            name = self.revision.name(op)
            self.makers.update(dict.fromkeys(map(int, op.outputs), name))
            if not (name in _RULES and _RULES[name](self, op) and self._passes_activation(op)):
                self.refused += name in SUMS
                self.block(self.varying(op), f"{name or 'a custom op'} depends on them")
        self.block(map(int, graph.inputs), "the model takes them in")
        self.block(map(int, graph.outputs), "the model puts them out")
        self.block([tensor for tensor in self._parents if tensor not in self.makers], "they are state")

    def _passes_activation(self, op: Any) -> bool:
        fused = getattr(op.builtinOptions, "fusedActivationFunction", 0)
        cap = min(_CAPS.get(fused, 0.0), _CAPPING.get(self.revision.name(op), math.inf))
        if cap < math.inf:
            self.caps[int(op.outputs[0])] = cap
        return cap > 0

    def name(self, tensor: int) -> str:
        """Give a tensor's name."""
        return str(self.revision.graph.tensors[tensor].name.decode())

    def width(self, tensor: int) -> int:
        """Give the size of the last axis; 1 where it may vary, or where there is none."""
        shape = self.revision.shape(tensor)
        return 1 if not shape or self.revision.is_open(tensor, -1) else shape[-1]

    def varying(self, op: Any) -> list[int]:
        """List the activations that an op reads and makes."""
        numbers = [int(tensor) for tensor in (*op.inputs, *op.outputs) if tensor != LEFT_OUT]
        return [tensor for tensor in numbers if self.revision.varies(tensor)]

    def root(self, tensor: int) -> int:
        """Give the tensor that stands for all that share its factors."""
        if tensor not in self._parents:
            self._parents[tensor], self.sizes[tensor] = tensor, self.width(tensor)
        while self._parents[tensor] != tensor:
            self._parents[tensor] = self._parents[self._parents[tensor]]
            tensor = self._parents[tensor]
        return tensor

    def unite(self, tensors: Sequence[int]) -> bool:
        """Let tensors share their factors: so many as divide the width of each of them."""
        first, *others = map(self.root, tensors)
        for root in others:
            if root != (first := self.root(first)):
                keep, give = min(first, root), max(first, root)
                self._parents[give] = keep
                self.sizes[keep] = math.gcd(self.sizes[keep], self.sizes[give])
                if reason := self.reasons.get(keep) or self.reasons.get(give):
                    self.reasons[keep] = reason
        return True

    def block(self, tensors: Iterable[int], reason: str) -> None:
        """Keep tensors, and what shares their factors, as they are."""
        for tensor in tensors:
            self.reasons.setdefault(self.root(tensor), reason)

    def hold(self, side: str, tensor: int, part: Part) -> None:
        """Note that a constant makes, or reads, the channels of a tensor."""
        root, length = self.root(tensor), self.revision.shape(part.tensor)[part.axis] // part.each
        self.sizes[root] = math.gcd(self.sizes[root], length)
        self._parts[side].append((tensor, part))

    def parts(self, side: str, root: int) -> tuple[Part, ...]:
        """List the constants that make, or read, what shares the factors of a tensor."""
        return tuple(part for tensor, part in self._parts[side] if self.root(tensor) == root)

    def united(self) -> dict[int, list[int]]:
        """List the tensors that share their factors, by the one that stands for them."""
        found: dict[int, list[int]] = {}
        for tensor in sorted(self._parents):
            found.setdefault(self.root(tensor), []).append(tensor)
        return found


def _sum(survey: Survey, op: Any) -> bool:
    revision, name = survey.revision, survey.revision.name(op)
    read, kernel, bias = SUMS[name].inputs_of(op.inputs)
    owned = [tensor for tensor in (kernel, bias) if tensor != LEFT_OUT]
    if not revision.varies(read) or not all(map(revision.is_own, owned)):
        return False
    output, depth, alone = int(op.outputs[0]), revision.shape(kernel)[DEPTHS[name]], name == "DEPTHWISE_CONV_2D"
    width = survey.width(read)
    if name != "FULLY_CONNECTED" and (depth % width if alone else depth != width):
        return False
    each, filters = (depth // width, LEFT_OUT) if alone else (1, SUMS[name].channels)
    survey.hold("read", read, Part(kernel, DEPTHS[name], each, filters))
    survey.hold("made", output, Part(kernel, SUMS[name].channels))
    if bias != LEFT_OUT:
        survey.hold("made", output, Part(bias, 0))
    return True


def _through(survey: Survey, op: Any) -> bool:
    """Channels stay where they are on the last axis."""
    ends = int(op.inputs[0]), int(op.outputs[0])
    same = survey.width(ends[0]) == survey.width(ends[1])
    return same and all(map(survey.revision.varies, ends)) and survey.unite(ends)


def _reshaped(survey: Survey, op: Any) -> bool:
    """Values keep their order, so channels whose number divides both widths go on lying over and over."""
    ends = int(op.inputs[0]), int(op.outputs[0])
    return all(map(survey.revision.varies, ends)) and survey.unite(ends)


def _reduced(survey: Survey, op: Any) -> bool:
    axes, rank = survey.revision.stored(op.inputs[1]), len(survey.revision.shape(op.inputs[0]))
    return axes is not None and rank - 1 not in {int(axis) % rank for axis in axes} and _through(survey, op)


def _slope(survey: Survey, op: Any) -> bool:
    return survey.revision.stored(op.inputs[1]) is not None and _through(survey, op)


def _padded(survey: Survey, op: Any) -> bool:
    value = survey.revision.stored(op.inputs[2])
    return value is not None and not value.any() and _through(survey, op)


def _blocks(survey: Survey, op: Any) -> bool:
    """The batch takes in, or gives away, places of the axes between."""
    sizes = survey.revision.stored(op.inputs[1])
    return sizes is not None and sizes.size <= len(survey.revision.shape(op.inputs[0])) - 2 and _through(survey, op)


def _transposed(survey: Survey, op: Any) -> bool:
    order = survey.revision.stored(op.inputs[1])
    return order is not None and int(order[-1]) == len(order) - 1 and _through(survey, op)


def _joined(survey: Survey, op: Any) -> bool:
    rank = len(survey.revision.shape(op.outputs[0]))
    ends = [*map(int, op.inputs), int(op.outputs[0])]
    inside = op.builtinOptions.axis % rank < rank - 1
    return inside and all(map(survey.revision.varies, ends)) and survey.unite(ends)


def _added(survey: Survey, op: Any) -> bool:
    output, varying = int(op.outputs[0]), survey.varying(op)
    constants = [int(tensor) for tensor in op.inputs if int(tensor) not in varying]
    for constant in constants:
        shape = survey.revision.shape(constant)
        if not survey.revision.is_own(constant) or shape[-1:] != [survey.width(output)]:
            return False
        survey.hold("made", output, Part(constant, len(shape) - 1))
    return len({survey.width(tensor) for tensor in varying}) == 1 and survey.unite(varying)


def _multiplied(survey: Survey, op: Any) -> bool:
    """What is multiplied with a constant, or with what has a scale that is fixed, is scaled as before."""
    output, inputs = int(op.outputs[0]), [int(tensor) for tensor in op.inputs if survey.revision.varies(int(tensor))]
    free = [tensor for tensor in inputs if survey.makers.get(tensor) in _RULES]
    if not inputs or len(free) > 1:
        return False
    ends = (*(free or inputs[:1]), output)
    return survey.width(ends[0]) == survey.width(output) and survey.unite(ends)


def _compared(survey: Survey, op: Any) -> bool:
    ends = [*map(int, op.inputs), int(op.outputs[0])]
    same = len(set(map(survey.width, ends))) == 1
    return same and all(map(survey.revision.varies, ends)) and survey.unite(ends)


_RULES: dict[str, Callable[[Survey, Any], bool]] = {
    **dict.fromkeys(SUMS, _sum),
    **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "ABS", "PAD", "MIRROR_PAD"), _through),
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _through),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _reshaped),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), _reduced),
    **dict.fromkeys(("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"), _blocks),
    **dict.fromkeys(("ADD", "SUB"), _added),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), _compared),
    "PRELU": _slope,
    "PADV2": _padded,
    "TRANSPOSE": _transposed,
    "CONCATENATION": _joined,
    "MUL": _multiplied,
}
"""Ops that a positive factor a channel passes through, each with what is to hold."""
