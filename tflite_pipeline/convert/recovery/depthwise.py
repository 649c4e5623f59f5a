"""Depthwise search: the few weights of each channel are rounded together, the best of all ways up or down.

The error of a channel is a small quadratic form; every weight may be any of the two integers around it, which is the
problem of adaptive rounding (Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization",
section 3) solved exactly, for kernels up to 3 x 3, and by single moves for larger ones.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from tflite_pipeline.convert.recovery.layer import Array, Layer

_EXACT = 12
"""Weights of a channel, up to which all ways are tried: 4096."""
_ROUNDS = 20


def search_depthwise(layer: Layer) -> Layer:
    """Choose the integers of each channel that reads inputs of its own."""
    if layer.moments is None or not layer.moments.by_channel:
        return layer
    rows = [
        _searched(hessian, target, float(scale), start, layer.most)
        for hessian, target, scale, start in zip(
            layer.moments.inputs, layer.target, layer.scales[:, 0], layer.integers, strict=True
        )
    ]
    return replace(layer, integers=np.stack(rows))


def _searched(hessian: Array, target: Array, scale: float, start: Array, most: int) -> Array:
    """Give the best integers [inputs] of one channel."""
    if len(target) > _EXACT:
        return _moved(hessian, target, scale, start, most)
    integers = np.clip(np.floor(target / scale) + _ways(len(target)), -most, most)
    gap = integers * scale - target
    best = integers[np.einsum("wi,wi->w", gap @ hessian, gap).argmin()]
    return _moved(hessian, target, scale, best, most)


@cache
def _ways(size: int) -> Array:
    """List all ways to go up or not: [2 ** size, size]."""
    return np.asarray((np.arange(2**size)[:, None] >> np.arange(size)) & 1)


def _moved(hessian: Array, target: Array, scale: float, start: Array, most: int) -> Array:
    """Move the integer that lessens the error most by one step, while there is one."""
    integers, steps = start.copy(), np.array([[-1], [1]])
    for _ in range(_ROUNDS):
        slope = hessian @ (integers * scale - target)
        gains = 2 * scale * steps * slope + scale**2 * np.diag(hessian)
        gains[np.abs(integers + steps) > most] = np.inf
        way, place = np.unravel_index(gains.argmin(), gains.shape)
        if gains[way, place] >= 0:
            break
        integers[place] += steps[way, 0]
    return integers
