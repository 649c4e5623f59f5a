"""The `dataset` section comes in; what its parts get wrong about each other goes out. Must stay quick: no numpy."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tflite_pipeline.errors import did_you_mean
from tflite_pipeline.spec import Mistake

if TYPE_CHECKING:
    from tflite_pipeline.dataset.spec import Npz, Rows, SplitRule
    from tflite_pipeline.dataset.steps import Step

ROLES = ("training", "calibration", "evaluation")


def listed(names: Any) -> str:
    """Join names for a message; `none` where there is none."""
    return ", ".join(map(str, names)) or "none"


def split_mistakes(splits: dict[str, SplitRule], source: str, total: int | None) -> Iterator[Mistake]:
    """Tell rules that contradict themselves, the source, or its number of rows where that is known."""
    ratios = [rule.ratio for rule in splits.values() if rule.ratio is not None]
    if sum(ratios) > 1 + 1e-9:
        yield ("splits",), f"must have ratios that add up to at most 1. Got {sum(ratios):g}."
    own = {"image_folder": {"folder"}, "npz": {"inputs", "labels"}}.get(source, set())
    for name, rule in splits.items():
        given = {key for key in type(rule).model_fields if getattr(rule, key) is not None}
        kinds = sorted(given - {"labels"})
        if len(kinds) != 1:
            yield ("splits", name), f"must have one of ratio, slice, rows, folder, inputs. Got {listed(kinds)}."
        for key in sorted(given & {"folder", "inputs", "labels"} - own):
            yield ("splits", name, key), f"must be left out with source: {source}."
        if rule.labels is not None and rule.inputs is None and source == "npz":
            yield ("splits", name, "labels"), "must come with inputs of the same split. Got labels alone."
        yield from _row_mistakes(("splits", name), rule, total)


def _row_mistakes(path: tuple[str, str], rule: SplitRule, total: int | None) -> Iterator[Mistake]:
    if rule.rows is not None:
        yield from listed_row_mistakes((*path, "rows"), rule.rows, total)
    if rule.slice is None:
        return
    start, stop = slice_bounds(rule.slice)
    if stop is not None and stop <= start:
        yield (*path, "slice"), f"must hold at least one row. Got '{rule.slice}'."
    elif total is not None and (start >= total or (stop or 0) > total):
        yield (*path, "slice"), f"must lie within the {total} rows of the source. Got '{rule.slice}'."


def listed_row_mistakes(path: tuple[str, ...], rows: tuple[int, ...], total: int | None) -> Iterator[Mistake]:
    """Tell a list of rows that is empty, names a row twice or goes past `total`."""
    if not rows:
        yield path, "must name at least one row. Got none."
    if twice := sorted({row for row in rows if rows.count(row) > 1} if len(set(rows)) < len(rows) else ()):
        yield path, f"must name each row once. Got {listed(twice)} more than once."
    if total is not None and (past := [row for row in rows if row >= total]):
        yield path, f"must be below {total}, the number of rows there. Got {listed(past)}."


def slice_bounds(text: str) -> tuple[int, int | None]:
    """Read `start:stop`; stop is None where it is left open."""
    start, _, stop = text.partition(":")
    return int(start or 0), int(stop) if stop else None


def known_count(rule: SplitRule, total: int | None) -> int | None:
    """Give the number of rows of a split where the recipe alone tells it."""
    if rule.rows is not None:
        return len(rule.rows)
    if rule.slice is None:
        return None
    start, stop = slice_bounds(rule.slice)
    end = total if stop is None else stop
    return None if end is None else max(end - start, 0)


def role_mistakes(role: str, rows: Rows, splits: dict[str, SplitRule], total: int | None) -> Iterator[Mistake]:
    """Tell an unknown split, and rows or samples that the split cannot have."""
    if rows.split not in splits:
        hint = did_you_mean(rows.split, splits)
        yield (role, "split"), f"must be one of {listed(splits)}. Got '{rows.split}'.{hint}"
        return
    count = known_count(splits[rows.split], total)
    if rows.samples is not None and rows.rows is not None:
        yield (role,), "must have samples or rows. Got both."
    if rows.rows is not None:
        yield from listed_row_mistakes((role, "rows"), rows.rows, count)
    if rows.samples is not None and count is not None and rows.samples > count:
        yield (role, "samples"), f"must be at most {count}, all that split '{rows.split}' has. Got {rows.samples}."


def overlap_mistakes(role: str, rows: Rows, evaluation: Rows) -> Iterator[Mistake]:
    """Tell a role that would learn from the samples that the result is judged by."""
    if rows.split != evaluation.split:
        return
    if evaluation.rows is not None and rows.rows is not None:
        if shared := sorted(set(rows.rows) & set(evaluation.rows)):
            yield (role, "rows"), f"must not be evaluation rows. Got {listed(shared)} in both."
    elif evaluation.samples is None and evaluation.rows is None:
        text = f"must not be the split of which evaluation uses every row. Got '{rows.split}' for both."
        yield (role, "split"), text
    elif role == "training":
        yield (role, "split"), f"must not be the split that evaluation draws from. Got '{rows.split}' for both."


def preprocessing_mistakes(preprocessing: dict[str, tuple[Step, ...]], names: set[str] | None) -> Iterator[Mistake]:
    """Tell steps without or with two names, and steps for inputs that are not there."""
    for name, steps in preprocessing.items():
        if names is not None and name not in names:
            yield ("preprocessing", *([name] if name else [])), _unknown_input(name, names)
        for position, step in enumerate(steps):
            if len(step.chosen()) != 1:
                got = listed(key for key, _ in step.chosen())
                yield ("preprocessing", *([name] if name else []), position), f"must have one step. Got {got}."


def _unknown_input(name: str, names: set[str]) -> str:
    if names == {""}:
        return f"must be a list of steps, for the only input. Got steps for '{name}'."
    got = f"'{name}'" if name else "a bare list"
    return f"must be steps by input name ({listed(sorted(names))}). Got {got}.{did_you_mean(name, names)}"


def range_mistakes(
    declared: tuple[float, ...] | dict[str, tuple[float, ...]] | None, names: set[str] | None
) -> Iterator[Mistake]:
    """Tell a range that holds no values, and ranges for inputs that are not there."""
    if declared == {}:
        yield ("range",), "must be [low, high], or such by input name. Got nothing."
    ranges: dict[tuple[str, ...], tuple[float, ...]] = {}
    if isinstance(declared, dict):
        ranges = {("range", name): bounds for name, bounds in declared.items()}
    elif declared is not None:
        ranges = {("range",): declared}
    for path, (low, high) in ranges.items():
        if names is not None and not names.issuperset(path[1:]):
            yield path, _unknown_range(path[1], names)
        elif low >= high:
            yield path, f"must be [low, high] with low below high. Got [{low:g}, {high:g}]."


def _unknown_range(name: str, names: set[str]) -> str:
    if names == {""}:
        return (
            f"must be left out: the only input has no name. Got a range for '{name}'. Did you mean range: [low, high]?"
        )
    return f"must be the name of an input ({listed(sorted(names))}). Got '{name}'.{did_you_mean(name, names)}"


def by_name(arrays: str | dict[str, str] | None) -> dict[str, str]:
    """Give arrays by name; a bare array is under the empty name."""
    return {"": arrays} if isinstance(arrays, str) else dict(arrays or {})


def npz_mistakes(spec: Npz) -> Iterator[Mistake]:
    """Tell a missing or damaged file, arrays that it does not hold, and splits whose inputs differ in name."""
    own = [name for name, rule in spec.splits.items() if rule.inputs is not None]
    if spec.inputs is None and len(own) < len(spec.splits):
        yield ("inputs",), "must name the array of the inputs, or every split must name its own. Got neither."
    if spec.inputs is not None and own and len(own) == len(spec.splits):
        yield ("inputs",), "must be left out where every split names its own. Got both."
    if spec.labels is not None and spec.inputs is None:
        yield ("labels",), "must come with inputs; splits that name their own inputs name their labels too. Got none."
    named = [
        set(by_name(inputs)) for inputs in (spec.inputs, *(rule.inputs for rule in spec.splits.values())) if inputs
    ]
    if any(other != named[0] for other in named[1:]):
        groups = sorted({f"({listed(sorted(group))})" for group in named})
        yield ("splits",), f"must name the same inputs everywhere. Got {' and '.join(groups)}."
    yield from _array_mistakes(spec)


def _array_mistakes(spec: Npz) -> Iterator[Mistake]:
    members = _members(spec.path)
    if isinstance(members, str):
        yield ("path",), members
        return
    owners: dict[tuple[str, ...], Npz | SplitRule] = {(): spec}
    owners |= {("splits", name): rule for name, rule in spec.splits.items()}
    for path, owner in owners.items():
        for key, arrays in (("inputs", owner.inputs), ("labels", owner.labels)):
            for array in sorted(set(by_name(arrays).values()) - set(members)):
                hint = did_you_mean(array, members)
                yield (*path, key), f"must be an array of '{spec.path.name}' ({listed(members)}). Got '{array}'.{hint}"


def _members(path: Path) -> list[str] | str:
    if not path.is_file():
        return f"must be an .npz file. Got '{path}', which {'is a folder' if path.is_dir() else 'does not exist'}."
    if not zipfile.is_zipfile(path):
        return f"must be an .npz file. Got '{path.name}', which is damaged or another kind."
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def folder_mistakes(path: Path, splits: dict[str, SplitRule]) -> Iterator[Mistake]:
    """Tell folders that are not there, and splits of which only some name their folder."""
    if not path.is_dir():
        yield ("path",), f"must be a folder. Got '{path}', which does not exist."
        return
    named = {name: path / rule.folder for name, rule in splits.items() if rule.folder}
    for name, folder in named.items():
        if not folder.is_dir():
            yield ("splits", name, "folder"), f"must be a folder. Got '{folder}', which does not exist."
    if named and len(named) < len(splits):
        bare = listed(name for name in splits if name not in named)
        yield ("splits",), f"must name a folder for every split or for none. Got none for {bare}."
