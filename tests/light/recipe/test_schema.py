from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tflite_pipeline.recipe.editor import json_schema

SCHEMA = json_schema()
SOUND: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text()) for path in (Path(__file__).parent / "sound").glob("*.yaml")
}
FULL = SOUND["full"]
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def test_schema_is_sound_itself() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", sorted(SOUND))
def test_schema_takes_sound_recipes(name: str) -> None:
    assert [error.message for error in CHECK.iter_errors(SOUND[name])] == []


def test_schema_takes_a_recipe_that_extends_another() -> None:
    assert CHECK.is_valid(FULL | {"extends": "base.yaml"})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("seed",), "x"),
        (("nome",), 1),
        (("model", "source"), "keras"),
        (("model", "clases"), 3),
        (("training", "epochs"), "3"),
        (("training", "sparsity"), 0.5),
        (("training",), []),
        (("training",), ["qat"]),
        (("training",), [{"method": "fit", "epochs": 1}, {"method": "qat", "epochs": "3"}]),
        (("quantization", "io"), "int4"),
        (("validation", "gates", "max_size"), "900 kilobytes"),
    ],
)
def test_schema_refuses_what_is_wrong(path: tuple[str, ...], value: Any) -> None:
    recipe = copy.deepcopy(FULL)
    here = recipe
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    assert not CHECK.is_valid(recipe)


def keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every key of every section with its form; its defaults and examples are values, and no forms."""
    for section, form in (("Recipe", schema), *schema["$defs"].items()):
        for key, inner in form["properties"].items():
            yield f"{section}.{key}", inner


def choices(form: Any) -> Iterator[dict[str, Any]]:
    """Give whatever in a form names values, wherever it stands."""
    if isinstance(form, dict):
        if "enum" in form or "const" in form:
            yield form
        for key, inner in form.items():
            if key not in ("default", "examples"):
                yield from choices(inner)
    elif isinstance(form, list):
        for part in form:
            yield from choices(part)


KEYS = dict(keys(SCHEMA))


def test_every_key_has_a_description_and_an_example() -> None:
    assert len(KEYS) > 150
    lacking = [key for key, form in KEYS.items() if not form.get("description") or not form.get("examples")]
    assert lacking == [], "write them below the key: what it means, then: Example: `value`."


def test_every_value_of_an_enumeration_is_described() -> None:
    lacking = [
        (key, choice)
        for key, form in KEYS.items()
        for choice in choices(form)
        if ("enum" in choice and len(choice.get("enumDescriptions", [])) != len(choice["enum"]))
        or ("const" in choice and not choice.get("description"))
    ]
    assert lacking == [], "list them below the key: - `value`: what it means"


def test_examples_and_defaults_are_what_the_key_takes() -> None:
    for key, form in KEYS.items():
        judge = jsonschema.Draft202012Validator(form | {"$defs": SCHEMA["$defs"]})
        for value in (*form["examples"], *([form["default"]] if "default" in form else ())):
            assert [error.message for error in judge.iter_errors(value)] == [], (key, value)


def test_every_key_that_may_be_left_out_has_a_default() -> None:
    for name, section in (("Recipe", SCHEMA), *SCHEMA["$defs"].items()):
        optional = set(section["properties"]) - set(section.get("required", ())) - {"extends"}
        assert [key for key in optional if "default" not in section["properties"][key]] == [], name


def test_keys_are_described() -> None:
    assert "Decides every random choice" in SCHEMA["properties"]["seed"]["description"]
    assert "keras.applications" in SCHEMA["$defs"]["Application"]["description"]
    for method in ("Fit", "Prune", "Cluster", "Qat"):
        assert "Samples a step." in SCHEMA["$defs"][method]["properties"]["batch"]["description"]
