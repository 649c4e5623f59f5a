"""Which rows belong to a split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tflite_pipeline.dataset.spec import SplitRule
from tflite_pipeline.dataset.splits import split_rows
from tflite_pipeline.dataset.table import Table
from tflite_pipeline.errors import StageError


def table(labels: Any = None, count: int = 10, **keys: Any) -> Table:
    return Table(count, {"": np.zeros((count, 1))}, {} if labels is None else {"": np.asarray(labels)}, **keys)


def rules(**splits: Any) -> dict[str, SplitRule]:
    kinds = {float: "ratio", str: "slice", tuple: "rows"}
    return {name: SplitRule(**{kinds[type(value)]: value}) for name, value in splits.items()}


def test_ratio_splits_are_disjoint_and_hold_classes_in_proportion() -> None:
    labels = np.repeat([0, 1, 2], [700, 200, 100])
    splits = rules(train=0.7, valid=0.1, test=0.2)
    parts = {name: split_rows(splits, name, table(labels, 1000), 3) for name in splits}
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(1000))
    counts = {name: np.bincount(labels[rows]).tolist() for name, rows in parts.items()}
    assert counts == {"train": [490, 140, 70], "valid": [70, 20, 10], "test": [140, 40, 20]}
    assert all((np.diff(rows) > 0).all() for rows in parts.values())


def test_ratio_rows_follow_from_the_seed_alone() -> None:
    """The numbers are written down: another platform or NumPy must give the same rows."""
    splits = rules(train=0.5, test=0.5)
    assert split_rows(splits, "test", table(), 0).tolist() == [2, 3, 4, 7, 8]
    assert split_rows(splits, "test", table([1, 1, 0, 0, 0, 0, 0, 0, 0, 0]), 0).tolist() == [1, 2, 3, 4, 7]
    assert (
        split_rows(splits, "test", table(count=1000), 1).tolist()
        != split_rows(splits, "test", table(count=1000), 2).tolist()
    )


def test_ratio_shares_what_no_other_split_names() -> None:
    splits = rules(test="8:", few=(0, 1), train=0.5, valid=0.5)
    train, valid = (split_rows(splits, name, table(), 0).tolist() for name in ("train", "valid"))
    assert sorted(train + valid) == [2, 3, 4, 5, 6, 7]


def test_slices_and_rows_are_taken_as_they_are() -> None:
    splits = rules(a=":3", b="7:", c=(5, 0, 9))
    assert [split_rows(splits, name, table(), 0).tolist() for name in splits] == [[0, 1, 2], [7, 8, 9], [5, 0, 9]]


def test_groups_are_apart_from_the_counted_rows() -> None:
    known = table(groups={"test": range(6, 10)})
    splits = {**rules(train="0:", half=0.5), "test": SplitRule(inputs="t")}
    assert split_rows(splits, "test", known, 0).tolist() == [6, 7, 8, 9]
    assert split_rows(splits, "train", known, 0).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("splits", "text"),
    [
        (rules(a=(3, 10)), "split 'a' must name rows below 10, the number of rows. Got 10."),
        (rules(a="5:11"), "split 'a' must lie within 10 rows. Got '5:11'."),
        (rules(a="10:"), "split 'a' must lie within 10 rows. Got '10:'."),
        (rules(a="4:2"), "split 'a' must hold at least one row."),
        (rules(a=0.01), "split 'a' must hold at least one row. Got none of the 10 rows"),
        (rules(b=0.5), "there is no split 'a'; there are b."),
        ({"a": SplitRule(folder="x")}, "split 'a' has no rule that this source can follow."),
    ],
)
def test_split_that_cannot_be_is_refused(splits: dict[str, SplitRule], text: str) -> None:
    with pytest.raises(StageError) as error:
        split_rows(splits, "a", table(), 0)
    assert text in error.value.what
    assert "dataset.splits" in error.value.remedy
