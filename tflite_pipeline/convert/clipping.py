"""How the values of one activation are spread to the range that is worth keeping."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_SHRINK = np.geomspace(1, 1 / 64, 48)
"""Shares of an end's distance from zero that mse tries."""
_NEAR = np.geomspace(_SHRINK[1], 1 / _SHRINK[1], 5)
_TRIED = 128
"""Places of an end that entropy tries."""
_AROUND = 4
"""Bins at either side of one that say how full it should be."""

Array = npt.NDArray[Any]
Interval = tuple[float, float]


def mse(counts: Array, edges: Array, steps: int) -> Interval:
    """Search the range with the least mean squared error of rounding and clipping.

    `counts` and `edges`, float64 [bins] and [bins + 1], are a histogram, `steps` how many steps span a range. A coarse
    search of both ends, in which rounding costs scale² / 12 a value, says where to look; `_squared_errors` decides
    between the ranges near there and the whole one. Source: clipping and rounding errors are added as in Banner et al.
    2019, "Post training 4-bit quantization of convolutional networks for rapid-deployment", there for assumed
    distributions, here over the histogram.
    """
    counts = _without_zeros(counts, edges)
    if not edges[1] > edges[0] or not counts.any():
        return float(edges[0]), float(edges[-1])
    lowest, highest = min(edges[0], 0.0), max(edges[-1], 0.0)
    lows, highs = (end * _SHRINK if end else np.zeros(1) for end in (lowest, highest))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.square(np.maximum(lows[:, None] - middles, 0)) @ counts
    above = np.square(np.maximum(middles - highs[:, None], 0)) @ counts
    rounding = counts.sum() / 12 * np.square((highs - lows[:, None]) / steps)
    row, column = np.unravel_index(np.argmin(below[:, None] + above + rounding), rounding.shape)
    near = np.meshgrid(np.unique(lows[row] * _NEAR), np.unique(highs[column] * _NEAR))
    low, high = (
        np.clip(np.append(end, ends), lowest, highest) for end, ends in zip((lowest, highest), near, strict=True)
    )
    best = np.argmin(_squared_errors(counts, edges, low, high, steps))
    return float(low[best]), float(high[best])


def _squared_errors(counts: Array, edges: Array, low: Array, high: Array, steps: int) -> Array:
    """Sum the squared errors for each pair of ends, with zero a value of the integers and values even within a bin.

    The error of x, in steps, is x - k, k being the nearest integer in range; the integral of its square,
    (x - k)³ / 3 + k / 12, is continuous where k changes.
    """
    scale = ((high - low) / steps)[:, None]
    least = np.rint(low[:, None] / scale)
    places = edges / scale
    nearest = np.clip(np.rint(places), least, least + steps)
    error = places - nearest
    integral = error * error * error / 3 + nearest / 12
    errors: Array = np.diff(integral) @ counts * scale[:, 0] ** 3
    return errors


def _without_zeros(counts: Array, edges: Array) -> Array:
    """Take the zeros out of the bin around zero: it keeps no more than the fuller one beside it.

    Zero is stored exactly in any range, and behind a RELU it is most of what there is.
    """
    near = (edges[1] - edges[0]) / 1000
    around = np.flatnonzero((edges[:-1] <= near) & (edges[1:] >= -near))
    if not len(around):
        return counts
    first, last = around[0], around[-1]
    beside = np.append(counts[max(first - 1, 0) : first], counts[last + 1 : last + 2])
    without = counts.copy()
    without[around] = np.minimum(without[around], beside.max(initial=0))
    return without


def entropy(counts: Array, edges: Array, steps: int) -> Interval:
    """Search the range whose rounded distribution has the least KL divergence from the clipped one.

    `counts` and `edges`, float64 [bins] and [bins + 1], are a histogram, `steps` how many steps span a range. Source:
    Migacz 2017, "8-bit Inference with TensorRT" (GTC), there for one end and 128 levels. Here both ends are searched in
    turn. Fewer bins than levels are not tried: how the values lie within a bin is not known. Values that pile up at one
    point, as zeros do behind a RELU and a flat background does behind any layer, do not count as rounded: they alone
    would decide, by where in a level they happen to lie.
    """
    smooth = np.minimum(counts, _medians(counts))
    if not edges[1] > edges[0] or not smooth.any():
        return float(edges[0]), float(edges[-1])
    bins, levels = len(counts), steps + 1
    zero = np.clip(-edges[0] / (edges[1] - edges[0]), 0, bins)
    starts = np.linspace(0, zero, _TRIED).astype(np.int64)
    stops = np.linspace(bins, np.ceil(zero), _TRIED).astype(np.int64)
    start, stop = 0, bins
    for upper in (True, False, True):
        first, last = (np.full_like(stops, start), stops) if upper else (starts, np.full_like(starts, stop))
        enough = last - first >= min(levels, bins)
        first, last = first[enough], last[enough]
        best = np.argmin(_divergences((counts, smooth), edges, first, last, levels))
        start, stop = first[best], last[best]
    filled = start + np.flatnonzero(counts[start:stop])
    return float(edges[filled[0]]), float(edges[filled[-1] + 1])


def _divergences(both: tuple[Array, Array], edges: Array, first: Array, last: Array, levels: int) -> Array:
    """Give the KL divergence of Q from P for each pair of a first bin and a bin after the last one.

    `both` are the counts and the smoothed ones. P has the latter, the outermost filled bins with what is clipped; Q
    spreads what a level holds, without what is clipped, evenly over its filled bins. Sums over bins are differences of
    running sums, and shares are of `whole` in P and of `inside` in Q.
    """
    counts, smooth = both
    total, before, filled, own = (
        np.append(0, np.cumsum(row)) for row in (counts, smooth, smooth > 0, _times_log(smooth))
    )
    numbers = np.arange(len(smooth))
    head = np.minimum.accumulate(np.where(smooth > 0, numbers, numbers[-1])[::-1])[::-1][first]
    tail = np.maximum.accumulate(np.where(smooth > 0, numbers, 0))[last - 1]
    bounds = np.linspace(np.minimum(edges[first], 0), np.maximum(edges[last], 0), levels + 1, axis=1)
    places = np.rint((bounds - edges[0]) / (edges[1] - edges[0])).astype(np.int64)
    places = np.clip(places, first[:, None], last[:, None])
    mass = np.diff(before[places])
    log_q = np.log(np.maximum(mass, 1) / np.maximum(np.diff(filled[places]), 1))
    p_log_p, p_log_q = own[last] - own[first], (mass * log_q).sum(axis=1)
    inside = before[last] - before[first]
    whole = inside.copy()
    for place, clipped in ((head, total[first]), (tail, total[-1] - total[last])):
        level = (places[:, 1:-1] <= place[:, None]).sum(axis=1, keepdims=True)
        p_log_p += _times_log(smooth[place] + clipped) - _times_log(smooth[place])
        p_log_q += clipped * np.take_along_axis(log_q, level, axis=1)[:, 0]
        whole += clipped
    shares = (p_log_p - p_log_q) / np.maximum(whole, 1) + np.log(np.maximum(inside, 1) / np.maximum(whole, 1))
    return np.where(inside > 0, shares, np.inf)


def _medians(counts: Array) -> Array:
    """Give the median of each bin and the `_AROUND` at either side of it."""
    padded = np.pad(counts, _AROUND, mode="reflect")
    medians: Array = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1), axis=1)
    return medians


def _times_log(counts: Array) -> Array:
    product: Array = counts * np.log(np.maximum(counts, 1))
    return product
