"""`init` on files that need no TensorFlow, and on words that name nothing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tflite_pipeline.errors import RecipeError, StageError
from tflite_pipeline.recipe.load import load_recipe
from tflite_pipeline.starter.init import Started, Wish, init
from tflite_pipeline.starter_table import show

DATA = Path(__file__).parents[2] / "data"
MODEL = "conv_net.tflite"  # takes (8, 8, 1), gives 4 scores


class Nobody:
    """Does not watch."""

    def begin(self, stage: str) -> None: ...

    def progress(self, stage: str, done: int, total: int, what: str) -> None: ...

    def end(self, stage: str, seconds: float, cached: bool) -> None: ...


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, data and what is neither; the current one."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(DATA / MODEL, tmp_path)
    shutil.copy(DATA / "full_int8_int8_io.tflite", tmp_path)
    random = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=random.random((40, 8, 8), np.float32), y=random.integers(0, 4, 40))
    np.savez(tmp_path / "five.npz", x=random.random((40, 8, 8), np.float32), y=random.integers(0, 5, 40) * 3)
    for kind in "abcd":
        (tmp_path / "images" / kind).mkdir(parents=True)
        for number in range(5):
            picture = random.integers(0, 256, (9, 9, 3), np.uint8)
            Image.fromarray(picture).save(tmp_path / "images" / kind / f"{number}.png")
    for name in ("model.onnx", "table.csv", "x.npy", "cut.keras"):
        (tmp_path / name).write_text("PK")
    (tmp_path / "flat").mkdir()
    shutil.copy(tmp_path / "images" / "a" / "0.png", tmp_path / "flat")
    (tmp_path / "taken.yaml").write_text("recipe: 1\n")
    return tmp_path


class NotEvenBegun(Nobody):
    def begin(self, stage: str) -> None:
        raise AssertionError(f"{stage} began")


def begun(model: str = MODEL, data: str | None = None, **wish: Any) -> Started:
    return init(Wish(model, data, **wish), Nobody())


@pytest.mark.slow
def test_without_data_the_recipe_is_sound_and_says_what_to_fill_in(place: Path) -> None:
    started = begun()
    recipe = load_recipe(place / "conv_net.yaml").recipe
    assert recipe.dataset is None
    assert recipe.quantization.scheme == "dynamic_int8"
    assert started.marks == ("FILL IN",)


@pytest.mark.slow
def test_the_commented_example_is_sound_when_its_marks_are_taken_off(place: Path) -> None:
    begun()
    text = (place / "conv_net.yaml").read_text()
    (place / "filled.yaml").write_text(re.sub(r"^#(dataset:|(?:  )+[\w-])", r"\1", text, flags=re.MULTILINE))
    filled = load_recipe("filled.yaml", ["quantization.scheme=full_int8", "quantization.io=int8"]).recipe
    assert filled.dataset is not None
    assert filled.dataset.calibration.samples == 200


@pytest.mark.slow
def test_with_data_all_is_chosen(place: Path) -> None:
    started = begun(data="data.npz", out=place / "mine.yaml")
    recipe = load_recipe(place / "mine.yaml").recipe
    assert recipe.quantization.scheme == "full_int8"
    assert recipe.quantization.io == "int8"
    assert [row.key for row in recipe.validation.metrics] == ["top1"]
    assert recipe.validation.gates.max_drop == {"top1": 0.05}  # 28 samples prove no less
    (steps,) = recipe.dataset.preprocessing.values()
    assert next(iter(steps)).chosen()[0][0] == "reshape"
    tried = started.preprocessing[""].tried
    assert [way.name for way in tried] == ["as they are", "to 0..255", "to -1..1"]
    assert all(way.score is not None for way in tried)
    assert "CHECK" in started.marks  # random weights are right by chance


@pytest.mark.slow
def test_what_was_found_is_shown_and_given_as_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started = begun(data="data.npz")
    show(started)
    shown = capsys.readouterr().out
    assert "next       tflite-pipeline run conv_net.yaml" in shown
    assert "class numbers 0 to 3" in shown
    assert started.to_json()["model"]["inputs"][0]["shape"] == [8, 8, 1]


@pytest.mark.parametrize(
    ("model", "data", "told"),
    [
        ("none.keras", None, "which does not exist"),
        ("MobileNetV4", None, "Did you mean 'MobileNetV2'"),
        ("model.onnx", None, "with a tool for ONNX"),
        ("cut.keras", None, "damaged or cut short"),
        ("images", None, "saved_model.pb"),
        (MODEL, "none", "which does not exist"),
        (MODEL, "table.csv", "store its columns as arrays"),
        (MODEL, "x.npy", "Put the arrays into one file"),
        (MODEL, "flat", "into a sub-folder of its own"),
    ],
)
def test_words_that_name_nothing_are_recipe_errors(place: Path, model: str, data: str | None, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        init(Wish(model, data), NotEvenBegun())
    assert told in str(caught.value)
    assert not (place / "conv_net.yaml").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "data", "told"),
    [
        ("full_int8_int8_io.tflite", None, "is quantized already: full_int8"),
        (MODEL, "images", "no step makes them grey"),
        (MODEL, "five.npz", "must be class numbers from 0 to 3, as the model has 4 outputs. Got 0 to 12"),
    ],
)
def test_what_does_not_fit_is_a_stage_error(place: Path, model: str, data: str | None, told: str) -> None:
    with pytest.raises(StageError) as caught:
        begun(model, data)
    assert told in str(caught.value)
    assert caught.value.stage in ("model", "dataset")
    assert not list(place.glob("*conv_net*.yaml"))


def test_a_recipe_that_is_there_stays(place: Path) -> None:
    with pytest.raises(RecipeError, match="stays as it is"):
        begun(out=place / "taken.yaml")
    assert (place / "taken.yaml").read_text() == "recipe: 1\n"
