"""The float `.tflite` against what its original model computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Parity, Reference
from tflite_pipeline.runtime.answers import compute

Array = npt.NDArray[Any]


def check_parity(reference: Reference, limit: float, out: Path) -> Parity:
    """Compare on the probe's samples: the largest difference, relative to the original's largest output.

    With several outputs the worst counts. `difference` is None where there is nothing to compare or a NaN. Nothing is
    written.
    """
    del out
    return Parity(_found(reference, limit))


def _found(reference: Reference, limit: float) -> dict[str, Any]:
    if reference.probe is None:
        return _unchecked(limit, "there is no original model to compare with.")
    with np.load(reference.probe) as probe:
        inputs = _part(probe, "input/")
        expected = _part(probe, "output/")
    if len(inputs) == len(reference.inputs) == 1:
        inputs = {"": next(iter(inputs.values()))}
    found = compute(reference.path, inputs)
    if len(found) == len(expected) == 1:
        found = dict(zip(expected, found.values(), strict=True))
    if set(found) != set(expected):
        reason = f"the outputs of the .tflite, {_listed(found)}, are not named as the original's, {_listed(expected)}."
        return _unchecked(limit, reason)
    samples = len(next(iter(expected.values())))
    difference = max(_difference(expected[name], found[name]) for name in expected)
    if not np.isfinite(difference):
        return _checked(limit, samples, None, "the outputs of the .tflite or of its original hold NaN or infinity.")
    return _checked(limit, samples, difference, "")


def _part(probe: Any, prefix: str) -> dict[str, Array]:
    return {key[len(prefix) :]: probe[key] for key in probe.files if key.startswith(prefix)}


def _difference(expected: Array, found: Array) -> float:
    if expected.size != found.size:
        return float("inf")
    left, right = expected.astype(np.float64).ravel(), found.astype(np.float64).ravel()
    with np.errstate(invalid="ignore"):
        largest = float(np.abs(left - right).max(initial=0.0))
    scale = float(np.abs(left).max(initial=0.0))
    return largest / scale if scale else largest


def _checked(limit: float, samples: int, difference: float | None, reason: str) -> dict[str, Any]:
    return {
        "checked": True,
        "passed": difference is not None and difference <= limit,
        "difference": difference,
        "limit": limit,
        "samples": samples,
        "reason": reason,
    }


def _unchecked(limit: float, reason: str) -> dict[str, Any]:
    return {"checked": False, "passed": None, "difference": None, "limit": limit, "samples": 0, "reason": reason}


def _listed(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names)
