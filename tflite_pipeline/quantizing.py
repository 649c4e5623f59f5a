"""The order of the stages from a float reference to its quantized file, with the passes of recovery among them."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from tflite_pipeline.artifacts import (
    Engine,
    Histograms,
    QuantizedModel,
    Ranges,
    Recovered,
    RecoveryChoice,
    Reference,
    Samples,
)
from tflite_pipeline.convert.calibrate import calibrate, spread
from tflite_pipeline.convert.quantize import choose_engine, quantize
from tflite_pipeline.convert.recovery.absorb import absorb
from tflite_pipeline.convert.recovery.channels import Rewrite
from tflite_pipeline.convert.recovery.choose import CANDIDATES, HELD_OUT, choose_recovery
from tflite_pipeline.convert.recovery.equalize import equalize
from tflite_pipeline.convert.recovery.recover import Obstacle, find_obstacle, recover
from tflite_pipeline.convert.spec import BEFORE_CALIBRATION, HISTOGRAM_METHODS, Quantization, as_made
from tflite_pipeline.runtime.worker import Kind
from tflite_pipeline.stage import Runner
from tflite_pipeline.store import Entry

CORES = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1

Spread = tuple[Entry[Ranges] | None, Entry[Histograms] | None]


@dataclass(frozen=True)
class Made:
    """A quantized file, the float reference and the ranges that its engine was given, and how recovery went.

    `left` tells what equalization and absorption could not do.
    """

    file: Entry[QuantizedModel]
    engine: Entry[Engine]
    reference: Entry[Reference]
    spread: Spread
    left: tuple[str, ...] = ()
    recovery: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Quantizing:
    """How one section `quantization` is carried out; `calibration` are its samples where it needs any."""

    spec: Quantization
    runner: Runner
    calibration: Entry[Samples] | None

    def make(self, base: Entry[Reference], label: str = "quantize") -> Made:
        """Quantize a float reference, with what recovery is asked for.

        Raises StageError where passes are asked for by name and the graph does not let them.
        """
        if not self.spec.recovery:
            return self._draft(base, label)
        engine = self.runner.run("engine", Engine, choose_engine, self.spec, base)
        why = self.runner.run("obstacle", Obstacle, find_obstacle, engine, base, self.spec.recovery).artifact.why
        if why:
            return replace(self._draft(base, label), recovery=_told("auto", (), (f"not tried: {why}.",)))
        # What recovery leaves has other weights than the SavedModel.
        alone = base.part(replace(base.artifact, saved_model=None), "alone")
        if self.spec.recovery == "auto":
            return self._best(alone)
        made, asked = self._attempt(alone, self.spec.recovery, 0, ""), list(self.spec.recovery)
        return replace(made, recovery=_told(asked, asked, made.left))

    def again(self, engine: Entry[Engine], reference: Entry[Reference], ranges: Entry[Ranges] | None) -> Made:
        """Quantize a reference whose weights and ranges were made for the file."""
        return self._file(engine, reference, (ranges, None), as_made(self.spec), "quantize")

    def _best(self, base: Entry[Reference]) -> Made:
        """Try the candidates, and keep the simplest of those that come nearest to the float network."""
        tried = []
        for number, passes in enumerate(CANDIDATES, 1):
            tried.append((passes, self._attempt(base, passes, HELD_OUT, f" {number} of {len(CANDIDATES)}")))
        files = tuple((passes, made.file) for passes, made in tried)
        args = (base, files, self.calibration, CORES)
        choice = self.runner.run("recovery", RecoveryChoice, choose_recovery, *args).artifact
        made = next(made for passes, made in tried if passes == choice.passes)
        told = _told("auto", choice.passes, made.left) | {"tried": list(choice.rows), "judged_on": choice.samples}
        return replace(made, recovery=told)

    def _attempt(self, base: Entry[Reference], passes: Collection[str], left_out: int, mark: str) -> Made:
        """Quantize with some passes; of the samples one in `left_out` is not looked at by those that round."""
        base, left = self._prepared(base, passes, mark)
        drafted = replace(self._draft(base, f"draft{mark}"), left=left)
        rounding = tuple(name for name in passes if name not in BEFORE_CALIBRATION)
        if not rounding:
            return drafted
        draft = (drafted.file, drafted.spread[0], self.spec.symmetric_activations)
        args = (rounding, drafted.reference, draft, (self.calibration, left_out), CORES)
        recovered = self.runner.run("recover", Recovered, recover, *args, label=f"recover{mark}")
        made, ranges = recovered.artifact, recovered.artifact.ranges
        parts = recovered.part(made.reference), recovered.part(ranges) if ranges else None
        again = self._file(drafted.engine, parts[0], (parts[1], None), as_made(self.spec), f"quantize{mark}")
        return replace(again, reference=drafted.reference, spread=drafted.spread, left=left)

    def _prepared(
        self, base: Entry[Reference], passes: Collection[str], mark: str
    ) -> tuple[Entry[Reference], tuple[str, ...]]:
        """Rewrite the reference without changing what it computes; tell what could not be."""
        left: tuple[str, ...] = ()
        if "equalization" in passes:
            args = (base, self.calibration, CORES)
            equalized = self.runner.run("equalize", Rewrite, equalize, *args, label=f"equalize{mark}")
            base, left = equalized.part(equalized.artifact.reference), equalized.artifact.left
        if "bias_absorption" in passes:
            args = (base, self.calibration, CORES)
            absorbed = self.runner.run("absorb", Rewrite, absorb, *args, label=f"absorb{mark}")
            base, left = absorbed.part(absorbed.artifact.reference), left + absorbed.artifact.left
        return base, left

    def _draft(self, base: Entry[Reference], label: str) -> Made:
        engine = self.runner.run("engine", Engine, choose_engine, self.spec, base)
        return self._file(engine, base, self._ranges(engine.artifact, base), self.spec, label)

    def _ranges(self, engine: Engine, reference: Entry[Reference]) -> Spread:
        if not self.spec.calibrated or engine.name == "converter":  # which calibrates by itself
            return None, None
        ranges = self.runner.run("calibrate", Ranges, calibrate, reference, self.calibration, CORES)
        if not self.spec.methods & HISTOGRAM_METHODS:
            return ranges, None
        return ranges, self.runner.run("spread", Histograms, spread, reference, self.calibration, ranges, CORES)

    def _file(
        self, engine: Entry[Engine], reference: Entry[Reference], ranges: Spread, spec: Quantization, label: str
    ) -> Made:
        worker: Kind = self.runner.keras if engine.artifact.name in ("converter", "mlir") else "plain"
        samples = self.calibration if engine.artifact.name == "converter" and spec.calibrated else None
        args = (spec, engine, reference, samples, ranges)
        file = self.runner.run("quantize", QuantizedModel, quantize, *args, worker=worker, label=label)
        return Made(file, engine, reference, ranges)


def _told(asked: str | Collection[str], used: Collection[str], left: Collection[str]) -> dict[str, Any]:
    return {
        "asked": asked if isinstance(asked, str) else list(asked),
        "used": list(used),
        "left": list(left),
        "tried": [],
        "judged_on": 0,
    }
