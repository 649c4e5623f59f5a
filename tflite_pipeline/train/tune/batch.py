"""Ops of a reference of batch 1 in; by tensor, along which axis the samples of a larger batch would lie, out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.runtime.sums import LEFT_OUT
from tflite_pipeline.train.tune.node import Node, Place, Shape

Array = npt.NDArray[Any]

MOST_CHOICES = 64
"""Ways of placing the batch in the inputs of one op that are tried; only odd ops need more than one."""


class Unbatchable(Exception):
    """An op of one sample does not tell what it would do with several; the text says why."""


@dataclass(frozen=True)
class Case:
    """An op, where the batch is in its inputs (None: the same for all samples), and the constants of the graph."""

    node: Node
    places: tuple[Place | None, ...]
    constants: Mapping[int, Array]

    def constant(self, position: int) -> Array:
        """Give the value of an input that decides over shapes. Raises Unbatchable where it is computed."""
        if (number := self.node.inputs[position]) not in self.constants:
            raise Unbatchable(f"its input {position} is computed, not a constant")
        return self.constants[number]

    def only(self, position: int) -> Place:
        """Give the place of an input beside which no other one may differ between samples."""
        place = self.places[position]
        others = [i for i, other in enumerate(self.places) if other is not None and i != position]
        if place is None or others:
            raise Unbatchable(f"its input {others[0]} depends on the model's inputs")
        return place

    def apart(self, position: int, axes: Sequence[int]) -> Place:
        """Give the place of an input along whose `axes` the op mixes values."""
        place = self.only(position)
        if place.axis in axes:
            raise Unbatchable("it works along the axis of the batch")
        return place


Rule = Callable[[Case], Place | None]
"""Gives the place in all results, None where they are the same for all samples."""


def padded(shape: Shape, rank: int) -> Shape:
    """Give the shape with ones in front, as broadcasting does."""
    return (1,) * (rank - len(shape)) + shape


def moved(place: Place, by: int) -> Place:
    """Give the place in a tensor that has `by` more axes in front."""
    return Place(place.axis + by, place.outer)


def placed(before: int, shape: Shape) -> Place:
    """Find the batch in a shape, given how many values of a sample lie before it in memory.

    It is the first axis of size 1 there, else one elsewhere: a reshape of (1, 6, 5) to (6, 1, 5) is what the converter
    makes of a transposition. Else it is merged with an axis. Raises Unbatchable where none divides so.
    """
    starts = [math.prod(shape[:axis]) for axis in range(len(shape))]
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    if ones:
        return Place(next((axis for axis in ones if starts[axis] == before), ones[0]))
    for axis, (start, size) in enumerate(zip(starts, shape, strict=True)):
        if size > 1 and before % start == 0 and (start * size) % before == 0:
            return Place(axis, before // start)
    raise Unbatchable(f"no axis of its result, of shape {shape}, can hold the batch")


def common(case: Case, positions: Sequence[int], shape: Shape) -> Place:
    """Find the one place at which the batch of all these inputs can lie when they are broadcast to a shape."""
    rank = len(shape)
    operands = []
    for position in positions:
        if (place := case.places[position]) is not None:
            own = case.node.input_shapes[position]
            operands.append((moved(place, rank - len(own)), padded(own, rank)))
    for wanted in sorted({place for place, _ in operands}, key=lambda place: place.axis):
        if all(
            own[wanted.axis] == shape[wanted.axis] and place.before(own) == wanted.before(own)
            for place, own in operands
        ):
            return wanted
    raise Unbatchable("its inputs have the batch along different axes, or are repeated along it")


@dataclass(frozen=True)
class Trace:
    """Where the batch lies: in what each op gives, by tensor, and where each op needs it in what it reads, by index.

    `refused` has, by index of the op, why it cannot have several samples; what follows on it is in none of them.
    """

    places: dict[int, Place | None]
    reads: dict[int, tuple[Place | None, ...]]
    refused: dict[int, str]


def trace(
    nodes: Sequence[Node], inputs: Mapping[int, Shape], constants: Mapping[int, Array], rules: Mapping[str, Rule]
) -> Trace:
    """Follow the batch from the model's inputs, of which it is the first axis, through all ops."""
    places: dict[int, Place | None] = dict.fromkeys([LEFT_OUT, *constants])
    places |= {number: Place(0) for number, shape in inputs.items() if shape[:1] == (1,)}
    found = Trace(places, {}, {})
    for node in nodes:
        if odd := [number for number in node.inputs if number in inputs and number not in places]:
            found.refused[node.index] = f"it reads a model input of shape {inputs[odd[0]]}, whose first axis must be 1"
        elif node.name in rules and all(number in places for number in node.inputs):
            case = Case(node, tuple(places[number] for number in node.inputs), constants)
            try:
                found.reads[node.index], result = _settled(case, rules[node.name])
            except Unbatchable as why:
                found.refused[node.index] = str(why)
                continue
            places |= dict.fromkeys(node.outputs, result)
    return found


def _settled(case: Case, rule: Rule) -> tuple[tuple[Place | None, ...], Place | None]:
    """Find the places at which an op can read its inputs, those that they have where it can, and that of its results.

    Raises Unbatchable, with what is in the way at the places that they have.
    """
    if not any(case.places):
        return case.places, None
    first: Unbatchable | None = None
    for places in islice(product(*map(_choices, case.places, case.node.input_shapes)), MOST_CHOICES):
        try:
            return places, rule(replace(case, places=places))
        except Unbatchable as why:
            first = first or why
    raise first or Unbatchable("it has too many inputs")


def _choices(place: Place | None, shape: Shape) -> list[Place | None]:
    """List where the batch can be moved to, at the cost of a transposition; where it is comes first."""
    if place is None:
        return [None]
    axes = sorted(range(len(shape)), key=lambda axis: shape[axis] != 1)
    return [place, *(other for other in map(Place, axes) if other != place)]


def relaid(tf: Any, value: Any, before: int, shape: Shape, place: Place) -> Any:
    """Give a value, of which a sample has `before` values in front of the batch, a shape with the batch at a place."""
    count, ahead = math.prod(shape), place.before(shape)
    if before != ahead:
        if before != 1:
            value = tf.transpose(tf.reshape(value, (before, -1, count // before)), (1, 0, 2))
        if ahead != 1:
            value = tf.transpose(tf.reshape(value, (-1, ahead, count // ahead)), (1, 0, 2))
    return tf.reshape(value, open_shape(shape, place))


def spread(tf: Any, value: Any, shape: Shape, place: Place, batch: Any) -> Any:
    """Repeat a value that is the same for all samples along the place of the batch."""
    inner = shape[place.axis] // place.outer
    head, tail = shape[: place.axis], shape[place.axis + 1 :]
    apart = tf.reshape(value, [*head, place.outer, 1, inner, *tail])
    return tf.reshape(tf.broadcast_to(apart, [*head, place.outer, batch, inner, *tail]), open_shape(shape, place))


def open_shape(shape: Shape, place: Place | None) -> list[int]:
    """Give a shape to reshape to: -1 where the batch is."""
    return [-1 if place is not None and axis == place.axis else size for axis, size in enumerate(shape)]


def limits(case: Node, begin: Array, end: Array, strides: Array) -> list[slice]:
    """Read the limits of STRIDED_SLICE as one slice for each axis of its input.

    An axis that is taken out of the shape keeps its one position here; new axes are left out.
    """
    shape = case.input_shapes[0]
    masks = {name: case.option(f"{name}Mask") for name in ("begin", "end", "ellipsis", "newAxis", "shrinkAxis")}
    has: Callable[[str, int], bool] = lambda name, bit: bool(masks[name] >> bit & 1)  # noqa: E731
    taken = sum(not has("ellipsis", bit) and not has("newAxis", bit) for bit in range(len(begin)))
    slices: list[slice] = []
    for bit in range(len(begin)):
        first, last, step = int(begin[bit]), int(end[bit]), int(strides[bit])
        if has("ellipsis", bit):
            slices += [slice(None)] * (len(shape) - taken)
        elif has("shrinkAxis", bit):
            first %= shape[len(slices)]
            slices.append(slice(first, first + 1))
        elif not has("newAxis", bit):
            slices.append(slice(None if has("begin", bit) else first, None if has("end", bit) else last, step))
    return slices + [slice(None)] * (len(shape) - len(slices))


def sizes_of(slices: Sequence[slice], shape: Shape) -> Shape:
    """Count what slices take of each axis."""
    return tuple(len(range(*part.indices(size))) for part, size in zip(slices, shape, strict=True))


def is_whole(part: slice, size: int) -> bool:
    """Tell whether a slice takes an axis as it is."""
    return bool(np.array_equal(np.arange(size)[part], np.arange(size)))
