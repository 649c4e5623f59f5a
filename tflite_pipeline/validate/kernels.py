"""A quantized file and evaluation samples in; whether all of LiteRT's kernels compute the same for it out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Kernels, Predictions, Samples
from tflite_pipeline.runtime import inference, litert
from tflite_pipeline.runtime.output_steps import output_steps
from tflite_pipeline.runtime.progress import tracked
from tflite_pipeline.runtime.rows import PickedRows, spread_rows
from tflite_pipeline.runtime.trials import FEWEST, Trial, Variant, try_kernels
from tflite_pipeline.validate.compare import output_of
from tflite_pipeline.validate.outputs import Output, side_by_side
from tflite_pipeline.validate.scores import value
from tflite_pipeline.validate.spec import MetricRow

Array = npt.NDArray[Any]

MOST_SAMPLES = 200
ONE_THREAD_SECONDS = 0.15
MORE_THREADS_SECONDS = 0.03
"""A few samples do: threads hardly ever change what is computed."""
APART = 0.1
"""Of what an output varies by from sample to sample, in power: a larger difference is no matter of rounding."""
FEW_STEPS = 2
FLOAT_STEP = 1e-4
"""Of the largest output, by which float kernels may well differ: they add up in another order."""
FLIPS = 0.01
"""Share of the samples above which other classes are told."""

NAMES: dict[litert.Kernels, str] = {"xnnpack": "XNNPACK", "builtin": "built-in", "reference": "reference"}


def run_kernels(
    path: Path,
    metrics: tuple[MetricRow, ...],
    predictions: tuple[Predictions, Predictions],
    samples: Samples,
    threads: int,
    out: Path,
) -> Kernels:
    """Run a file with XNNPACK, with LiteRT's own optimized and with its reference kernels, on one thread and on all.

    `predictions` are those of the reference and of the file, by XNNPACK: what the gates saw, and what every variant is
    compared with. Each computes as many samples, from all over the evaluation split, as there is time for. Kernels that
    refuse the file, or end their process, give a row that says so. Nothing is written.
    """
    del out
    order = np.random.default_rng(0).permutation(spread_rows(samples.count, MOST_SAMPLES))
    inputs = inference.inputs_of(samples).items()
    job = inference.plan(path, {name: PickedRows(rows, tuple(order.tolist())) for name, rows in inputs})
    outputs = side_by_side({"reference": predictions[0], "quantized": predictions[1]}, samples)
    names = [info.name for info in job.outputs] if len(outputs) > 1 else list(outputs)
    table = _Table(metrics, outputs, order, names, dict(zip(names, output_steps(path).values(), strict=True)))
    variants = _variants(threads)
    trials = list(tracked(try_kernels(job, variants), len(variants), "trying kernels"))
    rows = [table.row(trial) for trial in trials]
    return Kernels(
        {
            "samples": max(row["samples"] for row in rows),
            "ops": max(trial.ops for trial in trials),
            "rows": rows,
            "spread": {name: table.largest(rows, name) for name in names},
            "tested": table.tested(rows, trials),
            "findings": list(_findings(rows)),
        }
    )


def _variants(threads: int) -> list[Variant]:
    kinds: tuple[litert.Kernels, ...] = get_args(litert.Kernels)
    counts = {threads: MORE_THREADS_SECONDS} | {1: ONE_THREAD_SECONDS}
    return [Variant(kind, count, counts[count]) for kind in kinds for count in sorted(counts)]


@dataclass(frozen=True)
class _Table:
    """What the gates saw of all samples, the order in which some of them are looked at, and what a step of each means.

    `names` are the outputs in the order of the file.
    """

    metrics: tuple[MetricRow, ...]
    outputs: Mapping[str, Output]
    order: Array
    names: Sequence[str]
    steps: Mapping[str, float | None]

    def row(self, trial: Trial) -> dict[str, Any]:
        """Compare a variant with what the gates saw of the same samples."""
        seen = {name: self.outputs[name].picked(self.order[: trial.count]) for name in self.names}
        found = dict(zip(self.names, trial.outputs, strict=True)) if not trial.error else {}
        error = trial.error or _misfit(seen, found)
        row = {
            "kernels": trial.variant.kernels,
            "threads": trial.variant.threads,
            "samples": 0 if error else trial.count,
            "ms": None if error else trial.milliseconds,
            "delegated": None if error else trial.delegated,
            "error": error,
        }
        return row | (_nothing() if error else self._compared(seen, found))

    def _compared(self, seen: dict[str, Output], found: Mapping[str, Array]) -> dict[str, Any]:
        other = {
            name: replace(output, sides={**output.sides, "quantized": found[name]}) for name, output in seen.items()
        }
        ranked = {output_of(row, seen).name for row in self.metrics if row.metric in ("top1", "top5")}
        flips = [seen[name].predicted("quantized") != other[name].predicted("quantized") for name in ranked]
        gaps = self._gaps(seen, found)
        return {
            "metrics": {row.key: {"value": _score(row, other), "gates": _score(row, seen)} for row in self.metrics},
            "flips": int(np.any(flips, axis=0).sum()) if flips else None,
            "difference": {name: gap.told() for name, gap in gaps.items()},
            "differing": sum(gap.differing for gap in gaps.values()) / max(1, sum(gap.values for gap in gaps.values())),
            "apart": any(gap.apart for gap in gaps.values()),
        }

    def _gaps(self, seen: Mapping[str, Output], found: Mapping[str, Array]) -> dict[str, _Gap]:
        return {name: _Gap.between(seen[name].sides["quantized"], found[name], self.steps[name]) for name in self.names}

    def tested(self, rows: Sequence[Mapping[str, Any]], trials: Sequence[Trial]) -> list[dict[str, Any]]:
        """Give by sample the largest difference, for the first ones: all variants compute those, on every host."""
        sound = [trial for row, trial in zip(rows, trials, strict=True) if row["samples"] and not row["apart"]]
        count = min(FEWEST, *(trial.count for trial in sound)) if sound else 0
        told = []
        for place in range(count):
            seen = {name: self.outputs[name].picked(self.order[place : place + 1]) for name in self.names}
            found = [[array[place : place + 1] for array in trial.outputs] for trial in sound]
            gaps = [self._gaps(seen, dict(zip(self.names, arrays, strict=True))) for arrays in found]
            difference = {name: max((each[name] for each in gaps), key=lambda gap: gap.largest) for name in self.names}
            told.append(
                {"sample": int(self.order[place]), "difference": {n: gap.told() for n, gap in difference.items()}}
            )
        return told

    def largest(self, rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, float]:
        """Give the largest difference of an output among the kernels that compute the same."""
        unit = "lsb" if self.steps[name] else "absolute"
        return {
            unit: max(
                (row["difference"][name][unit] for row in rows if row["difference"] and not row["apart"]), default=0
            )
        }


def _nothing() -> dict[str, Any]:
    return {"metrics": {}, "flips": None, "difference": {}, "differing": None, "apart": False}


def _misfit(seen: Mapping[str, Output], found: Mapping[str, Array]) -> str:
    """Say what of the answers cannot be compared, if anything."""
    for name, array in found.items():
        wanted = seen[name].sides["quantized"]
        if array.shape != wanted.shape:
            return f"output '{name}' has the shape {array.shape[1:]}, with XNNPACK it has {wanted.shape[1:]}"
        odd = ~(np.isfinite(array) & np.isfinite(wanted))
        if not np.array_equal(array[odd], wanted[odd]):
            return f"output '{name}' holds NaN or infinity where XNNPACK gives numbers, or the other way round"
    return ""


def _score(row: MetricRow, outputs: dict[str, Output]) -> float | None:
    found = value(row.metric, output_of(row, outputs), "quantized")
    return found if math.isfinite(found) else None


@dataclass(frozen=True)
class _Gap:
    """How far two arrays of one output are apart: the largest difference, in steps where there is one."""

    largest: float
    step: float | None
    differing: int
    values: int
    apart: bool

    @classmethod
    def between(cls, seen: Array, found: Array, step: float | None) -> _Gap:
        """Compare two arrays, first axis the samples; infinities are equal or were refused."""
        left, right = (np.where(np.isfinite(array), array, 0.0).astype(np.float64) for array in (seen, found))
        error = np.abs(right - left)
        largest = float(error.max(initial=0.0))
        usual = FEW_STEPS * step if step else FLOAT_STEP * float(np.abs(left).max(initial=0.0))
        noise, varying = np.square(error).sum(), np.square(left - left.mean(axis=0)).sum()
        apart = largest > usual * (1 + FLOAT_STEP) and noise > APART * varying
        return cls(largest, step, int((error > 0).sum()), error.size, bool(apart))

    def told(self) -> dict[str, float]:
        """Give the difference as the report has it."""
        return {"lsb": round(self.largest / self.step)} if self.step else {"absolute": self.largest}


def _findings(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Say of each kind of kernels what is worth telling, if anything; the row of one thread has the most samples."""
    for kernels, called in NAMES.items():
        own = [row for row in rows if row["kernels"] == kernels]
        if told := [(row, text) for row in own if (text := _finding(row))]:
            row, text = told[0]
            threads = "" if len(told) == len(own) else f" on {row['threads']} thread(s)"
            yield f"{called} kernels{threads} {text}"


def _finding(row: Mapping[str, Any]) -> str:
    if row["error"]:
        return f"cannot run the file: {row['error']}"
    flipped = row["flips"] or 0
    if row["apart"]:
        classes = "" if row["flips"] is None else f", another class on {flipped} of {row['samples']} samples"
        return f"compute something else than XNNPACK{classes}: an app that has only them gets wrong results"
    if flipped > max(1, FLIPS * row["samples"]):
        return f"name another class than XNNPACK on {flipped} of {row['samples']} samples"
    return ""
