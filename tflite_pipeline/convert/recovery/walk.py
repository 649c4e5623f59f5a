"""A float reference and the grids of its draft in; the reference with kernels and biases chosen on these grids out.

The ops are gone through in order with calibration samples, once as the float file computes them and once as the
quantized one does: what a layer reads is already rounded, and its kernel and bias make up for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.convert.recovery.adaround import round_adaptively
from tflite_pipeline.convert.recovery.clip import clip_weights
from tflite_pipeline.convert.recovery.depthwise import search_depthwise
from tflite_pipeline.convert.recovery.gptq import round_second_order
from tflite_pipeline.convert.recovery.layer import Layer, damped
from tflite_pipeline.convert.recovery.moments import Moments, Seen, moments
from tflite_pipeline.runtime.graph import Op
from tflite_pipeline.runtime.grids import Grids, Range, scale_of
from tflite_pipeline.runtime.pieces import Pieces
from tflite_pipeline.runtime.progress import advance
from tflite_pipeline.runtime.sums import LEFT_OUT, SUMS

Array = npt.NDArray[Any]

ROUNDINGS: dict[str, Callable[[Layer], Layer]] = {
    "weight_clipping": clip_weights,
    "gptq": round_second_order,
    "adaround": round_adaptively,
    "depthwise_search": search_depthwise,
}
"""Passes that choose the integers of a kernel, in their order."""
_TO_FLOAT_SUMS = frozenset({"gptq", "adaround", "depthwise_search"})
"""Passes that aim at the sums of the float network, not at the float weights."""
_CORRECTING = _TO_FLOAT_SUMS | {"bias_correction"}
"""Passes that leave the means of the sums to the bias."""
_HELD = 0.1
"""By so much of the mean energy, times the largest integer, weights are held near to the float ones.

Samples are few, and the finer the weights, the less of the layers before is left to make up for.
"""
_DEAD = 1e-6
_CAPS: dict[int, tuple[float, float]] = {0: (-np.inf, np.inf), 1: (0, np.inf), 2: (-1, 1), 3: (0, 6)}
"""Fused activations that only cut off, by their number in the schema: none, RELU, RELU_N1_TO_1, RELU6."""


@dataclass
class Walk:
    """One pass through a graph; `chosen` are the new constants by number of the tensor, float64 on the grid."""

    pieces: Pieces
    grids: Grids
    passes: Collection[str]
    chosen: dict[int, Array] = field(default_factory=dict)

    def run(self, feeds: Mapping[int, Array]) -> None:
        """Go through all ops; `feeds` are the inputs of the graph, first axis the samples."""
        graph = self.pieces.graph
        readers = Counter(i for op in graph.ops for i in set(op.inputs)) + Counter(graph.outputs)
        floats = dict(feeds)
        rounded = {i: self._rounded(i, values) for i, values in feeds.items()}
        for number, op in enumerate(graph.ops, 1):
            made = self._recovered(op, floats, rounded) if self._is_kernel(op) else self._passed(op, floats, rounded)
            floats |= made[0]
            rounded |= {i: self._rounded(i, values) for i, values in made[1].items()}
            readers.subtract(set(op.inputs))
            for i in {*op.inputs, *op.outputs}:
                if readers[i] <= 0:  # nobody needs it any more
                    floats.pop(i, None)
                    rounded.pop(i, None)
            advance(number, len(graph.ops), "recovering")

    def _passed(self, op: Op, floats: Mapping[int, Array], rounded: Mapping[int, Array]) -> tuple[Any, Any]:
        return self.pieces.compute(op.index, floats), self.pieces.compute(op.index, rounded, self.chosen)

    def _is_kernel(self, op: Op) -> bool:
        """Tell whether an op has a kernel of integers that nothing else reads, and sums before its activation."""
        if op.name not in SUMS:
            return False
        _, kernel, _ = SUMS[op.name].inputs_of(self.pieces.inputs_of(op.index))
        steps = self.grids.constants.get(kernel)
        alone = sum(kernel in other.inputs for other in self.pieces.graph.ops) == 1
        fused = getattr(self.pieces.options_of(op.index), "fusedActivationFunction", 0)
        fits = steps is not None and steps.symmetric and steps.axis in (None, SUMS[op.name].channels)
        return fits and alone and fused in _CAPS

    def _recovered(self, op: Op, floats: Mapping[int, Array], rounded: Mapping[int, Array]) -> tuple[Any, Any]:
        pieces, output = self.pieces, op.outputs[0]
        read, kernel, bias = SUMS[op.name].inputs_of(pieces.inputs_of(op.index))
        wanted = pieces.compute(op.index, floats, activated=False)[output]
        found = None
        if ROUNDINGS.keys() & set(self.passes):
            options, shape = pieces.options_of(op.index), pieces.graph.tensors[kernel].shape
            found = moments(op.name, options, shape, Seen(rounded[read], floats[read], wanted))
        self.chosen[kernel] = self._kernel(op, kernel, found)
        sums = pieces.compute(op.index, rounded, self.chosen, activated=False)[output]
        if _CORRECTING & set(self.passes) and bias != LEFT_OUT:
            missing = mean_gap(wanted, sums)
            self.chosen[bias] = pieces.constant(bias).astype(float) + missing
            sums = sums + missing.astype(np.float32)
        low, high = _CAPS[getattr(pieces.options_of(op.index), "fusedActivationFunction", 0)]
        return {output: np.clip(wanted, low, high)}, {output: np.clip(sums, low, high)}

    def _kernel(self, op: Op, kernel: int, found: Moments | None) -> Array:
        """Choose the kernel's integers by the passes; they stand for values float64 of its shape."""
        steps, values = self.grids.constants[kernel], self.pieces.constant(kernel).astype(float)
        axis = SUMS[op.name].channels
        rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
        target = rows
        if found is not None and _TO_FLOAT_SUMS & set(self.passes):
            target = towards_sums(rows, found, steps.most)
        layer = Layer.of(target, steps.most, steps.axis is None, found)
        for name, choose in ROUNDINGS.items():
            if name in self.passes:
                layer = choose(layer)
        chosen = np.where(_is_dead(rows), rows, layer.pinned().values)
        moved = np.moveaxis(values, axis, 0).shape
        return np.moveaxis(chosen.reshape(moved), 0, axis)

    def _rounded(self, tensor: int, values: Array) -> Array:
        one = self.grids.ranges.get(tensor)
        return values if one is None else round_to(one, values)


def _is_dead(rows: Array) -> Array:
    """Tell of channels [channels, 1] whether their weights are nothing beside the others'.

    Training leaves such channels at 1e-30; on a grid of their own they would have a scale that no kernel bears.
    """
    peaks = np.abs(rows).max(1, keepdims=True)
    return np.asarray(peaks < _DEAD * peaks.max())


def towards_sums(rows: Array, found: Moments, most: int) -> Array:
    """Give the weights whose sums, of what the layer reads now, follow those of the float network.

    The asymmetric reconstruction of Nagel et al. 2020, section 3.4, solved for weights that are not rounded yet, and
    drawn towards the float weights [channels, inputs]. The float inputs are the instruments of the regression: what is
    left must not go with any of them. Plain least squares would take the noise of rounded inputs for a reason to lessen
    all weights, and a later mean over positions takes the noise away but not the loss.
    """
    size = damped(found.inputs, _HELD * most) - found.inputs
    if found.by_channel:
        right = found.sums + np.einsum("cij,cj->ci", size, rows)
        return np.asarray(np.linalg.solve((found.real + size).swapaxes(1, 2), right[..., None])[..., 0])
    return np.asarray(np.linalg.solve((found.real + size).T, (found.sums + rows @ size).T).T)


def mean_gap(wanted: Array, found: Array) -> Array:
    """Give what each channel, the last axis, lacks on average, float64: empirical bias correction.

    Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", appendix D,
    with samples; before the activation, and of a network whose layers before are rounded and corrected already.
    """
    axes = tuple(range(wanted.ndim - 1))
    return np.asarray(wanted.mean(axes, dtype=float) - found.mean(axes, dtype=float))


def round_to(one: Range, values: Array) -> Array:
    """Round an activation as the file does, float32: to the nearest integer of its range."""
    step = np.float32(scale_of(one))
    low, high = np.rint(one.low / step), np.rint(one.high / step)
    return np.asarray(np.clip(np.rint(values / step), low, high) * step, np.float32)
