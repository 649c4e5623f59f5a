"""What a layer reads and what it should give, sample by sample, in; the moments of least squares out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ROWS = 40_000
"""Positions at most that are looked at of a layer: neighbours tell little that is new."""
_CHUNK = 4_000


@dataclass(frozen=True)
class Moments:
    """Centred second moments, float64: of the inputs that one weight each is for, and of these with the float sums.

    `inputs` is [inputs, inputs], or [channels, inputs, inputs] of a depthwise layer, whose channels read their own;
    `sums` is [channels, inputs]. Both are means over the positions.
    """

    inputs: Array
    sums: Array

    @property
    def by_channel(self) -> bool:
        """Whether each channel has inputs of its own."""
        return self.inputs.ndim == 3


def moments(name: str, options: Any, kernel: tuple[int, ...], read: Array, wanted: Array) -> Moments | None:
    """Give the moments of a layer; nothing for ops whose sums are no plain sum over a patch.

    Args:
        name: the op, e.g. `CONV_2D`.
        options: its options, an object of the schema.
        kernel: the kernel's shape.
        read: what the layer reads in the quantized network, float32, first axis the samples.
        wanted: the sums that it gives in the float network, before the activation, likewise.
    """
    if name == "FULLY_CONNECTED":
        rows, sums = read.reshape(-1, kernel[1]), wanted.reshape(-1, kernel[0])
        chosen = _chosen(len(rows))
        return _joint((rows[part], sums[part]) for part in _parts(chosen))
    if name not in ("CONV_2D", "DEPTHWISE_CONV_2D") or read.shape[-1] != kernel[3]:
        return None  # grouped kernels, and depthwise ones with several outputs a channel
    windows = _windows(options, kernel, read, wanted.shape)
    count = int(np.prod(windows.shape[:3]))
    chosen = _chosen(count)
    flat = wanted.reshape(-1, wanted.shape[-1])
    picked = ((windows[np.unravel_index(part, windows.shape[:3])], flat[part]) for part in _parts(chosen))
    if name == "DEPTHWISE_CONV_2D":
        return _apart((patches.reshape(*patches.shape[:2], -1), sums) for patches, sums in picked)
    # Windows have the channel first, kernels have it last.
    return _joint((patches.transpose(0, 2, 3, 1).reshape(len(patches), -1), sums) for patches, sums in picked)


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
    reach = tuple((kernel[axis + 1] - 1) * gaps[axis] + 1 for axis in (0, 1))
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    view: Array = windows[:, :: strides[0], :: strides[1], :, :: gaps[0], :: gaps[1]]
    return view[:, : shape[1], : shape[2]]


def _chosen(count: int) -> Array:
    if count <= ROWS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, ROWS, replace=False))


def _parts(chosen: Array) -> Iterator[Array]:
    for start in range(0, len(chosen), _CHUNK):
        yield chosen[start : start + _CHUNK]


def _joint(parts: Iterator[tuple[Array, Array]]) -> Moments:
    """Sum up over rows [n, inputs] and sums [n, channels]."""
    count, second, cross, firsts = 0, np.zeros(()), np.zeros(()), (np.zeros(()), np.zeros(()))
    for rows, sums in parts:
        # Products in float32 are exact enough, sums over all parts are not.
        second, cross = second + (rows.T @ rows).astype(float), cross + (sums.T @ rows).astype(float)
        firsts = firsts[0] + rows.sum(0, dtype=float), firsts[1] + sums.sum(0, dtype=float)
        count += len(rows)
    x, y = firsts[0] / count, firsts[1] / count
    return Moments(second / count - np.outer(x, x), cross / count - np.outer(y, x))


def _apart(parts: Iterator[tuple[Array, Array]]) -> Moments:
    """Sum up over rows [n, channels, inputs] and sums [n, channels]."""
    count, second, cross, firsts = 0, np.zeros(()), np.zeros(()), (np.zeros(()), np.zeros(()))
    for rows, sums in parts:
        own = rows.transpose(1, 0, 2)
        second = second + (own.transpose(0, 2, 1) @ own).astype(float)
        cross = cross + np.einsum("nci,nc->ci", rows, sums, dtype=float)
        firsts = firsts[0] + rows.sum(0, dtype=float), firsts[1] + sums.sum(0, dtype=float)
        count += len(rows)
    x, y = firsts[0] / count, firsts[1] / count
    return Moments(second / count - x[:, :, None] * x[:, None, :], cross / count - y[:, None] * x)
