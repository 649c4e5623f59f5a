"""One op at the moment of its computation: what it reads, and the shape that its result has for a whole batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tflite_pipeline.train.tune.batch import moved, open_shape, padded, relaid, spread
from tflite_pipeline.train.tune.node import Node, Place, Shape


@dataclass(frozen=True)
class Call:
    """The values of an op's inputs (None where one is left out; constants may be numpy arrays) and the batch in them.

    `places` are those of the inputs, `results` those of the outputs, None where a tensor is the same for all samples;
    `batch` is the number of samples.
    """

    node: Node
    values: tuple[Any, ...]
    places: tuple[Place | None, ...]
    results: tuple[Place | None, ...]
    batch: Any
    tf: Any

    def value(self, position: int) -> Any:
        """Give an input, None where the op has it not."""
        return self.values[position] if position < len(self.values) else None

    def open_shape(self, output: int = 0) -> list[int]:
        """Give the shape of an output with -1 for the batch."""
        return open_shape(self.node.output_shapes[output], self.results[output])

    def full_shape(self) -> list[Any]:
        """Give the shape of the first output at the batch of this computation."""
        shape, place = self.node.output_shapes[0], self.results[0]
        return [size * self.batch if place and axis == place.axis else size for axis, size in enumerate(shape)]

    def reshaped(self, value: Any, before: int | None) -> Any:
        """Give a value the shape of an output; `before` values of a sample lie in front of the batch, if it has one."""
        shape, place = self.node.output_shapes[0], self.results[0]
        if place is None or before is None:
            return self.tf.reshape(value, shape)
        return relaid(self.tf, value, before, shape, place)

    def before(self, shape: Shape) -> int | None:
        """Count the values of a sample in front of the batch of the first input, were its shape another."""
        place = self.places[0]
        return None if place is None else place.before(shape)

    def aligned(self) -> list[Any]:
        """Give all inputs such that broadcasting them puts the samples of one beside those of the other."""
        return [
            self._aligned(position, self.node.output_shapes[0], self.results[0]) for position in range(len(self.values))
        ]

    def together(self, place: Place | None, axis: int | None = None) -> list[Any]:
        """Give all inputs with their samples at a place, also those that are the same for all; for ops that join.

        `axis` is the one along which they are joined: where that is the batch's, all that an input holds precedes it.
        """
        if place is None:
            return list(self.values)
        values = []
        for position, shape in enumerate(self.node.input_shapes):
            own = Place(axis, shape[axis]) if axis == place.axis else place
            if self.places[position] is None:
                values.append(spread(self.tf, self.values[position], shape, own, self.batch))
            else:
                values.append(self._aligned(position, shape, own))
        return values

    def _aligned(self, position: int, shape: Shape, place: Place | None) -> Any:
        value, own, at = self.values[position], self.node.input_shapes[position], self.places[position]
        if place is None:
            return value
        wide = padded(own, len(shape))
        if at is None:
            repeats = shape[place.axis] != 1 and wide[place.axis] != 1
            return spread(self.tf, value, wide, place, self.batch) if repeats else value
        in_place = moved(at, len(shape) - len(own)) == place
        return value if in_place else self.tf.reshape(value, open_shape(wide, place))


Op = Callable[[Call], Any]
"""Gives a tensor, or a list of them where the op has several outputs."""
