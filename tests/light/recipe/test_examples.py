"""Every example of docs/training.md is a sound recipe; two in one block are parted by an empty line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tflite_pipeline.recipe.load import load_recipe

PAGE = Path(__file__).parents[3] / "docs/training.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
EXAMPLES = [example for block in BLOCKS for example in block.split("\n\n")]
BASE = Path(__file__).parent / "golden/bases/sound.yaml"


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_of_training_is_sound(example: str, tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(f"extends: {BASE}\n{example}")
    assert load_recipe(path).recipe.training is not None
