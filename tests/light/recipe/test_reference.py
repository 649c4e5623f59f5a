"""docs/recipe.md tells the keys as the classes have them, and its whole example is a sound recipe."""

from __future__ import annotations

import re
from pathlib import Path

from tflite_pipeline.recipe.editor import json_schema
from tflite_pipeline.recipe.load import load_recipe
from tflite_pipeline.recipe.reference import with_reference
from tflite_pipeline.recipe.schema import Recipe

ROOT = Path(__file__).parent.parent.parent.parent
DOCUMENT = (ROOT / "docs" / "recipe.md").read_text()


def test_committed_document_is_up_to_date() -> None:
    assert with_reference(DOCUMENT) == DOCUMENT, "run: make docs"


def test_document_tells_every_key() -> None:
    schema = json_schema()
    keys = {key for section in (schema, *schema["$defs"].values()) for key in section["properties"]}
    assert {key for key in keys - {"source"} if f"| `{key}` |" not in DOCUMENT} == set()


def test_whole_example_is_sound_and_has_every_section(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "data").symlink_to(ROOT / "data")
    recipe = tmp_path / "docs" / "digits.yaml"
    recipe.write_text(re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)[0])
    loaded = load_recipe(recipe)
    assert loaded.recipe.model_fields_set == set(Recipe.model_fields)
