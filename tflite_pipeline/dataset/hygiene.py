"""Calibration samples to what is wrong or doubtful about them, before anything slow begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tflite_pipeline.artifacts import Finding, Hygiene, Samples
from tflite_pipeline.dataset.table import Array
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.rows import read_blocks

FEW, ENOUGH = 50, 100
"""Below the first is a warning, below the second a note.

Of n + 1 values drawn alike each is as likely as any other to be the largest, or the smallest. So the next sample goes
past a range taken from n with a chance of 2 / (n + 1) at most: 4 % at 50, 2 % at 100. LiteRT's guide asks for 100 to
500.
"""
FIRST_ROWS, FIRST_CLASSES = 5, 10


@dataclass(frozen=True)
class Case:
    """What the rules look at; `evaluation` is None where nothing is evaluated."""

    samples: Samples
    evaluation: Samples | None


def inspect(samples: Samples, evaluation: Samples | None, out: Path) -> Hygiene:
    """Apply all rules in their order; nothing is written.

    Raises StageError where the samples cannot calibrate anything: all of them alike, or each of one value.
    """
    del out
    case = Case(samples, evaluation)
    found = {name: rule(case) for name, rule in RULES.items()}
    return Hygiene(tuple({"rule": name, "level": level, "text": text} for name, (level, text) in found.items()))


def _duplicates(case: Case) -> Finding:
    samples = case.samples
    if samples.count > 1 and len(set(samples.digests)) == 1:
        raise StageError(
            f"calibration has {samples.count} samples, all of them the same one: its ranges fit no other.",
            "Look at how the data was made: next(iter(ds)) in a loop gives the first sample every time. "
            "Go through ds once instead.",
        )
    seen: set[str] = set()
    again = []
    for row, digest in zip(samples.rows, samples.digests, strict=True):
        if digest in seen:
            again.append(row)
        seen.add(digest)
    if not again:
        return "passed", "all samples are different."
    text = f"{len(again)} of {samples.count} samples are the same as an earlier one ({_rows(again)})"
    return "warning", f"{text}: they add nothing to the ranges. Take them out of the data."


def _constant(case: Case) -> Finding:
    samples = case.samples
    found = _one_valued(samples)
    if found is None:
        return "note", "not checked whether a sample is one value all over: samples are single numbers."
    positions = np.flatnonzero(found).tolist()
    if len(positions) == samples.count:
        raise StageError(
            f"calibration has {samples.count} samples, and each is one value all over: their ranges fit no real input.",
            "Look at the data and at dataset.preprocessing: a cast to integers of values below 1, or a scale factor "
            "near 0, leaves a single value.",
        )
    if not positions:
        return "passed", "no sample is one value all over."
    rows = _rows([samples.rows[position] for position in positions])
    text = f"{len(positions)} of {samples.count} samples are one value all over, as a black image is ({rows})."
    return "warning", f"{text} Take them out of the data if that is not meant."


def _one_valued(samples: Samples) -> Array | None:
    """Tell for each sample whether each of its inputs is one value; None where no input can hold more than one."""
    found: Array | None = None
    for path in samples.inputs.values():
        if np.load(path, mmap_mode="r")[:1].size > 1:
            here = np.concatenate([block.min(axis=1) == block.max(axis=1) for block in read_blocks(path)])
            found = here if found is None else found & here
    return found


def _count(case: Case) -> Finding:
    different = len(set(case.samples.digests))
    told = _counted(different, "different sample")
    if different >= ENOUGH:
        return "passed", f"{told}, {ENOUGH} or more."
    chance = f"{200 / (different + 1):.0f} %"
    text = f"{told}: a new one goes past the range of a tensor with a chance of up to {chance}."
    advice = f"Set dataset.calibration.samples to {ENOUGH} or more; 100 to 500 are usual."
    return ("warning" if different < FEW else "note"), f"{text} {advice}"


def _classes(case: Case) -> Finding:
    told, checked, why = [], 0, "the samples have no class labels"
    for name, path in case.samples.labels.items():
        present, expected = _class_numbers(path), _expected(case, name)
        if present is None:
            continue
        checked, why = checked + len(expected), "neither dataset.classes nor evaluation labels tell the classes"
        if missing := sorted(expected - present):
            names = _named(missing, case.samples.classes)
            told.append(f"{len(missing)} of {len(expected)} classes{f' of {name!r}' if name else ''} ({names})")
    if not checked:
        return "note", f"not checked whether every class has a sample: {why}."
    if not told:
        return "passed", "every class has a sample."
    text = f"no sample of {', nor of '.join(told)}."
    return (
        "warning",
        f"{text} Set dataset.calibration.samples higher, or name rows of them in dataset.calibration.rows.",
    )


def _expected(case: Case, name: str) -> set[int]:
    """Give the classes that there are: those that the source names, else those of the evaluation samples."""
    if case.samples.classes and len(case.samples.labels) == 1:
        return set(range(len(case.samples.classes)))
    path = case.evaluation.labels.get(name) if case.evaluation else None
    return (_class_numbers(path) or set()) if path else set()


def _class_numbers(path: Path) -> set[int] | None:
    labels = np.load(path, mmap_mode="r")
    return set(np.unique(labels).tolist()) if labels.ndim == 1 and labels.dtype.kind in "iu" else None


def _named(numbers: Sequence[int], classes: Sequence[str]) -> str:
    names = [classes[number] if number < len(classes) else str(number) for number in numbers[:FIRST_CLASSES]]
    return ", ".join(names) + (", …" if len(numbers) > FIRST_CLASSES else "")


def _overlap(case: Case) -> Finding:
    samples = case.samples
    if case.evaluation is None:
        return "note", "not checked whether samples are used for evaluation too: nothing is evaluated."
    judged = set(case.evaluation.digests)
    shared = [row for row, digest in zip(samples.rows, samples.digests, strict=True) if digest in judged]
    if shared:
        text = f"{len(shared)} of {samples.count} samples are used for evaluation too ({_rows(shared)})"
        return "warning", f"{text}: the metrics may look better than they are. Use another split."
    if samples.passed_over:
        rows = _counted(samples.passed_over, "row")
        return "note", f"{rows} of split '{samples.split}' passed over: evaluation uses the same samples."
    return "passed", "no sample is used for evaluation too."


def _noise(case: Case) -> Finding:
    if case.samples.synthetic:
        text = "the samples are synthetic noise: their ranges fit no real input, and accuracy gates cannot pass."
        return "warning", f"{text} Use them for smoke runs only."
    return "passed", "the samples are not synthetic noise."


def _rows(rows: Sequence[int]) -> str:
    more = ", …" if len(rows) > FIRST_ROWS else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:FIRST_ROWS]))}{more}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


RULES: dict[str, Callable[[Case], Finding]] = {
    "duplicates": _duplicates,
    "constant": _constant,
    "count": _count,
    "classes": _classes,
    "overlap": _overlap,
    "noise": _noise,
}
