"""A recipe, schemes and `--set` texts go in; the variants to run, each a checked recipe, come out."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tflite_pipeline.errors import Problem, RecipeError
from tflite_pipeline.recipe.inherit import read_chain
from tflite_pipeline.recipe.load import LoadedRecipe, load_recipe
from tflite_pipeline.recipe.overrides import apply_overrides
from tflite_pipeline.recipe.yaml_text import read_scalar, read_yaml, shown
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.search.fallbacks import SCHEME, Fallback, fallbacks, means_nothing, methods_of, targets_of
from tflite_pipeline.targets.demands import able_schemes

_FOLDER_LENGTH = 100
_NAMES_SHOWN = 3
_LIST_HINT = " In a sweep each item of a list is a value; a value that is itself a list is written [[…]]."


@dataclass(frozen=True)
class Variant:
    """One recipe of a sweep.

    Attributes:
        name: What tells it from the others, e.g. `full_int8 method=percentile`.
        folder: The name as that of a folder.
        scheme: Its scheme.
        named: Whether the scheme was asked for by name, in the recipe or for the sweep.
        settings: The values of the keys that the sweep goes through, as `--set` writes them, where they matter.
        overrides: The `--set` texts that make it of the recipe.
        notes: What of the recipe gave way to the scheme.
        loaded: The recipe.
    """

    name: str
    folder: str
    scheme: str
    named: bool
    settings: dict[str, str]
    overrides: tuple[str, ...]
    notes: tuple[str, ...]
    loaded: LoadedRecipe


@dataclass(frozen=True)
class _Axis:
    """A `--set` of the sweep: its text, its key, and its values as texts."""

    written: str
    key: str
    values: tuple[str, ...]
    is_list: bool

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(f"{self.key}={value}" for value in self.values) if self.is_list else (self.written,)


@dataclass(frozen=True)
class _Draft:
    """A variant before its recipe is checked: its scheme, one text for each axis, what gives way to the scheme."""

    scheme: str
    named: bool
    choices: tuple[tuple[_Axis, str], ...]
    fallbacks: tuple[Fallback, ...]

    @property
    def overrides(self) -> tuple[str, ...]:
        """The texts in their order, without those that a later one makes void."""
        texts = (
            *(text for _, text in self.choices),
            f"{SCHEME}={self.scheme}",
            *(one.override for one in self.fallbacks),
        )
        return effective(texts)


def plan_variants(
    path: str | Path, schemes: str | None = None, overrides: Sequence[str] = (), allow_code: bool = False
) -> tuple[Variant, ...]:
    """Multiply a recipe by schemes and by the values of every override that is a list; equal recipes count once.

    Args:
        path: The recipe.
        schemes: Names with commas between; None means all that the recipe's data allow.
        overrides: `key=value` texts; a YAML list as value gives the values to go through.
        allow_code: Whether the recipe may name Python functions to run.

    Raises:
        RecipeError: Every mistake of every variant.
    """
    axes = [_axis(override) for override in overrides]
    _refuse_unclear(axes, schemes)
    by_key = next((axis for axis in reversed(axes) if axis.key == SCHEME), None)
    axes = [axis for axis in axes if axis.key != SCHEME]
    first = tuple(axis.texts[0] for axis in axes)
    named, fitting = _schemes(schemes, by_key), _fitting(read_content(path, first))
    contents = {choices: read_content(path, choices) for choices in itertools.product(*(axis.texts for axis in axes))}
    methods = {method for content in contents.values() for method in methods_of(content.get("quantization"))}
    drafts = [
        _Draft(scheme, is_named, _that_matter(axes, choices, scheme), fallbacks(content, scheme, methods))
        for scheme, is_named in (dict.fromkeys(named, True) or fitting).items()
        for choices, content in contents.items()
    ]
    labels = {f"--set {text}": f"--set {axis.written}" for axis in axes for text in axis.texts}
    labels |= {f"--set {SCHEME}={name}": f"--set {by_key.written}" if by_key else f"--schemes {name}" for name in named}
    return tuple(_distinct(_checked(path, drafts, labels, allow_code)))


def _axis(override: str) -> _Axis:
    """Read a `--set`; what is wrong in its text is told when the recipe is loaded with it."""
    key, _, text = override.partition("=")
    key = ".".join(part.strip() for part in key.split("."))
    try:
        sheet = read_yaml(text, f"--set {override}", Path.cwd() / "--set")
    except RecipeError:
        return _Axis(override, key, (text,), is_list=False)
    if sheet.findings or not isinstance(sheet.value, list):
        return _Axis(override, key, (text,), is_list=False)
    return _Axis(override, key, tuple(map(_text, sheet.value)), is_list=True)


def _text(value: Any) -> str:
    """Write a value as YAML on one line that reads back to it."""
    if isinstance(value, str):
        plain = re.fullmatch(r"[\w./~$][\w./~${} -]*", value) and value == value.strip()
        return str(value) if plain and isinstance(read_scalar(value), str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return shown(value)


def _refuse_unclear(axes: Sequence[_Axis], schemes: str | None) -> None:
    """Refuse lists without a value, and a list for a key that is given again."""
    problems = []
    for position, axis in enumerate(axes):
        place = f"--set {axis.written}"
        before = [other for other in axes[:position] if other.key == axis.key]
        if not axis.values:
            problems.append(Problem(place, axis.key, "must have at least one value. Got none. An empty list is [[]]."))
        elif before and any(one.is_list for one in (axis, *before)):
            problems.append(Problem(place, axis.key, f"must be given once. Got {before[0].written} as well."))
        elif axis.key == SCHEME and schemes is not None:
            problems.append(Problem(place, axis.key, f"must be given once. Got --schemes {schemes} as well."))
    if problems:
        raise RecipeError(problems)


def _schemes(schemes: str | None, by_key: _Axis | None) -> tuple[str, ...]:
    if schemes is None:
        return tuple(value.strip() for value in by_key.values) if by_key else ()
    names = tuple(dict.fromkeys(name.strip() for name in schemes.split(",") if name.strip()))
    if not names:
        raise RecipeError([Problem("--schemes", "", f"must be names of schemes: {', '.join(SCHEMES)}. Got none.")])
    return names


def _fitting(content: Mapping[str, Any]) -> dict[str, bool]:
    """Give the schemes that the recipe's data and targets allow, and whether it is the recipe's own.

    `mixed` is there only where it is the recipe's own.
    """
    section = content.get("quantization")
    own = section.get("scheme") if isinstance(section, Mapping) else None
    samples, able = content.get("dataset") is not None, able_schemes(targets_of(content))
    return {
        name: name == own
        for name, row in SCHEMES.items()
        if (own == name or (name != "mixed" and name in able)) and (samples or not row.calibrated or name == "mixed")
    }


def read_content(path: str | Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Read a recipe with overrides, unchecked."""
    sheet = read_chain(Path(path))
    apply_overrides(sheet, overrides)
    content: dict[str, Any] = sheet.value
    return content


def effective(texts: Sequence[str]) -> tuple[str, ...]:
    """Leave out `key=value` texts that a later one makes void."""
    keys = [text.partition("=")[0] for text in texts]
    return tuple(
        text
        for position, text in enumerate(texts)
        if not any(f"{keys[position]}.".startswith(f"{later}.") for later in keys[position + 1 :])
    )


def _that_matter(axes: Sequence[_Axis], choices: Sequence[str], scheme: str) -> tuple[tuple[_Axis, str], ...]:
    """Leave out the choice between values of a key that decides nothing under the scheme: it would be no choice."""
    return tuple(
        (axis, choice)
        for axis, choice in zip(axes, choices, strict=True)
        if len(axis.values) < 2 or not means_nothing(axis.key, scheme)
    )


def _checked(path: str | Path, drafts: Sequence[_Draft], labels: Mapping[str, str], allow_code: bool) -> list[Variant]:
    variants: list[Variant] = []
    found: dict[Problem, list[str]] = {}
    for draft in drafts:
        settings = dict(_settings(draft))
        name = _name(draft.scheme, settings)
        try:
            loaded = load_recipe(path, draft.overrides, allow_code)
        except RecipeError as error:
            for problem in error.problems:
                found.setdefault(_as_written(problem, labels), []).append(name)
            continue
        notes = tuple(one.note for one in draft.fallbacks if one.note)
        variants.append(Variant(name, name, draft.scheme, draft.named, settings, draft.overrides, notes, loaded))
    if found:
        raise RecipeError(_with_names(problem, names, len(drafts)) for problem, names in found.items())
    _refuse_names(variants)
    return variants


def _settings(draft: _Draft) -> Iterator[tuple[str, str]]:
    """Give the values that the variant has of the keys with several values."""
    for axis, choice in draft.choices:
        if len(axis.values) < 2:
            continue
        about = [one for one in draft.fallbacks if one.key and f"{axis.key}.".startswith(f"{one.key}.")]
        used = about[0].used if about else choice.partition("=")[2]
        if used:
            yield axis.key, used


def _name(scheme: str, settings: Mapping[str, str]) -> str:
    ends = [key.rpartition(".")[2] for key in settings]
    short = {key: end if ends.count(end) == 1 else key for key, end in zip(settings, ends, strict=True)}
    return " ".join([scheme, *(f"{short[key]}={value}" for key, value in settings.items())])


def _as_written(problem: Problem, labels: Mapping[str, str]) -> Problem:
    """Place a mistake at what the user wrote, not at what the sweep made of it."""
    where = labels.get(problem.where, problem.where)
    hint = _LIST_HINT if where != problem.where and "must be a list" in problem.text else ""
    return replace(problem, where=where, text=problem.text + hint)


def _with_names(problem: Problem, names: Sequence[str], count: int) -> Problem:
    """Name the variants that have a mistake where others have not and its place does not tell."""
    names = list(dict.fromkeys(names))
    if len(names) == count or problem.where.startswith("--"):
        return problem
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return replace(problem, text=f"{problem.text} (variant {', '.join(names[:_NAMES_SHOWN])}{more})")


def _refuse_names(variants: Sequence[Variant]) -> None:
    names = list(dict.fromkeys(variant.loaded.recipe.name for variant in variants))
    if len(names) > 1:
        text = f"must be one for the whole sweep, since it names the folder. Got {', '.join(names)}."
        raise RecipeError([Problem("--set", "name", text)])


def _distinct(variants: Sequence[Variant]) -> Iterator[Variant]:
    """Leave out recipes that are there already; give the others names and folders of their own."""
    kept: dict[str, Variant] = {}
    for variant in variants:
        kept.setdefault(variant.loaded.sha256, variant)
    names: set[str] = set()
    folders: set[str] = set()
    for variant in kept.values():
        folder = re.sub(r"[^A-Za-z0-9_.=+-]+", "-", variant.name)[:_FOLDER_LENGTH].strip("-.")
        yield replace(variant, name=_free(variant.name, names), folder=_free(folder, folders))


def _free(name: str, taken: set[str]) -> str:
    """Number a name that is taken, be it in other case: some file systems do not tell the two apart."""
    numbered = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    free = next(one for one in numbered if one.lower() not in taken)
    taken.add(free.lower())
    return free
