"""`section.key=value` texts of the command line go in; the sheet with these values set comes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tflite_pipeline.errors import RecipeError
from tflite_pipeline.recipe.inherit import forget
from tflite_pipeline.recipe.yaml_text import KeyPath, Place, Sheet, dotted, read_yaml, shown


class _RefusedError(Exception):
    """An override that cannot be applied; carries the text for the user."""


def apply_overrides(sheet: Sheet, overrides: Sequence[str]) -> None:
    """Set every `key.to.set=value`; values follow the rules of the recipe, paths are relative to the current folder.

    What cannot be set is told in `sheet.findings`, located at `--set …`.
    """
    for override in overrides:
        place = Place(f"--set {override}")
        path: KeyPath = ()
        try:
            path, text = _split(override)
            value = read_yaml(text, place.file, Path.cwd() / "--set")
            path = _put(sheet, path, value.value, place)
        except _RefusedError as refused:
            sheet.findings.append((place, path, str(refused)))
        except RecipeError as error:
            sheet.findings += [(place, path, problem.text) for problem in error.problems]
        else:
            sheet.findings += [(place, (*path, *inner), text) for _, inner, text in value.findings]


def _split(override: str) -> tuple[KeyPath, str]:
    key, equals, text = override.partition("=")
    parts = tuple(key.strip().split("."))
    if not equals or not all(parts):
        raise _RefusedError(f"must be key.to.set=value. Got '{override}'.")
    return parts, text


def _put(sheet: Sheet, path: KeyPath, value: Any, place: Place) -> KeyPath:
    here, done = sheet.value, list[str | int]()
    for part in path[:-1]:
        key = _key_in(here, str(part), done)
        done.append(key)
        if isinstance(here, dict) and here.get(key) is None:
            here[key] = {}
            sheet.places[tuple(done)] = place
        here = here[key]
    key = _key_in(here, str(path[-1]), done)
    done.append(key)
    here[key] = value
    forget(tuple(done), sheet.places)
    sheet.places[tuple(done)] = place
    return tuple(done)


def _key_in(here: Any, part: str, done: Sequence[str | int]) -> str | int:
    if isinstance(here, dict):
        return part
    if not isinstance(here, list):
        name = dotted(tuple(done))
        raise _RefusedError(f"must set a key inside a mapping. Got '{part}' inside {name}, which is {shown(here)}.")
    if not (part.isascii() and part.isdigit() and int(part) < len(here)):
        span = f"a position from 0 to {len(here) - 1}" if here else "the whole list, which is empty"
        raise _RefusedError(f"must be {span} in {dotted(tuple(done))}. Got '{part}'.")
    return int(part)
