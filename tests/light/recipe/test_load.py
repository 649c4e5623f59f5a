from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tflite_pipeline.errors import RecipeError
from tflite_pipeline.model.spec import Application, KerasFile
from tflite_pipeline.recipe.load import load_recipe
from tflite_pipeline.train.spec import steps_of

SOUND: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text()) for path in (Path(__file__).parent / "sound").glob("*.yaml")
}
FULL, SMALL, CODE = SOUND["full"], SOUND["small"], SOUND["code"]


def write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.mark.parametrize("name", sorted(SOUND))
def test_resolved_recipe_loads_to_the_same_recipe(name: str, tmp_path: Path) -> None:
    first = load_recipe(write(tmp_path / "a.yaml", SOUND[name]), allow_code=True)
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "resolved.yaml").write_text(first.resolved)
    again = load_recipe(other / "resolved.yaml", allow_code=True)
    assert again.recipe == first.recipe
    assert again.sha256 == first.sha256
    assert again.resolved == first.resolved


def test_resolved_recipe_spells_out_defaults_and_absolute_paths(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").touch()
    (tmp_path / "recipes").mkdir()
    content = SMALL | {"model": {"source": "application", "name": "MobileNetV2", "weights": "../weights.h5"}}
    resolved = yaml.safe_load(load_recipe(write(tmp_path / "recipes/a.yaml", content)).resolved)
    assert resolved["model"]["weights"] == str(tmp_path / "weights.h5")
    assert resolved["profile"] == {"threads": 1, "warmup": 5, "runs": 50}
    assert resolved["dataset"] is None
    assert resolved["targets"] == ["litert"]


@pytest.mark.parametrize("text", ["yes", "1e-3", "010", "0o10", "1:30", "1_000", "null", "~", "<<", "2024-01-31", "5."])
def test_resolved_recipe_keeps_strings_that_look_like_something_else(text: str, tmp_path: Path) -> None:
    content = SMALL | {"model": CODE["model"] | {"arguments": {"text": text}}}
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(content).replace(f"text: {text}", f"text: '{text}'"))
    first = load_recipe(path, allow_code=True)
    path.write_text(first.resolved)
    assert load_recipe(path, allow_code=True).recipe.model.arguments == {"text": text}  # type: ignore[union-attr]
    assert yaml.safe_load(first.resolved)["model"]["arguments"] == {"text": text}


def test_digest_is_of_the_content_and_not_of_its_form(tmp_path: Path) -> None:
    plain = load_recipe(write(tmp_path / "a.yaml", SMALL)).sha256
    spelled = SMALL | {"seed": 0, "targets": ["litert"], "validation": {"metrics": []}}
    assert load_recipe(write(tmp_path / "b.yaml", spelled)).sha256 == plain
    assert load_recipe(tmp_path / "b.yaml", ["seed=1"]).sha256 != plain
    assert len(plain) == 64


def test_loaded_recipe_goes_to_another_process(tmp_path: Path) -> None:
    loaded = load_recipe(write(tmp_path / "a.yaml", CODE), allow_code=True)
    assert pickle.loads(pickle.dumps(loaded)).recipe == loaded.recipe


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("bases", "recipes", "here"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    base = SMALL | {"model": {"source": "keras_file", "path": "m.h5"}}
    write(tmp_path / "bases/b.yaml", base)
    path = write(tmp_path / "recipes/a.yaml", {"extends": "../bases/b.yaml", "name": "child"})
    monkeypatch.chdir(tmp_path / "here")

    def found(*overrides: str) -> Any:
        try:
            model = load_recipe(path, overrides).recipe.model
        except RecipeError as error:  # whether the file is sound is for the model section to say
            pytest.fail(str(error))
        assert isinstance(model, KerasFile)
        return model.path

    assert found() == tmp_path / "bases/m.h5"
    assert found("model.path=m.h5") == tmp_path / "here/m.h5"


def test_extended_mappings_merge_and_lists_are_replaced(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", FULL)
    write(tmp_path / "mid.yaml", {"extends": "base.yaml", "model": {"classes": 6}, "validation": {"metrics": ["top1"]}})
    top = {"extends": "mid.yaml", "name": "top", "validation": {"gates": {"min": None}}}
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path / "top.yaml", top))
    assert "top.yaml:5: validation.gates.min: must be a mapping of keys to values. Got null." in str(caught.value)
    mended = {"extends": "mid.yaml", "name": "top", "validation": {"gates": {"max_size": "1MB"}}}
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path / "top.yaml", mended))
    line = (tmp_path / "base.yaml").read_text().splitlines().index("      top5: 0.5") + 1
    assert [problem.where for problem in caught.value.problems] == [f"{tmp_path}/base.yaml:{line}"]


def test_another_source_or_method_replaces_the_whole_mapping(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", FULL)
    child = {"extends": "base.yaml", "dataset": {"source": "synthetic", "shape": [96, 96, 3], "classes": 10}}
    recipe = load_recipe(write(tmp_path / "a.yaml", child)).recipe
    assert recipe.dataset is not None
    assert recipe.dataset.source == "synthetic"
    assert recipe.dataset.preprocessing == {}
    assert recipe.name == "demo"


def test_null_takes_a_section_of_the_base_away(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", FULL)
    child = {"extends": "base.yaml", "training": None}
    assert load_recipe(write(tmp_path / "a.yaml", child)).recipe.training is None


def test_overrides_win_in_their_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", FULL)
    overrides = [
        "seed=1",
        "seed=010",
        "model.classes=20",
        "validation.gates.max_size=1MB",
        "validation.metrics=[top5, {metric: top1}]",
        "dataset.preprocessing.0.resize.height=128",
        "model.arguments.alpha=1e-1",
        "dataset.calibration={split: few}",
        "training=",
    ]
    recipe = load_recipe(path, overrides).recipe
    assert isinstance(recipe.model, Application)
    assert recipe.dataset is not None
    assert (recipe.seed, recipe.model.classes, recipe.validation.gates.max_size) == (10, 20, 1_000_000)
    assert [row.key for row in recipe.validation.metrics] == ["top5", "top1"]
    assert recipe.model.arguments == {"alpha": 0.1}
    assert recipe.dataset.preprocessing[""][0].resize is not None
    assert recipe.dataset.preprocessing[""][0].resize.height == 128
    assert (recipe.dataset.calibration.split, recipe.dataset.calibration.samples) == ("few", None)
    assert recipe.training is None


def test_overrides_reach_a_step_of_training(tmp_path: Path) -> None:
    one, many = write(tmp_path / "one.yaml", FULL), write(tmp_path / "many.yaml", SOUND["steps"])
    (step,) = steps_of(load_recipe(one, ["training.epochs=2"]).recipe.training)
    assert (step.method, step.epochs) == ("fit", 2)
    steps = steps_of(load_recipe(many, ["training.3.epochs=7", "training.0.batch=8"]).recipe.training)
    assert [(step.method, step.epochs, step.batch) for step in steps] == [
        ("fit", 3, 8),
        ("prune", 8, 32),
        ("cluster", 3, 32),
        ("qat", 7, 32),
    ]


def test_another_form_of_training_replaces_that_of_the_base(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", FULL)
    child = {"extends": "base.yaml", "training": [{"method": "prune"}, {"method": "qat"}]}
    steps = steps_of(load_recipe(write(tmp_path / "a.yaml", child)).recipe.training)
    assert [(step.method, step.learning_rate) for step in steps] == [("prune", 2e-3), ("qat", 5e-4)]
    child = {"extends": "a.yaml", "training": {"method": "qat"}}
    (step,) = steps_of(load_recipe(write(tmp_path / "b.yaml", child)).recipe.training)
    assert step.method == "qat"


def test_override_mends_a_mistake_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", SMALL | {"seed": "x"})
    assert load_recipe(path, ["seed=5"]).recipe.seed == 5


def test_mistakes_name_the_path_as_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipes").mkdir()
    write(tmp_path / "recipes/a.yaml", SMALL | {"quantization": {"scheme": "fulint8"}})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError) as caught:
        load_recipe("recipes/a.yaml")
    (problem,) = caught.value.problems
    assert (problem.where, problem.path) == ("recipes/a.yaml:7", "quantization.scheme")
    assert problem.text.endswith("Got 'fulint8'. Did you mean 'full_int8'?")


def test_file_that_cannot_be_looked_at_is_a_mistake(tmp_path: Path) -> None:
    content = SMALL | {"model": {"source": "keras_file", "path": "x" * 300 + ".keras"}}
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path / "a.yaml", content))
    assert [problem.path for problem in caught.value.problems] in (["model"], ["model.path"])


def test_check_needs_neither_tensorflow_nor_numpy(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", FULL)
    code = (
        "import sys; from tflite_pipeline.recipe.load import load_recipe; "
        f"load_recipe({str(path)!r}); "
        "print([name for name in ('tensorflow', 'keras', 'tf_keras', 'numpy', 'ai_edge_litert', 'sklearn', 'PIL')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
