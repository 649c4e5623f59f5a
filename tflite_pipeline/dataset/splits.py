"""The rules of all splits and a table come in, the rows of one split go out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tflite_pipeline.dataset.drawing import draw_order
from tflite_pipeline.dataset.mistakes import listed, slice_bounds
from tflite_pipeline.dataset.spec import SplitRule
from tflite_pipeline.dataset.table import Array, Table
from tflite_pipeline.errors import StageError


def split_rows(splits: Mapping[str, SplitRule], split: str, table: Table, seed: int) -> Array:
    """Give the rows of a split, int64.

    Rows of ratio, slice and group splits ascend, listed rows keep their order. Slices and listed rows count the rows
    that no group holds. Ratio splits share out, by class and disjointly, the rows that no other split names.

    Raises:
        StageError: where the split is unknown or empty, or names rows that the source does not have.
    """
    if split not in splits:
        raise StageError(f"there is no split '{split}'; there are {listed(splits)}.", "Correct dataset.splits.")
    if split in table.groups:
        rows = np.asarray(table.groups[split], np.int64)
    elif splits[split].ratio is not None:
        rows = _by_ratio(splits, split, table, seed)
    else:
        rows = _named(split, splits[split], _free_rows(table))
    if not len(rows):
        raise StageError(
            f"split '{split}' must hold at least one row. Got none of the {table.count} rows of the source.",
            f"Correct dataset.splits.{split}.",
        )
    return rows


def _free_rows(table: Table) -> Array:
    free = np.ones(table.count, bool)
    for group in table.groups.values():
        free[group.start : group.stop] = False
    return np.flatnonzero(free).astype(np.int64)


def _named(split: str, rule: SplitRule, free: Array) -> Array:
    remedy = f"Correct dataset.splits.{split}."
    if rule.rows is not None:
        if past := [row for row in rule.rows if row >= len(free)]:
            raise StageError(
                f"split '{split}' must name rows below {len(free)}, the number of rows. Got {listed(past[:10])}.",
                remedy,
            )
        return free[np.asarray(rule.rows, np.int64)]
    if rule.slice is not None:
        start, stop = slice_bounds(rule.slice)
        if start >= len(free) or (stop or 0) > len(free):
            raise StageError(f"split '{split}' must lie within {len(free)} rows. Got '{rule.slice}'.", remedy)
        return free[start:stop]
    raise StageError(f"split '{split}' has no rule that this source can follow.", remedy)


def _by_ratio(splits: Mapping[str, SplitRule], split: str, table: Table, seed: int) -> Array:
    free = _free_rows(table)
    named = [_named(name, rule, free) for name, rule in splits.items() if rule.rows is not None or rule.slice]
    rest = np.setdiff1d(free, np.concatenate(named)) if named else free
    order = draw_order(rest, table.class_labels, seed, "splits")
    start = 0.0
    for name, rule in splits.items():
        stop = start + (rule.ratio or 0.0)
        if name == split:
            return np.sort(order[_share(start, len(order)) : _share(stop, len(order))])
        start = stop
    return order[:0]


def _share(ratio: float, count: int) -> int:
    return int(np.floor(ratio * count + 0.5))
