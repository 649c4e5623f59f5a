"""What the float file and another one answer to the same samples in; how much the other one lost out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Answers = Mapping[str, Array]
"""By name of the output: float32, first axis the samples."""

_NEAR_ONE = 1e-3
_LEAST_SHARE = 2.0**-9
"""Half a step of the integers that hold a probability: below, the logarithm would tell of rounding only."""


@dataclass(frozen=True)
class Effect:
    """The loss of the output that loses most.

    `sqnr_db` is None where nothing is lost; `agreement` and `divergence`, in nats, are None where no output is a
    distribution over classes.
    """

    sqnr_db: float | None
    agreement: float | None
    divergence: float | None


def effect_on(real: Answers, found: Answers) -> Effect:
    """Compare answers to the same samples; outputs without a name in common go by their order."""
    if set(real) != set(found):
        found = dict(zip(real, found.values(), strict=True))
    ratios = [ratio for name in real if (ratio := _sqnr(real[name], found[name])) is not None]
    spreads = [name for name in real if _is_distribution(real[name])]
    return Effect(
        min(ratios, default=None),
        min((_agreement(real[name], found[name]) for name in spreads), default=None),
        max((_divergence(real[name], found[name]) for name in spreads), default=None),
    )


def _sqnr(real: Array, found: Array) -> float | None:
    wide = real.astype(np.float64)
    signal, noise = float(np.square(wide).sum()), float(np.square(found - wide).sum())
    return 10 * math.log10(signal / noise) if signal and noise else None


def _is_distribution(values: Array) -> bool:
    """Tell whether each row holds shares of at least two classes, which add up to 1."""
    return bool(
        values.ndim > 1
        and values.shape[-1] > 1
        and values.min(initial=0) >= 0
        and np.allclose(values.sum(axis=-1), 1, atol=_NEAR_ONE)
    )


def _agreement(real: Array, found: Array) -> float:
    return float((real.argmax(axis=-1) == found.argmax(axis=-1)).mean())


def _divergence(real: Array, found: Array) -> float:
    """Give the mean over the samples of the Kullback-Leibler divergence of the second from the first."""
    p, q = _shares(real), _shares(found)
    return float((p * np.log(p / q)).sum(axis=-1).mean())


def _shares(values: Array) -> Array:
    held = np.maximum(values.astype(np.float64), _LEAST_SHARE)
    return np.asarray(held / held.sum(axis=-1, keepdims=True))
