"""The JSON Schema beside the recipes is the one that the classes give."""

from __future__ import annotations

import json
from pathlib import Path

from tflite_pipeline.recipe.editor import json_schema

FILE = Path(__file__).parent.parent.parent.parent / "recipes" / "recipe.schema.json"


def test_committed_schema_is_up_to_date() -> None:
    assert json.loads(FILE.read_text()) == json_schema(), "run: tflite-pipeline schema > recipes/recipe.schema.json"
