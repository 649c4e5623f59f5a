"""What an engine is given: the reference, what each of its ops is to become, and the ranges of its activations."""

from __future__ import annotations

from dataclasses import dataclass

from tflite_pipeline.artifacts import Reference, Samples
from tflite_pipeline.convert.calibrate import AGAIN
from tflite_pipeline.convert.plan import Plan
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.graph import Graph

Limits = dict[int, tuple[float, float]]
"""By number of the tensor in subgraph 0: the smallest and largest real value that its integers must stand for."""


@dataclass(frozen=True)
class Job:
    """One file to make; `limits` are for calibrated schemes, `samples` for engines that calibrate by themselves."""

    spec: Quantization
    reference: Reference
    graphs: tuple[Graph, ...]
    plan: Plan
    limits: Limits | None
    samples: Samples | None


def missing_range(tensor: str) -> StageError:
    """Make the error for an activation that has no limits."""
    return StageError(f"calibration must give the range of every activation. Got none for '{tensor}'.", AGAIN)
