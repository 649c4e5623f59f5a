"""What a layer reads and what it should give, sample by sample, in; the moments of least squares out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ROWS = 20_000
"""Positions at most that are looked at of a layer: neighbours tell little that is new."""
_CHUNK = 4_000


@dataclass(frozen=True)
class Moments:
    """Centred second moments, float64, means over the positions, of the inputs that one weight each is for.

    `inputs` are those in the quantized network with themselves, [inputs, inputs], or [channels, inputs, inputs] of a
    depthwise layer, whose channels read their own; `real` are those in the quantized network with those in the float
    one, of the same shape; `sums`, [channels, inputs], are the float sums with the float inputs.
    """

    inputs: Array
    real: Array
    sums: Array

    @property
    def by_channel(self) -> bool:
        """Whether each channel has inputs of its own."""
        return self.inputs.ndim == 3


@dataclass(frozen=True)
class Seen:
    """What a layer reads in the quantized and in the float network, and its float sums before the activation.

    All are float32, first axis the samples.
    """

    read: Array
    real: Array
    sums: Array


def moments(name: str, options: Any, kernel: tuple[int, ...], seen: Seen) -> Moments | None:
    """Give the moments of a layer; nothing for ops whose sums are no plain sum over a patch.

    `name` is the op, e.g. `CONV_2D`, `options` its object of the schema, `kernel` the kernel's shape.
    """
    if name == "FULLY_CONNECTED":
        views = [seen.read.reshape(-1, kernel[1]), seen.real.reshape(-1, kernel[1])]
        sums = seen.sums.reshape(-1, kernel[0])
        return _summed(((views[0][part], views[1][part], sums[part]) for part in _parts(len(sums))), _joint)
    if name not in ("CONV_2D", "DEPTHWISE_CONV_2D") or seen.read.shape[-1] != kernel[3]:
        return None  # grouped kernels, and depthwise ones with several outputs a channel
    windows = [_windows(options, kernel, values, seen.sums.shape) for values in (seen.read, seen.real)]
    sums = seen.sums.reshape(-1, seen.sums.shape[-1])
    apart = name == "DEPTHWISE_CONV_2D"

    def picked(part: Array) -> tuple[Array, Array, Array]:
        place = np.unravel_index(part, windows[0].shape[:3])
        read, real = (_rows(view[place], apart) for view in windows)
        return read, real, sums[part]

    return _summed(map(picked, _parts(len(sums))), _apart if apart else _joint)


def _rows(patches: Array, apart: bool) -> Array:
    """Lay patches [n, channels, height, width] out as the weights lie: [n, inputs], or [n, channels, inputs]."""
    if apart:
        return patches.reshape(*patches.shape[:2], -1)
    # Windows have the channel first, kernels have it last.
    return patches.transpose(0, 2, 3, 1).reshape(len(patches), -1)


def _windows(options: Any, kernel: tuple[int, ...], read: Array, shape: tuple[int, ...]) -> Array:
    """Give a view of the patches that the kernel sees: [samples, height, width, channels, kernel's height, width]."""
    strides = (options.strideH, options.strideW)
    gaps = (options.dilationHFactor, options.dilationWFactor)
    pads = [(0, 0)]
    for axis in (0, 1):
        reach = (kernel[axis + 1] - 1) * gaps[axis] + 1
        lacking = max((shape[axis + 1] - 1) * strides[axis] + reach - read.shape[axis + 1], 0)
        pads.append((lacking // 2, lacking - lacking // 2))
    padded = np.pad(read, [*pads, (0, 0)])
    reaches = tuple((kernel[axis + 1] - 1) * gaps[axis] + 1 for axis in (0, 1))
    windows = np.lib.stride_tricks.sliding_window_view(padded, reaches, axis=(1, 2))
    view: Array = windows[:, :: strides[0], :: strides[1], :, :: gaps[0], :: gaps[1]]
    return view[:, : shape[1], : shape[2]]


def _parts(count: int) -> Iterator[Array]:
    """Choose positions, and give some at a time."""
    chosen = np.arange(count)
    if count > ROWS:
        chosen = np.sort(np.random.default_rng(0).choice(count, ROWS, replace=False))
    for start in range(0, len(chosen), _CHUNK):
        yield chosen[start : start + _CHUNK]


def _joint(one: Array, other: Array) -> Array:
    """Sum up products of [n, a] and [n, b] over n."""
    return np.asarray(one.T @ other)


def _apart(one: Array, other: Array) -> Array:
    """Sum up products of [n, channels, a] or [n, channels] and [n, channels, b] over n, channel by channel."""
    if one.ndim == other.ndim:
        return np.asarray(one.transpose(1, 2, 0) @ other.transpose(1, 0, 2))
    return np.asarray(np.einsum("nc,nci->ci", one, other))


def _summed(parts: Iterator[tuple[Array, Array, Array]], products: Callable[[Array, Array], Array]) -> Moments:
    """Give the moments around the mean; `products(one, other)` sums up the products of two parts over their rows."""
    count = 0
    shifts: list[Array] = []
    totals: list[Array] = [np.zeros(())] * 3
    means: list[Array] = [np.zeros(())] * 3
    for part in parts:
        if not shifts:  # of values far from zero, products would leave no digits for how they vary
            shifts = [values.mean(0) for values in part]
        read, real, sums = (values - shift for values, shift in zip(part, shifts, strict=True))
        # Products in float32 are exact enough, sums over all parts are not.
        made = products(read, read), products(read, real), products(sums, real)
        totals = [total + one.astype(float) for total, one in zip(totals, made, strict=True)]
        means = [mean + one.sum(0, dtype=float) for mean, one in zip(means, (read, real, sums), strict=True)]
        count += len(read)
    read, real, sums = (mean / count for mean in means)
    around = _outer(read, read), _outer(read, real), sums[:, None] * real
    return Moments(*(total / count - one for total, one in zip(totals, around, strict=True)))


def _outer(one: Array, other: Array) -> Array:
    return np.asarray(one[..., :, None] * other[..., None, :])
