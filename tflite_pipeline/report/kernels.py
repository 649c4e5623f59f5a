"""The kernel matrix of a report in; what it says in one line out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CALLED = {"builtin": "built-in", "reference": "reference"}


def kernels_text(kernels: Mapping[str, Any]) -> str:
    """Tell how much of the file XNNPACK runs, and how LiteRT's other kernels compare with it."""
    if not kernels["rows"]:
        return "not compared: there are no evaluation samples"
    taken = max((row["delegated"] or 0 for row in kernels["rows"]), default=0)
    parts = [f"XNNPACK runs {taken} of {kernels['ops']} ops"]
    for kind, called in CALLED.items():
        ran = [row for row in kernels["rows"] if row["kernels"] == kind and not row["error"]]
        if ran:
            parts.append(f"{called} kernels: {_same_class(ran)}{_apart(ran)}")
        else:
            parts.append(f"{called} kernels cannot run the file")
    return "; ".join(parts)


def _same_class(rows: Sequence[Mapping[str, Any]]) -> str:
    """Tell of the row with most flips in proportion; rows of one kind of kernels have flips all, or none."""
    worst = max(rows, key=lambda row: ((row["flips"] or 0) / row["samples"], row["samples"]))
    if worst["flips"] is None:
        return f"on {worst['samples']} samples "
    return f"same class on {worst['samples'] - worst['flips']} of {worst['samples']} samples, "


def _apart(rows: Sequence[Mapping[str, Any]]) -> str:
    largest: dict[str, float] = {}
    for row in rows:
        for difference in row["difference"].values():
            for unit, number in difference.items():
                largest[unit] = max(number, largest.get(unit, 0))
    if not any(largest.values()):
        return "equal to the last bit"
    texts = {"lsb": "{:g} LSB", "absolute": "{:.2g}"}
    return f"at most {' and '.join(texts[unit].format(number) for unit, number in largest.items() if number)} apart"
