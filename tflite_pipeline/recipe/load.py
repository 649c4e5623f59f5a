"""The path of a recipe and `--set` texts go in; the checked recipe, or all of its mistakes, come out."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError, create_model

from tflite_pipeline.errors import Problem, RecipeError
from tflite_pipeline.recipe.decisions import Decision, decide
from tflite_pipeline.recipe.inherit import read_chain
from tflite_pipeline.recipe.overrides import apply_overrides
from tflite_pipeline.recipe.problems import field_mistakes
from tflite_pipeline.recipe.resolved import resolved, to_yaml
from tflite_pipeline.recipe.rules import cross_mistakes
from tflite_pipeline.recipe.schema import Recipe
from tflite_pipeline.recipe.yaml_text import Finding, Sheet, dotted
from tflite_pipeline.spec import Mistake, Section


@dataclass(frozen=True)
class LoadedRecipe:
    """A sound recipe.

    Attributes:
        recipe: Its sections; paths are absolute.
        path: The file it was read from, as it was given.
        sha256: Stands for everything that the recipe says, wherever it says it (bases and overrides included).
        resolved: A recipe file that says all of it in one place, with every default; loads to the same recipe.
        decisions: What it left open and its targets decided.
    """

    recipe: Recipe
    path: Path
    sha256: str
    resolved: str
    decisions: tuple[Decision, ...] = ()


def load_recipe(path: str | Path, overrides: Sequence[str] = (), allow_code: bool = False) -> LoadedRecipe:
    """Read and check a recipe, without TensorFlow.

    Args:
        path: The YAML file.
        overrides: `section.key=value` texts that win over the file.
        allow_code: Whether the recipe may name Python functions to run.

    Raises:
        RecipeError: Holds every mistake that could be told, in the order of the file.
    """
    sheet = read_chain(Path(path))
    apply_overrides(sheet, overrides)
    recipe, mistakes = judge(sheet.value, allow_code)
    told = [inner for _, inner, _ in sheet.findings]
    findings = sheet.findings + [
        (sheet.place(where), where, text)
        for where, text in mistakes
        if not any(where[: len(inner)] == inner for inner in told if inner)
    ]
    if recipe is None or findings:
        raise RecipeError(_in_order(findings, sheet))
    recipe, decisions = decide(recipe)
    content = resolved(recipe)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    sha256 = hashlib.sha256(canonical.encode()).hexdigest()
    head = "".join(f"# {decision}\n" for decision in decisions)
    return LoadedRecipe(recipe, Path(path), sha256, head + to_yaml(content), decisions)


def judge(data: dict[str, Any], allow_code: bool) -> tuple[Recipe | None, list[Mistake]]:
    """Check the values of a recipe; the recipe is None where a type is wrong, the mistakes tell what else is."""
    recipe: Recipe | None = None
    mistakes: list[Mistake] = []
    sound: dict[str, Any] = {"allow_code": allow_code}
    try:
        recipe = Recipe.model_validate(data)
        sound |= {name: getattr(recipe, name) for name in Recipe.model_fields}
    except ValidationError as error:
        mistakes += field_mistakes(error, data, Recipe)
        broken = {detail["loc"][0] for detail in error.errors()}
        sound |= _sound_sections(data, frozenset(Recipe.model_fields) - broken)
    for name, section in sound.items():
        mistakes += [((name, *path), text) for path, text in _own_mistakes(section)]
    return recipe, list(dict.fromkeys([*mistakes, *cross_mistakes(sound)]))


def _own_mistakes(section: Any) -> Iterator[Mistake]:
    if isinstance(section, tuple):
        for position, item in enumerate(section):
            yield from (((position, *path), text) for path, text in _own_mistakes(item))
    if not isinstance(section, Section):
        return
    try:
        yield from section.mistakes()
    except (OSError, zipfile.BadZipFile) as error:
        yield (), f"must name files that can be read. Got: {getattr(error, 'strerror', None) or error}."


def _sound_sections(data: dict[str, Any], names: frozenset[str | int]) -> dict[str, Any]:
    part = _part(names).model_validate({key: value for key, value in data.items() if key in names})
    return {str(name): getattr(part, str(name)) for name in names}


@cache
def _part(names: frozenset[str | int]) -> type[Section]:
    """Make the class of a recipe that has only these sections."""
    fields: dict[str, Any] = {
        name: (field.annotation, field) for name, field in Recipe.model_fields.items() if name in names
    }
    return create_model("Part", __base__=Section, **fields)


def _in_order(findings: Sequence[Finding], sheet: Sheet) -> Iterator[Problem]:
    files = list(dict.fromkeys(place.file for place in sheet.places.values()))
    first = sheet.place(()).file

    def order(finding: Finding) -> tuple[int, int, int]:
        place = finding[0]
        return (place.file.startswith("--set "), files.index(place.file) if place.file in files else 0, place.line)

    files.sort(key=lambda file: file != first)
    for place, path, text in sorted(findings, key=order):
        yield Problem(str(place), dotted(path), text)
