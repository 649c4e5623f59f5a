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
        engine = self.runner.run("engine", Engine, choose_engine, self.spec, base)
        if not self.spec.recovery:
            return self._draft(engine, base, label)
        args = (engine, base, self.spec.recovery)
        why = self.runner.run("obstacle", Obstacle, find_obstacle, *args, label="recoverable").artifact.why
        if why:
            return replace(self._draft(engine, base, label), recovery=_told("auto", (), (f"not tried: {why}.",)))
        # What recovery leaves has other weights than the SavedModel.
        alone = base.part(replace(base.artifact, saved_model=None), "alone")
        if self.spec.recovery == "auto":
            return self._best(engine, alone)
        asked = list(self.spec.recovery)
        made = self._rounded(self._prepared(engine, alone, asked, ""), asked, 0, "")
        return replace(made, recovery=_told(asked, asked, made.left))

    def again(self, engine: Entry[Engine], reference: Entry[Reference], ranges: Entry[Ranges] | None) -> Made:
        """Quantize a reference whose weights and ranges were made for the file."""
        return self._file(engine, reference, (ranges, None), as_made(self.spec), "quantize")

    def _best(self, engine: Entry[Engine], base: Entry[Reference]) -> Made:
        """Try the candidates, and keep the simplest of those that come nearest to the float network."""
        drafts: dict[tuple[str, ...], Made] = {}
        tried: list[tuple[tuple[str, ...], Made]] = []
        for number, passes in enumerate(CANDIDATES, 1):
            mark = f" {number} of {len(CANDIDATES)}"
            before = tuple(name for name in passes if name in BEFORE_CALIBRATION)
            if before not in drafts:
                drafts[before] = self._prepared(engine, base, before, mark)
            tried.append((passes, self._rounded(drafts[before], passes, HELD_OUT, mark)))
        files = tuple((passes, made.file) for passes, made in tried)
        args = (base, files, self.calibration, CORES)
        choice = self.runner.run("recovery", RecoveryChoice, choose_recovery, *args).artifact
        made = next(made for passes, made in tried if passes == choice.passes)
        told = _told("auto", choice.passes, made.left) | {"tried": list(choice.rows), "judged_on": choice.samples}
        return replace(made, recovery=told)

    def _prepared(self, engine: Entry[Engine], base: Entry[Reference], passes: Collection[str], mark: str) -> Made:
        """Rewrite the reference without changing what it computes, and quantize it; tell what could not be."""
        left: tuple[str, ...] = ()
        args = (self.calibration, CORES)
        if "equalization" in passes:
            equalized = self.runner.run("equalize", Rewrite, equalize, base, *args, label=f"equalize{mark}")
            base, left = equalized.part(equalized.artifact.reference), equalized.artifact.left
        if "bias_absorption" in passes:
            absorbed = self.runner.run("absorb", Rewrite, absorb, base, *args, label=f"absorb{mark}")
            base, left = absorbed.part(absorbed.artifact.reference), left + absorbed.artifact.left
        return replace(self._draft(engine, base, f"draft{mark}"), left=left)

    def _rounded(self, drafted: Made, passes: Collection[str], left_out: int, mark: str) -> Made:
        """Choose kernels and biases; of the samples one in `left_out` is not looked at."""
        rounding = tuple(name for name in passes if name not in BEFORE_CALIBRATION)
        if not rounding:
            return drafted
        draft = (drafted.file, drafted.spread[0], self.spec.symmetric_activations)
        args = (rounding, drafted.reference, draft, (self.calibration, left_out), CORES)
        recovered = self.runner.run("recover", Recovered, recover, *args, label=f"recover{mark}")
        made, ranges = recovered.artifact, recovered.artifact.ranges
        parts = recovered.part(made.reference), recovered.part(ranges) if ranges else None
        again = self._file(drafted.engine, parts[0], (parts[1], None), as_made(self.spec), f"quantize{mark}")
        return replace(again, reference=drafted.reference, spread=drafted.spread, left=drafted.left)

    def _draft(self, engine: Entry[Engine], base: Entry[Reference], label: str) -> Made:
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
