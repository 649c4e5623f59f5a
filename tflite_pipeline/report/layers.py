"""The errors of all ops in; those that are worth a look, and where each one loses, out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WORST = 10
MOST_ROWS = 200
"""Ops of the table of all: more are cut to those with the least SQNR."""

Row = dict[str, Any]


def worst_layers(rows: Sequence[Row], most: int = WORST) -> list[Row]:
    """Give the ops that add most error to what they read, most first; ops that add none are left out."""
    added = [(added_noise(row), row) for row in rows]
    ranked = sorted((pair for pair in added if pair[0] > 0), key=lambda pair: -pair[0])
    return [row for _, row in ranked[:most]]


def added_noise(row: Row) -> float:
    """Give the power of the error that an op adds, as a share of that of what it puts out."""
    after, before = row["sqnr_db"], row["before_db"]
    if after is None:
        return 0.0
    return float(10 ** (-after / 10) - (0.0 if before is None else 10 ** (-before / 10)))


def shown_layers(rows: Sequence[Row]) -> list[tuple[int, Row]]:
    """Give ops with their numbers, in the order of the graph: all, or of many those with the least SQNR."""
    numbered = list(enumerate(rows, 1))
    if len(numbered) <= MOST_ROWS:
        return numbered
    lowest = sorted(numbered, key=lambda pair: float("inf") if pair[1]["sqnr_db"] is None else pair[1]["sqnr_db"])
    return sorted(lowest[:MOST_ROWS], key=lambda pair: pair[0])
