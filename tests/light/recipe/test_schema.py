from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tflite_pipeline.recipe.schema import json_schema

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


def test_keys_are_described() -> None:
    assert "Decides every random choice" in SCHEMA["properties"]["seed"]["description"]
    assert "keras.applications" in SCHEMA["$defs"]["Application"]["description"]
    for method in ("Fit", "Prune", "Cluster", "Qat"):
        assert "Samples a step." in SCHEMA["$defs"][method]["properties"]["batch"]["description"]
