"""Values of one tensor, float and quantized, a few samples at a time in; the figures of their difference out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Integers:
    """What the integers of a tensor stand for: real numbers from `low` to `high` in steps of `scale`."""

    scale: float
    low: float
    high: float


class Tally:
    """Sums over all samples; several threads may add."""

    def __init__(self, integers: Integers | None) -> None:
        """`integers` is None for a tensor that holds floats in both files."""
        self._integers, self._lock = integers, Lock()
        self._count = self._rows = self._clipped = self._saturated = 0
        self._signal = self._noise = self._largest = 0.0
        self._shifts: Array = np.zeros(1)

    def add(self, real: Array, found: Array) -> None:
        """Take in the same values as the reference and as the file has them, float32, their last axis the channels."""
        if not real.size:
            return
        error = (found - real).reshape(-1, real.shape[-1] if real.ndim > 1 else 1)
        shifts = error.sum(axis=0, dtype=np.float64)
        signal = float(np.square(real, dtype=np.float64).sum())
        noise = float(np.square(error, dtype=np.float64).sum())
        largest = float(np.abs(error).max())
        clipped, saturated = _outside(real, found, self._integers) if self._integers else (0, 0)
        with self._lock:
            self._count += real.size
            self._rows += len(error)
            self._signal, self._noise = self._signal + signal, self._noise + noise
            self._largest = max(self._largest, largest)
            self._shifts = self._shifts + shifts
            self._clipped, self._saturated = self._clipped + clipped, self._saturated + saturated

    @property
    def sqnr_db(self) -> float | None:
        """Power of the float values over that of the difference, in dB; None where either is zero."""
        return 10 * math.log10(self._signal / self._noise) if self._signal and self._noise else None

    @property
    def shift(self) -> float:
        """Share of the difference's power that is one constant for each channel."""
        constant = float(np.square(self._shifts).sum()) / max(self._rows, 1)
        return min(1.0, constant / self._noise) if self._noise else 0.0

    def in_steps(self) -> dict[str, float | None]:
        """Give `mean_lsb`, `max_lsb`, `typical_lsb`, `clipped` and `saturated`; all None for floats."""
        if self._integers is None or not self._count:
            return dict.fromkeys(("mean_lsb", "max_lsb", "typical_lsb", "clipped", "saturated"))
        scale = self._integers.scale
        return {
            "mean_lsb": float(self._shifts.sum()) / self._count / scale,
            "max_lsb": self._largest / scale,
            "typical_lsb": math.sqrt(self._signal / self._count) / scale,
            "clipped": self._clipped / self._count,
            "saturated": self._saturated / self._count,
        }


def _outside(real: Array, found: Array, integers: Integers) -> tuple[int, int]:
    """Count the float values that round to no integer, and the integers at an end; an end that means 0 is none."""
    low, high, half = integers.low, integers.high, integers.scale / 2
    clipped = np.count_nonzero(real < low - half) + np.count_nonzero(real > high + half)
    saturated = sum(
        int(np.count_nonzero(np.abs(found - np.float32(end)) < half / 2)) for end in (low, high) if abs(end) > half
    )
    return int(clipped), saturated
