"""Adaptive rounding: whether each weight goes up or down is learned from what the layer reads.

Source: Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization", section 3, with its
rectified sigmoid, its annealed regularizer and layer by layer; the loss of a layer is that of its sums, which is a
quadratic form in the weights, so that no sample is needed for a step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tflite_pipeline.convert.recovery.layer import Array, Layer

_STEPS = 1000
_WARM_UP = 0.2
"""Share of the steps before the regularizer begins."""
_BETA = (20.0, 2.0)
_WEIGHT = 0.01
_STRETCH = (-0.1, 1.1)
_RATE = 0.01


def round_adaptively(layer: Layer) -> Layer:
    """Choose up or down for each weight of a layer whose channels read the same inputs."""
    if layer.moments is None or layer.moments.by_channel:
        return layer
    floor = np.floor(layer.target / layer.scales)
    share = np.clip(layer.target / layer.scales - floor, 0.01, 0.99)
    # In units of the step, and of a mean error of one half step: the regularizer then weighs the same for all layers.
    hessian = layer.moments.inputs / max(np.trace(layer.moments.inputs) / len(layer.moments.inputs), 1e-30)
    logits = _learn(_inverse(share), floor - layer.target / layer.scales, hessian)
    integers = np.clip(floor + (_stretched(logits) >= 0.5), -layer.most, layer.most)
    learned = replace(layer, integers=integers)
    better = np.where((learned.errors() < layer.errors())[:, None], integers, layer.integers)
    return replace(layer, integers=better)


def _learn(logits: Array, offset: Array, hessian: Array) -> Array:
    """Run Adam on the loss of the sums and the regularizer."""
    first, second = np.zeros_like(logits), np.zeros_like(logits)
    for step in range(1, _STEPS + 1):
        ups = _stretched(logits)
        inner = (ups > 0) & (ups < 1)
        sigmoid = 1 / (1 + np.exp(-logits))
        slope = 2 * (offset + ups) @ hessian + _pull(ups, step / _STEPS)
        gradient = slope * sigmoid * (1 - sigmoid) * (_STRETCH[1] - _STRETCH[0]) * inner
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        logits = logits - _RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return logits


def _pull(ups: Array, progress: float) -> Array:
    """Give the slope of the regularizer, which draws every share to 0 or 1."""
    if progress < _WARM_UP:
        return np.zeros_like(ups)
    late = (progress - _WARM_UP) / (1 - _WARM_UP)
    beta = _BETA[1] + 0.5 * (_BETA[0] - _BETA[1]) * (1 + np.cos(late * np.pi))
    away = 2 * ups - 1
    return np.asarray(-_WEIGHT * beta * 2 * np.sign(away) * np.abs(away) ** (beta - 1))


def _stretched(logits: Array) -> Array:
    low, high = _STRETCH
    return np.clip((high - low) / (1 + np.exp(-logits)) + low, 0, 1)


def _inverse(share: Array) -> Array:
    low, high = _STRETCH
    part = (share - low) / (high - low)
    return np.asarray(np.log(part / (1 - part)))
