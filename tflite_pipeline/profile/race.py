"""Files that do the same work in; what an inference of each takes on this host, measured in turns, out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tflite_pipeline.profile.measure import time_runs
from tflite_pipeline.profile.spec import Latency
from tflite_pipeline.runtime import litert

ROUNDS = 10
"""Turns of each file: whatever slows the host down for a while slows all files down alike."""
_RESAMPLES = 1000
_CONFIDENCE = 95


@dataclass(frozen=True)
class Lap:
    """The median latency of a file in milliseconds, and the interval of that median."""

    p50: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Race:
    """The laps of the files, in their order."""

    laps: tuple[Lap, ...]


def race(paths: tuple[Path, ...], latency: Latency, out: Path) -> Race:
    """Time single inferences on seeded noise, a few of each file at a time, all files in turns; nothing is written.

    Each turn gives a median; a file's latency is the median over the turns, with percentiles over seeded resamples of
    the turns as its interval. Raises StageError where a file does not run.
    """
    del out
    interpreters = [litert.open_interpreter(path, latency.threads) for path in paths]
    for interpreter, path in zip(interpreters, paths, strict=True):
        litert.feed_noise(interpreter)
        time_runs(interpreter, path, latency.warmup)
    runs = max(1, latency.runs // ROUNDS)
    turns = np.empty((len(paths), ROUNDS))
    for turn in range(ROUNDS):
        for place, path in enumerate(paths):
            turns[place, turn] = np.median(time_runs(interpreters[place], path, runs)) / 1e6
    return Race(tuple(map(_lap, turns)))


def _lap(turns: npt.NDArray[np.float64]) -> Lap:
    drawn = np.random.default_rng(0).choice(turns, (_RESAMPLES, len(turns)))
    tail = (100 - _CONFIDENCE) / 2
    low, high = np.percentile(np.median(drawn, axis=1), [tail, 100 - tail])
    return Lap(float(np.median(turns)), (float(low), float(high)))
