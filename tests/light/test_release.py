from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from tflite_pipeline.errors import StageError
from tflite_pipeline.recipe.load import judge
from tflite_pipeline.release import keep_to, open_release

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[1] / "data"
DECLARED = {"preprocessing": [{"scale": {"factor": 0.5}}], "classes": ["cat", "dog"]}


def bundle(path: Path, model: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(DATA / model, "model.tflite")
        archive.writestr("contract.json", json.dumps({"contract": 1, **DECLARED}))
    return path


def outcome(path: Path, model: str, **declared: object) -> tuple[str, str]:
    (gate,) = keep_to(path, open_release(path), DATA / model, {**DECLARED, **declared})
    return gate.verdict, gate.text


def test_a_file_passes_when_the_app_can_take_it(tmp_path):
    release = bundle(tmp_path / "handoff.zip", "full_int8_int8_io.tflite")
    text = "an app that takes handoff.zip can take this file as it is."
    assert outcome(release, "full_int8_int8_io.tflite") == ("passed", text)


def test_a_file_fails_when_its_io_is_another(tmp_path):
    verdict, text = outcome(bundle(tmp_path / "handoff.zip", "full_int8_int8_io.tflite"), "full_int8_float_io.tflite")
    assert verdict == "failed"
    assert text.startswith("the app must change: input 'features' has dtype float32, had int8; ")
    assert text.endswith("; and 1 more.")


def test_a_file_fails_when_what_the_app_carries_out_is_another(tmp_path):
    release = bundle(tmp_path / "handoff.zip", "full_int8_int8_io.tflite")
    verdict, text = outcome(release, "full_int8_int8_io.tflite", classes=["dog", "cat"])
    assert (verdict, text) == (
        "failed",
        "the app must change: classes differs: ['dog', 'cat'], was ['cat', 'dog'].",
    )


def test_nothing_is_judged_when_no_release_is_named():
    assert open_release(None) is None
    assert keep_to(None, None, DATA / "float32.tflite", DECLARED) == []


def test_a_release_that_is_damaged_ends_the_run_at_once(tmp_path):
    path = bundle(tmp_path / "handoff.zip", "full_int8_int8_io.tflite")
    path.write_bytes(path.read_bytes().replace(b"TFL3", b"TFL9"))
    with pytest.raises(StageError) as caught:
        open_release(path)
    assert caught.value.stage == "release"


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("none.zip", "which does not exist."),
        ("model.tflite", "Got 'model.tflite', which is damaged or another kind."),
        ("", "which is damaged or another kind."),
        ("other.zip", "Got 'other.zip', a zip file without contract.json."),
    ],
)
def test_what_is_no_bundle_is_a_mistake_of_the_recipe(tmp_path, name, end):
    shutil.copy(DATA / "float32.tflite", tmp_path / "model.tflite")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "")
    model = {"source": "tflite", "path": str(DATA / "float32.tflite")}
    gates = {"compatible_with": str(tmp_path / name)}
    recipe = {"recipe": 1, "name": "a", "model": model, "quantization": {"scheme": "float16", "io": "float32"}}
    ((path, text),) = judge({**recipe, "validation": {"gates": gates}}, allow_code=False)[1]
    assert path == ("validation", "gates", "compatible_with")
    assert text.startswith("must be a handoff.zip. Got ")
    assert text.endswith(end)
