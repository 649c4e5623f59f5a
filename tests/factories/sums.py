"""Stages that add numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import progress


@dataclass(frozen=True)
class Sum:
    """A small artifact."""

    value: int


def add(left: int, right: int, out: Path) -> Sum:
    progress.advance(1, 1, "adding")
    return Sum(left + right)


def add_all(terms: tuple[Sum, ...], out: Path) -> Sum:
    return Sum(sum(term.value for term in terms))


def fail(out: Path) -> Sum:
    raise StageError("no")
