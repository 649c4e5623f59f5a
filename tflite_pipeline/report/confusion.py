"""A confusion table of both files in; what changed from float to quantized, as a square or as lists, out."""

from __future__ import annotations

from typing import Any

LARGEST_SQUARE = 30
"""Classes of which a square can still be read."""
MOST_PAIRS, MOST_CLASSES = 20, 10

Table = dict[str, Any]


def changes(table: Table) -> list[list[dict[str, Any]]]:
    """Spread a table over a square of cells, true class by predicted class.

    A cell is `{count, change, kind, share}`: how often in the quantized file, how much more often than in float,
    "better" or "worse" or "" where nothing changed, and the size of the change beside the largest one.
    """
    before, after = _counts(table, "reference"), _counts(table, "quantized")
    size = range(len(table["classes"]))
    largest = max((abs(after.get(key, 0) - before.get(key, 0)) for key in before | after), default=0) or 1

    def cell(true: int, taken: int) -> dict[str, Any]:
        change = after.get((true, taken), 0) - before.get((true, taken), 0)
        kind = "" if not change else "better" if (change > 0) == (true == taken) else "worse"
        return {"count": after.get((true, taken), 0), "change": change, "kind": kind, "share": abs(change) / largest}

    return [[cell(true, taken) for taken in size] for true in size]


def pairs(table: Table) -> list[dict[str, Any]]:
    """List the pairs of classes that are confused, those that changed most first: `{true, taken, before, after}`."""
    before, after = _counts(table, "reference"), _counts(table, "quantized")
    names = table["classes"]
    keys = [key for key in before | after if key[0] != key[1]]
    keys.sort(key=lambda key: (-abs(after.get(key, 0) - before.get(key, 0)), -after.get(key, 0), key))
    return [
        {"true": names[true], "taken": names[taken], "before": before.get(key, 0), "after": after.get(key, 0)}
        for key in keys
        for true, taken in [key]
    ]


def recalls(table: Table) -> list[dict[str, Any]]:
    """List the classes by how much of their recall was lost, most first: `{number, name, before, after}`."""
    sides = zip(table["classes"], table["recall"]["reference"], table["recall"]["quantized"], strict=True)
    rows = [
        {"number": number, "name": name, "before": before, "after": after}
        for number, (name, before, after) in enumerate(sides)
        if before is not None and after is not None
    ]
    return sorted(rows, key=lambda row: (row["after"] - row["before"], row["number"]))


def _counts(table: Table, side: str) -> dict[tuple[int, int], int]:
    return {(true, taken): count for true, taken, count in table[side]}
