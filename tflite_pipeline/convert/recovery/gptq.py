"""Second-order rounding: weights are rounded one after the other, and those that follow make up for the error.

Source: Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
section 3; for convolutions over patches, and on inputs without their mean, since the bias makes up for that.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.linalg

from tflite_pipeline.convert.recovery.layer import Array, Layer, damped

_DAMPING = 0.01
_ROUNDS = 10
"""Rounds of the search that follows, at most; it seldom takes more than five."""


def round_second_order(layer: Layer) -> Layer:
    """Choose the integers of all channels that read the same inputs, those of the most energy first.

    Then each integer is moved by one as long as that lessens the error.
    """
    if layer.moments is None or layer.moments.by_channel:
        return layer
    hessian = damped(layer.moments.inputs, _DAMPING)
    order = np.argsort(-np.diag(hessian), kind="stable")
    sorted_ = replace(layer, target=layer.target[:, order], integers=layer.integers[:, order])
    integers = np.empty_like(layer.integers)
    integers[:, order] = _compensated(sorted_, hessian[np.ix_(order, order)])
    rounded = replace(layer, integers=integers)
    better = np.where((rounded.errors() < layer.errors())[:, None], integers, layer.integers)
    return descend(replace(layer, integers=better))


def _compensated(layer: Layer, hessian: Array) -> Array:
    # Row i of the factor tells how an error of weight i is spread over the weights after it.
    factor = _spread_of_errors(hessian)
    left, integers = layer.target.copy(), np.empty_like(layer.target)
    scales = layer.scales[:, 0]
    for i in range(left.shape[1]):
        integers[:, i] = layer.nearest(left[:, i], scales)
        error = (left[:, i] - integers[:, i] * scales) / factor[i, i]
        left[:, i:] -= np.outer(error, factor[i, i:])
    return integers


def _spread_of_errors(hessian: Array) -> Array:
    """Give the upper Cholesky factor of the inverse: of the reversed Hessian's lower one, which needs no inverse."""
    lower = scipy.linalg.cholesky(hessian[::-1, ::-1], lower=True)
    identity = np.eye(len(hessian))
    return np.asarray(scipy.linalg.solve_triangular(lower, identity, lower=True)[::-1, ::-1])


def descend(layer: Layer) -> Layer:
    """Move one integer at a time by one step, each where it lessens the error of its channel the most."""
    if layer.moments is None or layer.moments.by_channel:
        return layer
    moments, scales = layer.moments.inputs, layer.scales
    integers, diagonal = layer.integers.copy(), np.diag(layer.moments.inputs)
    slope = (integers * scales - layer.target) @ moments
    for _ in range(_ROUNDS):
        moved = False
        for i in range(integers.shape[1]):
            if diagonal[i] <= 0:
                continue
            # The error is a parabola in each weight: the nearest integer to its lowest point.
            lowest = integers[:, i] - slope[:, i] / (diagonal[i] * scales[:, 0])
            best = np.clip(np.rint(lowest), -layer.most, layer.most)
            steps = best - integers[:, i]
            changed = np.flatnonzero(steps)
            if changed.size:
                slope[changed] += np.outer(steps[changed] * scales[changed, 0], moments[i])
                integers[changed, i], moved = best[changed], True
        if not moved:
            break
    return replace(layer, integers=integers)
