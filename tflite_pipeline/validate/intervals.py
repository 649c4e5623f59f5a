"""Paired scores in, the interval out that holds the true drop or share with a given confidence.

A drop is positive where the quantized file is worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Interval = tuple[float, float]

RESAMPLES = 1000
_AT_ONCE = 2_000_000
"""Weights held at a time: 16 MB."""


def proportion_drop(reference: Array, quantized: Array, confidence: float) -> Interval:
    """Interval of the drop of a proportion; both arrays hold 0 and 1 for the same samples.

    Adjusted Wald interval for matched pairs: half a pair is added to each of the four cells (Agresti and Min,
    Simple improved confidence intervals for comparing matched proportions, Statistics in Medicine 24, 2005).
    """
    lost = float(((reference > 0) & (quantized == 0)).sum()) + 0.5
    won = float(((reference == 0) & (quantized > 0)).sum()) + 0.5
    count = len(reference) + 2
    middle = (lost - won) / count
    half = _normal(confidence) * math.sqrt((lost + won) - (lost - won) ** 2 / count) / count
    return max(-1.0, middle - half), min(1.0, middle + half)


def mean_drop(drops: Array, confidence: float) -> Interval:
    """Interval of the mean of at least two samples' drops by Student's t."""
    from scipy.special import stdtrit

    middle = float(drops.mean())
    half = float(stdtrit(len(drops) - 1, (1 + confidence) / 2)) * float(drops.std(ddof=1)) / math.sqrt(len(drops))
    return middle - half, middle + half


def whole_drop(drop: Callable[[Array], Array], count: int, confidence: float, seed: int = 0) -> Interval | None:
    """Interval of a drop that only all samples together have: percentiles over seeded paired resamples.

    `drop` takes weights (resamples, count), how often each sample is drawn, and gives a drop a row, NaN where it
    has none. None where hardly any resample has one.
    """
    draw = np.random.default_rng(seed)
    step = max(1, min(RESAMPLES, _AT_ONCE // count))
    parts = []
    for start in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - start)
        parts.append(drop(draw.multinomial(count, np.full(count, 1 / count), size=rows)))
    drops = np.concatenate(parts)
    drops = drops[~np.isnan(drops)]
    if len(drops) < RESAMPLES / 2:
        return None
    low, high = np.quantile(drops, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def share(hits: float, count: int, confidence: float) -> Interval:
    """Interval of one proportion (Wilson, Probable inference, J. American Statistical Association 22, 1927).

    Hits need not be whole: a sample whose values hit in part varies less than one that hits or misses, so the interval
    of a mean of such parts is rather too wide.
    """
    z = _normal(confidence)
    rate = hits / count
    middle = rate + z * z / (2 * count)
    half = z * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _normal(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
