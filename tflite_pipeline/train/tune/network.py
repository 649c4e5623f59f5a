"""The graph of a reference as a tf_keras model that trains its constants under the rounding of the quantized file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.runtime.tensorflow import keras, tensorflow
from tflite_pipeline.train.tune.graph import FloatGraph
from tflite_pipeline.train.tune.grids import Grids, Range
from tflite_pipeline.train.tune.quantizers import round_activation
from tflite_pipeline.train.tune.weights import Weights

Array = npt.NDArray[Any]


class Rounding:
    """The ranges of a network's activations; those that are free move with one pair of variables, relative to them."""

    def __init__(self, network: Any, grids: Grids) -> None:
        """Add the variables, float32 [groups, 2], to the network: logarithms of what the ends are multiplied by."""
        self._ranges, self._groups = grids.ranges, grids.groups
        self._free = [number for number, one in grids.groups.items() if one.free]
        shape = (len(self._free), 2)
        self._factors = network.add_weight(name="ranges", shape=shape, initializer="zeros", trainable=True)

    def ends(self) -> dict[int, tuple[Any, Any]]:
        """Give both ends of each group's range as scalar tensors."""
        tf = tensorflow()
        factors = tf.unstack(tf.exp(self._factors)) if self._free else []
        moved = dict(zip(self._free, factors, strict=True))
        return {
            group: (one.low * moved[group][0], one.high * moved[group][1]) if group in moved else (one.low, one.high)
            for group, one in self._groups.items()
        }

    def round(self, number: int, value: Any, ends: Mapping[int, tuple[Any, Any]]) -> Any:
        """Round an activation of the graph as the file does; the others pass."""
        one = self._ranges.get(number)
        return value if one is None else round_activation(value, *ends[one.group], one)

    def trained(self) -> dict[int, Range]:
        """Give the ranges as training left them, with the zero points rounded."""
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


def build_network(graph: FloatGraph, names: Sequence[str], weights: Weights, grids: Grids | None, lesson: Any) -> Any:
    """Make the model, built and ready to be compiled.

    Args:
        graph: the ops; any batch size.
        names: of the inputs, in the order of the graph's.
        weights: what trains, and what becomes of it before it is used.
        grids: the rounding of activations; None leaves them as they are.
        lesson: what the model learns from (`lesson.Lesson`).
    """
    return _network_class()(graph, names, weights, grids, lesson)


@cache
def _network_class() -> Any:
    """Make the class, whose base is at hand only where TensorFlow is."""
    tf, library = tensorflow(), keras(2)
    # AutoGraph would rewrite code that has no loop or condition over tensors, at the cost of seconds.
    as_it_is = tf.autograph.experimental.do_not_convert

    class Network(library.Model):  # type: ignore[misc]
        """Takes one array or a dict by input name; gives the outputs of the graph in a list."""

        def __init__(
            self, graph: FloatGraph, names: Sequence[str], weights: Weights, grids: Grids | None, lesson: Any
        ) -> None:
            super().__init__()
            self._ops, self._order, self._lesson, self._held = graph, tuple(names), lesson, weights
            weights.add_to(self)
            self.rounding = Rounding(self, grids) if grids else None
            self._figures = [library.metrics.Mean(name) for name in ("loss", *lesson.figures)]
            self.built = True

        def call(self, inputs: Any, training: bool = False) -> list[Any]:
            del training  # dropout and the like are gone from the reference
            return self.computed(inputs)[0]

        def computed(self, inputs: Any) -> tuple[list[Any], dict[int, Any]]:
            """Give the outputs, and every activation after rounding by number of the tensor."""
            feeds = self._feeds(inputs)
            ends = self.rounding.ends() if self.rounding else {}
            seen: dict[int, Any] = {}

            def observe(number: int, value: Any) -> Any:
                seen[number] = self.rounding.round(number, value, ends) if self.rounding else value
                return seen[number]

            return self._ops(feeds, self._held.values(), observe), seen

        def _feeds(self, inputs: Any) -> list[Any]:
            return [inputs[name] for name in self._order] if isinstance(inputs, dict) else [inputs]

        @property
        def metrics(self) -> list[Any]:
            return self._figures

        @as_it_is
        def train_step(self, data: Any) -> dict[str, Any]:
            inputs, labels = _parted(data)
            with tf.GradientTape() as tape:
                figures = self._judge(inputs, labels)
            variables = self.trainable_variables
            gradients = tape.gradient(figures["loss"], variables)
            known = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
            self.optimizer.apply_gradients(known)
            return self._noted(inputs, figures)

        @as_it_is
        def test_step(self, data: Any) -> dict[str, Any]:
            inputs, labels = _parted(data)
            return self._noted(inputs, self._judge(inputs, labels))

        def _judge(self, inputs: Any, labels: Any) -> dict[str, Any]:
            outputs, seen = self.computed(inputs)
            figures: dict[str, Any] = self._lesson.judge(self._feeds(inputs), outputs, seen, labels)
            return figures

        def _noted(self, inputs: Any, figures: dict[str, Any]) -> dict[str, Any]:
            size = tf.shape(tf.nest.flatten(inputs)[0])[0]
            for metric in self._figures:
                metric.update_state(figures[metric.name], sample_weight=tf.cast(size, tf.float32))
            return {metric.name: metric.result() for metric in self._figures}

    return Network


def _parted(data: Any) -> tuple[Any, Any]:
    """Part a batch into inputs and labels, which may be missing."""
    return data if isinstance(data, tuple) and len(data) == 2 else (data[0] if isinstance(data, tuple) else data, None)
