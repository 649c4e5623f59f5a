"""The graph of a reference as a tf_keras model that trains its constants under the rounding of the quantized file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from tflite_pipeline.runtime.grids import Grids, Range
from tflite_pipeline.runtime.tensorflow import keras, tensorflow
from tflite_pipeline.train.tune.graph import FloatGraph
from tflite_pipeline.train.tune.lesson import Lesson
from tflite_pipeline.train.tune.quantizers import round_activation
from tflite_pipeline.train.tune.weights import Weights

Ends = Mapping[int, tuple[Any, Any]]
"""Both ends of each range, scalars, by its group."""


class Rounding:
    """The ranges of a network's activations; those that are free move with one pair of variables, relative to them."""

    def __init__(self, grids: Grids) -> None:
        """Take the ranges as the draft has them; none moves before `add_to`."""
        self._ranges, self._groups = grids.ranges, grids.groups
        self._free = [number for number, one in grids.groups.items() if one.free]

    def add_to(self, network: Any) -> None:
        """Add the variables, float32 [ranges, 2]: the logarithms of what the ends are multiplied by."""
        shape = (len(self._free), 2)
        self._factors = network.add_weight(name="ranges", shape=shape, initializer="zeros", trainable=True)

    def ends(self) -> dict[int, tuple[Any, Any]]:
        """Give both ends of each range as they are now."""
        tf = tensorflow()
        factors = tf.unstack(tf.exp(self._factors)) if self._free else []
        moved = dict(zip(self._free, factors, strict=True))
        return {
            group: (one.low * moved[group][0], one.high * moved[group][1]) if group in moved else (one.low, one.high)
            for group, one in self._groups.items()
        }

    def round(self, number: int, value: Any, ends: Ends) -> Any:
        """Round an activation of the graph as the file does; those that stay float pass."""
        one = self._ranges.get(number)
        return value if one is None else round_activation(value, *ends[one.group], one)

    def trained(self) -> dict[int, Range]:
        """Give the ranges as training left them, with zero on their grids, by number of the tensor."""
        ends = {group: tuple(map(float, pair)) for group, pair in self.ends().items()}
        moved = {group: nudged(replace(self._groups[group], low=low, high=high)) for group, (low, high) in ends.items()}
        return {
            number: replace(one, low=moved[one.group].low, high=moved[one.group].high)
            for number, one in self._ranges.items()
        }


def nudged(one: Range) -> Range:
    """Move the ends so that zero is on the grid, as fake quantization does; symmetric ranges have it in the middle."""
    if one.symmetric:
        return replace(one, low=-one.high)
    steps = 2**one.bits - 1
    scale = (one.high - one.low) / steps
    zero = float(np.clip(np.round(-one.low / scale), 0, steps))
    return replace(one, low=-zero * scale, high=(steps - zero) * scale)


@dataclass(frozen=True)
class Computation:
    """What a network computes and learns.

    `names` are those of the inputs, in the order of the graph's; without `rounding` activations stay as they are.
    """

    graph: FloatGraph
    names: tuple[str, ...]
    weights: Weights
    rounding: Rounding | None
    lesson: Lesson

    def feeds(self, inputs: Any) -> list[Any]:
        """Put the inputs, an array or a dict by name, in the order of the graph's."""
        return [inputs[name] for name in self.names] if isinstance(inputs, dict) else [inputs]

    def computed(self, inputs: Any) -> tuple[list[Any], dict[int, Any]]:
        """Give the outputs, and every activation after rounding by number of the tensor."""
        ends = self.rounding.ends() if self.rounding else {}
        seen: dict[int, Any] = {}

        def observe(number: int, value: Any) -> Any:
            seen[number] = self.rounding.round(number, value, ends) if self.rounding else value
            return seen[number]

        return self.graph(self.feeds(inputs), self.weights.values(), observe), seen

    def judge(self, data: Any) -> dict[str, Any]:
        """Give the loss and the figures of a batch: (inputs, labels), or inputs alone."""
        inputs, labels = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
        outputs, seen = self.computed(inputs)
        return self.lesson.judge(self.feeds(inputs), outputs, seen, labels)


def build_network(computation: Computation) -> Any:
    """Make the tf_keras model, with all of its variables, ready to be compiled with an optimizer alone.

    It takes one array or a dict by input name and gives the outputs of the graph in a list. Dropout and the like are
    gone from the reference, so training and inference are the same.
    """
    return _network_class()(computation)


@cache
def _network_class() -> Any:
    """Make the class, whose base is at hand only where TensorFlow is."""
    tf, library = tensorflow(), keras(2)
    # AutoGraph would rewrite code that has no loop or condition over tensors, at the cost of seconds.
    as_it_is = tf.autograph.experimental.do_not_convert

    class Network(library.Model):  # type: ignore[misc,name-defined]
        def __init__(self, computation: Computation) -> None:
            super().__init__()
            self.computation = computation
            computation.weights.add_to(self)
            if computation.rounding:
                computation.rounding.add_to(self)
            self._figures = [library.metrics.Mean(name) for name in ("loss", *computation.lesson.figures)]
            self.built = True

        def call(self, inputs: Any, training: bool = False) -> list[Any]:
            del training
            return self.computation.computed(inputs)[0]

        @property
        def metrics(self) -> list[Any]:
            return self._figures

        @as_it_is  # type: ignore[untyped-decorator]
        def train_step(self, data: Any) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                figures = self.computation.judge(data)
            variables = self.trainable_variables
            # What this loss does not reach, such as another output's layers, stays as it is.
            gradients = tape.gradient(figures["loss"], variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return _noted(self._figures, data, figures)

        @as_it_is  # type: ignore[untyped-decorator]
        def test_step(self, data: Any) -> dict[str, Any]:
            return _noted(self._figures, data, self.computation.judge(data))

    return Network


def _noted(metrics: Sequence[Any], data: Any, figures: dict[str, Any]) -> dict[str, Any]:
    """Add the figures of a batch to the means over the epoch, and give these."""
    tf = tensorflow()
    size = tf.cast(tf.shape(tf.nest.flatten(data)[0])[0], tf.float32)
    for metric in metrics:
        metric.update_state(figures[metric.name], sample_weight=size)
    return {metric.name: metric.result() for metric in metrics}
