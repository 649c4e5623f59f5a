"""A checked recipe goes in; plain values, and the YAML text that loads to the same recipe, come out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tflite_pipeline.recipe.schema import KINDS, Recipe
from tflite_pipeline.spec import Section


def resolved(recipe: Recipe) -> dict[str, Any]:
    """Give everything that the recipe says as plain values, every default spelled out.

    Rows of the dataset that were left out and that no stage uses stay out: spelled out they would be checked.
    """
    content = _section(recipe)
    used = {"training": recipe.training is not None, "calibration": recipe.quantization.needs_samples}
    for role in used:
        if recipe.dataset is not None and not used[role] and role not in recipe.dataset.model_fields_set:
            del content["dataset"][role]
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return _section(value)
    if isinstance(value, Mapping):
        if set(value) == {""} and all(isinstance(item, Section) for item in value[""]):
            return _plain(value[""])  # the steps of the only input, as a bare list
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str | Path) else value


def _section(section: Section) -> dict[str, Any]:
    fields = type(section).model_fields
    choice = all(not field.is_required() and field.default is None for field in fields.values())
    names = sorted(fields, key=lambda name: name not in KINDS)
    pairs = {name: getattr(section, name) for name in names}
    return {name: _plain(item) for name, item in pairs.items() if not (choice and item is None)}


class _Dumper(yaml.CSafeDumper):
    """Quotes every string that YAML 1.1 or 1.2 would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"0o[0-7]+"), list("0"))
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"),
    list("-+.0123456789"),
)


def to_yaml(content: Any) -> str:
    """Write plain values as a YAML file, keys in their own order."""
    return str(yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))
