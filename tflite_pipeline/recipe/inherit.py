"""A recipe file goes in; its content laid over that of the files it extends comes out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tflite_pipeline.errors import Problem, RecipeError
from tflite_pipeline.recipe.schema import KINDS
from tflite_pipeline.recipe.yaml_text import KeyPath, Sheet, read_file, shown
from tflite_pipeline.spec import expand_variables


def read_chain(path: Path) -> Sheet:
    """Read a recipe and what it extends.

    Raises:
        RecipeError: A file of the chain is missing or no YAML, or the chain comes back to a file.
    """
    return _read(path, str(path), [])


def _read(path: Path, label: str, below: list[Path]) -> Sheet:
    sheet = read_file(path, label)
    if "extends" not in sheet.value:
        return sheet
    place = sheet.place(("extends",))
    target = sheet.value.pop("extends")
    chain = [*below, path.resolve()]
    base, text = _base(target, path)
    if base is not None and base.resolve() in chain:
        text = f"must not come back to a recipe of the chain. Got '{target}'."
    if base is None or text:
        raise RecipeError([Problem(str(place), "extends", text)])
    shown = os.path.normpath(Path(label).parent / os.path.expanduser(str(target)))
    try:
        under = _read(base, shown, chain)
    except RecipeError as error:
        here = str(place)
        problems = [p if p.where else Problem(here, "extends", p.text) for p in error.problems]
        raise RecipeError(problems) from None
    return _laid_over(under, sheet)


def _base(target: Any, path: Path) -> tuple[Path | None, str]:
    if not isinstance(target, str) or not target:
        return None, f"must be the path of a recipe. Got {shown(target)}."
    try:
        return Path(os.path.normpath(path.parent / Path(expand_variables(target)).expanduser())), ""
    except (ValueError, RuntimeError) as error:
        return None, str(error)


def _laid_over(base: Sheet, top: Sheet) -> Sheet:
    places = dict(base.places)
    value = _merged(base.value, top.value, (), places)
    for path, place in top.places.items():
        places[path] = place
    return Sheet(value, places, [*top.findings, *base.findings])


def _merged(base: Any, top: Any, path: KeyPath, places: dict[KeyPath, Any]) -> Any:
    if not (isinstance(base, dict) and isinstance(top, dict)) or _another_kind(base, top):
        forget(path, places)
        return top
    merged = dict(base)
    for key, value in top.items():
        merged[key] = _merged(base[key], value, (*path, key), places) if key in base else value
    return merged


def _another_kind(base: dict[str, Any], top: dict[str, Any]) -> bool:
    return any(key in base and key in top and base[key] != top[key] for key in KINDS)


def forget(path: KeyPath, places: dict[KeyPath, Any]) -> None:
    """Drop the places of a value that is being replaced."""
    for inner in [known for known in places if known[: len(path)] == path]:
        del places[inner]
