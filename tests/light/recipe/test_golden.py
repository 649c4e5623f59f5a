"""Every recipe under golden/ is broken; `golden/expected.txt` holds what the user is told about it.

To make the table anew after a change of wording, then read the diff:
`TFLITE_PIPELINE_REMAKE_GOLDEN=1 pytest tests/light/recipe/test_golden.py`
A comment `# --set key=value` or `# --allow-code` in a recipe is given on the command line.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from tflite_pipeline.errors import RecipeError
from tflite_pipeline.recipe.load import load_recipe

GOLDEN = Path(__file__).parent / "golden"
TABLE = GOLDEN / "expected.txt"
CASES = sorted(path.stem for path in GOLDEN.glob("*.yaml"))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden recipes beside the sound and unsound files that they name."""
    folder = tmp_path_factory.mktemp("golden")
    shutil.copytree(GOLDEN, folder, dirs_exist_ok=True)
    files = folder / "files"
    files.mkdir()
    (files / "cut.keras").write_bytes(b"PK\x03\x04" + bytes(100))
    (files / "cut.h5").write_bytes(b"\x89HDF")
    with zipfile.ZipFile(files / "no_config.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
    for name in ("picture.tflite", "picture.h5", "picture.png"):
        (files / name).write_bytes(PNG)
    (files / "model.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(64))
    return folder


def told(name: str, folder: Path) -> str:
    text = (folder / f"{name}.yaml").read_text()
    overrides = re.findall(r"^# --set (.*)$", text, flags=re.MULTILINE)
    with pytest.raises(RecipeError) as caught:
        load_recipe(f"{name}.yaml", overrides, allow_code="# --allow-code\n" in text)
    return str(caught.value).replace(str(folder), "<folder>") + "\n"


def expected() -> dict[str, str]:
    parts = re.split(r"^== (\w+)\n", TABLE.read_text(), flags=re.MULTILINE)[1:] if TABLE.exists() else []
    return {name: text.rstrip("\n") + "\n" for name, text in zip(parts[::2], parts[1::2], strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_tells_what_is_wrong(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = told(name, folder)
    if os.environ.get("TFLITE_PIPELINE_REMAKE_GOLDEN"):
        table = expected() | {name: found}
        TABLE.write_text("\n".join(f"== {key}\n{table[key]}" for key in sorted(table) if key in CASES))
    wanted = expected().get(name, "")
    diff = difflib.unified_diff(wanted.splitlines(), found.splitlines(), "expected", "found", lineterm="")
    assert found == wanted, "\n" + "\n".join(diff)


def test_table_has_no_row_without_a_recipe() -> None:
    assert sorted(expected()) == CASES
