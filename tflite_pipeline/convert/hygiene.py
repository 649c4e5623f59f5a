"""Ranges to how far they hang on the choice of samples; and the record of what calibration was made of."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Engine, Finding, Hygiene, Level, Ranges, Reference, Samples
from tflite_pipeline.convert.spec import DEFAULT_METHOD, HISTOGRAM_METHODS, Quantization
from tflite_pipeline.runtime.layers import place_of
from tflite_pipeline.runtime.rows import read_blocks
from tflite_pipeline.schemes import SCHEMES

LEAST_TO_HALVE = 20
"""Below, a half has fewer than ten samples, and its ranges hang on chance."""
HALVES_DIFFER = 0.2
"""Share of a tensor's whole range by which the ends of its halves may differ."""
UNSETTLED = 0.25
"""Share of the tensors whose halves differ above which the samples are to blame: a few differ in any set."""
WORST = 5

Array = npt.NDArray[Any]


def inspect_ranges(reference: Reference, ranges: Ranges, out: Path) -> Hygiene:
    """Compare the ranges of every other sample with those of the rest; nothing is written."""
    del out
    level, text = _halves(reference, ranges)
    return Hygiene(({"rule": "halves", "level": level, "text": text},))


def manifest(
    samples: Samples,
    spec: Quantization,
    engine: Engine,
    seed: int,
    reference: Reference,
    findings: Sequence[Any],
) -> dict[str, Any]:
    """Give what calibration was made of, as JSON values: enough to find the same samples again and to check them.

    `rows` are rows of the source, each with the first 16 hex digits of the SHA-256 of its preprocessed inputs; `rules`
    are those of the recipe that give layers another method.
    """
    percentile = {"percentile": spec.calibration.percentile} if "percentile" in spec.methods else {}
    return {
        "calibration": 1,
        "split": samples.split,
        "seed": seed,
        "method": _method(spec, engine),
        **percentile,
        "rules": [rule.model_dump(mode="json", exclude_none=True) for rule in spec.rules if rule.method],
        "reference": {"sha256": reference.sha256},
        "samples": {
            "sha256": samples.digest,
            "count": samples.count,
            "passed_over": samples.passed_over,
            "synthetic": samples.synthetic,
        },
        "findings": [dict(finding) for finding in findings],
        "rows": [{"row": row, "sha256": digest} for row, digest in zip(samples.rows, samples.digests, strict=True)],
    }


def _method(spec: Quantization, engine: Engine) -> str:
    """Name the method that layers without a rule got; 16 bits keep minmax where a histogram was asked for."""
    asked = spec.calibration.method
    fine = SCHEMES[spec.scheme].activations == "int16" and asked in HISTOGRAM_METHODS | {"auto"}
    if fine or engine.name == "converter":
        return "minmax"
    return DEFAULT_METHOD if asked == "auto" else asked


def _halves(reference: Reference, ranges: Ranges) -> Finding:
    if ranges.count < LEAST_TO_HALVE:
        text = "not checked whether half of the samples gives the same ranges as the other half"
        return "note", f"{text}: needs {LEAST_TO_HALVE} samples, got {ranges.count}."
    low, high = _by_half(ranges.low, np.minimum, np.inf), _by_half(ranges.high, np.maximum, -np.inf)
    width = high.max(axis=0) - low.min(axis=0)
    apart = np.maximum(np.abs(low[0] - low[1]), np.abs(high[0] - high[1]))
    differ = np.divide(apart, width, out=np.zeros_like(width), where=width > 0)
    unsettled, share = int((differ > HALVES_DIFFER).sum()), f"{HALVES_DIFFER:.0%}"
    if not unsettled:
        return (
            "passed",
            f"both halves of the samples give the same ranges of all tensors ({len(width)}), within {share}.",
        )
    worst = np.argsort(-differ, kind="stable")[: min(unsettled, WORST)].tolist()
    spans = [[f"[{low[half, i]:.4g}, {high[half, i]:.4g}]" for half in (0, 1)] for i in worst]
    names = [place_of(ranges.names[i], reference.layers) for i in worst]
    each = [f"{name} {' and '.join(pair)}" for name, pair in zip(names, spans, strict=True)]
    listed = "; ".join(each + ["…"] * (unsettled > WORST))
    text = f"the halves of the samples give {unsettled} of {len(width)} tensors ranges that differ by more than {share}"
    level: Level = "warning" if unsettled > UNSETTLED * len(width) else "note"
    return level, f"{text}: {listed}. Use more samples, or a calibration method that leaves out rare values."


def _by_half(path: Path, reduce: np.ufunc, start: float) -> Array:
    """Reduce [samples, tensors] over samples 1, 3, 5, … and over samples 2, 4, 6, …, to float64 [2, tensors]."""
    halves = (
        np.array([reduce.reduce(block[half::2], axis=0, initial=start) for half in (0, 1)], np.float64)
        for block in read_blocks(path)
    )
    return functools.reduce(reduce, halves)
