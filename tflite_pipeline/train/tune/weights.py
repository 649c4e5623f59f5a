"""The constants of a graph: which of them train, and what becomes of each before an op uses it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.runtime.grids import Steps, best_fractions
from tflite_pipeline.runtime.sums import SUMS
from tflite_pipeline.runtime.tensorflow import tensorflow
from tflite_pipeline.train.tune.clusters import Clusters, clustered, regrouped
from tflite_pipeline.train.tune.graph import FloatGraph
from tflite_pipeline.train.tune.quantizers import round_constant
from tflite_pipeline.train.tune.sparsity import masked

Array = npt.NDArray[Any]

_COMPRESSIBLE = ("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
"""Ops whose kernels are worth pruning and clustering."""
_TABLES = {"BATCH_MATMUL": (0, 1), "EMBEDDING_LOOKUP": (1,), "GATHER": (0,), "PRELU": (1,)}
"""Ops without a bias whose constants are weights, by position of the input."""
_ARITHMETIC = frozenset({"ADD", "DIV", "MUL", "SUB"})
"""Ops whose constants are weights where they are no single number: scales, shifts and embeddings of positions."""
_ADDING = frozenset({"ADD", "SUB", *SUMS})
"""Ops that add a constant to what they compute; the kernels of `SUMS` are no such constants."""
FINE_BITS = 4
"""Up to so many, clipping the largest weights gains more than it loses, and how far is trained."""


def trainable(graph: FloatGraph) -> list[int]:
    """List the float constants that are weights.

    Constants of equal values may be one tensor of the file, whoever uses it; they then train as one.
    """
    return sorted({number for node in graph.nodes for number in _weights_of(graph, node)})


def kernels(graph: FloatGraph) -> list[int]:
    """List the kernels of dense and conv layers, without those of depthwise ones, which hold few weights."""
    found = {node.inputs[SUMS[node.name].kernel] for node in graph.nodes if node.name in _COMPRESSIBLE}
    return sorted(number for number in found if _is_float(graph, number))


def _weights_of(graph: FloatGraph, node: Any) -> Iterable[int]:
    if node.name in _ARITHMETIC:
        return (i for i in node.inputs if _is_float(graph, i) and graph.constants[i].size > 1)
    if node.name in SUMS:
        return (i for i in SUMS[node.name].inputs_of(node.inputs)[1:] if _is_float(graph, i))
    return (node.inputs[place] for place in _TABLES.get(node.name, ()) if _is_float(graph, node.inputs[place]))


def _is_float(graph: FloatGraph, number: int) -> bool:
    return number in graph.constants and graph.constants[number].dtype == np.float32


@dataclass(frozen=True)
class Bonds:
    """What binds kernels while they train, by number of the tensor.

    `masks` (float32, 0 where a weight is zero) may change while a network is pruned; the members of `clusters` may move
    from one to another while it is clustered.
    """

    masks: dict[int, Array] = field(default_factory=dict)
    clusters: dict[int, Clusters] = field(default_factory=dict)
    members_move: bool = False


class Weights:
    """The constants of one network; `add_to` makes their variables, `values` what the ops use."""

    def __init__(
        self, graph: FloatGraph, spread: Mapping[int, float], steps: Mapping[int, Steps], bonds: Bonds
    ) -> None:
        """Take the constants as the file has them, and what they are rounded to; none train before `add_to`.

        `spread` is the standard deviation of activations, by number of the tensor.
        """
        self._graph, self._spread, self._steps, self.bonds = graph, spread, dict(steps), bonds
        self._variables: dict[int, Any] = {}
        self._centroids: dict[int, Any] = {}
        self._peaks: dict[int, Array] = {}
        self._sizes: dict[int, Array] = {}
        self._fractions: dict[int, Any] = {}
        self._masks: dict[int, Any] = {}

    def add_to(self, network: Any) -> None:
        """Add variables to a network: float32, of the constants' shapes; of a clustered kernel its centroids."""
        for number in trainable(self._graph):
            values, shared = self._graph.constants[number], self.bonds.clusters.get(number)
            if shared is not None:
                self._peaks[number] = _positive(np.abs(values).max())
                self._centroids[number] = _add(network, f"centroids{number}", shared.centroids / self._peaks[number])
            if shared is None or self.bonds.members_move:
                self._sizes[number] = self._size(number, values)
                self._variables[number] = _add(network, f"w{number}", values / self._sizes[number])
            if number in self.bonds.masks:
                self._masks[number] = _add(network, f"mask{number}", self.bonds.masks[number], trains=False)
            steps = self._steps.get(number)
            if steps is not None and steps.bits <= FINE_BITS and steps.symmetric:
                self._fractions[number] = _add(network, f"fraction{number}", best_fractions(values, steps))

    @property
    def masked(self) -> list[tuple[Any, Any]]:
        """Pair the variables of masked kernels with those of their masks."""
        return [(self._variables[number], mask) for number, mask in self._masks.items()]

    def values(self) -> dict[int, Any]:
        """Give every constant that is not used as the file has it, by number of the tensor."""
        tf = tensorflow()
        raw: dict[int, Any] = {number: self._bound(number) for number in {**self._variables, **self._centroids}}
        raw |= {number: tf.constant(self._graph.constants[number]) for number in self._steps if number not in raw}
        return {number: self._rounded(number, value) for number, value in raw.items()}

    def _size(self, number: int, start: Array) -> Array:
        """Give the unit that a variable counts in, so that one learning rate suits all of them.

        With BatchNormalization folded, kernels differ by orders of magnitude from layer to layer and from channel to
        channel. A kernel counts in the largest weight of each channel; what is added, at least in the spread of the
        sums.
        """
        readers = [node for node in self._graph.nodes if number in node.inputs]
        sums = [SUMS[node.name] for node in readers if node.name in SUMS and node.inputs[1] == number]
        if sums:
            axes = tuple(axis for axis in range(start.ndim) if axis != sums[0].channels)
            return _positive(np.abs(start).max(axes, keepdims=True))
        spreads = [self._spread.get(node.outputs[0], 0.0) for node in readers if node.name in _ADDING]
        return _positive(np.maximum(np.abs(start).max(initial=0.0), max(spreads, default=0.0)))

    def _bound(self, number: int) -> Any:
        if number not in self._centroids:
            value = self._variables[number] * self._sizes[number]
            return masked(value, self._masks[number]) if number in self._masks else value
        centroids = self._centroids[number] * self._peaks[number]
        members = self.bonds.clusters[number].assignment
        if self.bonds.members_move:
            return regrouped(centroids, self._variables[number] * self._sizes[number], members)
        return clustered(centroids, members)

    def final(self) -> dict[int, Array]:
        """Give what the file is to hold."""
        return {number: np.asarray(value) for number, value in self.values().items()}

    def _rounded(self, number: int, value: Any) -> Any:
        tf, steps = tensorflow(), self._steps.get(number)
        if steps is None:
            return value
        fraction = self._fractions.get(number)
        return round_constant(value, steps, 1.0 if fraction is None else tf.clip_by_value(fraction, 0.1, 1.0))


def _positive(sizes: Array) -> Array:
    """Replace the unit of what is all zero by 1."""
    return np.where(sizes > 0, sizes, 1.0).astype(np.float32)


def _add(network: Any, name: str, values: Array, trains: bool = True) -> Any:
    start = tensorflow().constant_initializer(values)
    return network.add_weight(name=name, shape=values.shape, initializer=start, trainable=trains)
