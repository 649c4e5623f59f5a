from __future__ import annotations

from typing import Any

from tflite_pipeline.recipe.load import judge
from tflite_pipeline.recipe.yaml_text import dotted

HEAD: dict[str, Any] = {"recipe": 1, "name": "demo", "quantization": {"scheme": "float16"}}
MODEL: dict[str, Any] = {"source": "application", "name": "MobileNetV2", "input_shape": [96, 96, 3], "classes": 10}
FIT: dict[str, Any] = {"method": "fit", "epochs": 1}


def paths(recipe: dict[str, Any], allow_code: bool = False) -> list[str]:
    return [dotted(path) for path, _ in judge(recipe, allow_code)[1]]


def test_rules_run_although_another_section_is_broken() -> None:
    recipe = HEAD | {"model": {"source": "keras"}, "quantization": {"scheme": "full_int8"}, "training": FIT}
    assert paths(recipe) == ["model.source", "quantization.scheme", "training"]


def test_rules_wait_for_their_sections() -> None:
    assert paths(HEAD | {"model": MODEL, "dataset": {"source": "digitz"}, "training": FIT}) == ["dataset.source"]


def test_code_runs_when_it_is_allowed() -> None:
    recipe = HEAD | {"model": {"source": "factory", "function": "a:b"}}
    assert paths(recipe) == ["model.function"]
    assert paths(recipe, allow_code=True) == []


def test_labels_of_a_split_are_enough_to_train() -> None:
    splits = {name: {"inputs": f"x_{name}", "labels": f"y_{name}"} for name in ("train", "test")}
    dataset = {"source": "npz", "path": "/nowhere.npz", "splits": splits}
    assert paths(HEAD | {"model": MODEL, "dataset": dataset, "training": FIT}) == ["dataset.path"]


def test_samples_of_unknown_size_fit_any_model() -> None:
    steps = [{"scale": {"factor": 2.0}}]
    dataset = {"source": "image_folder", "path": "/", "preprocessing": steps}
    assert paths(HEAD | {"model": MODEL, "dataset": dataset}) == []


def test_images_of_a_folder_have_three_channels() -> None:
    steps = [{"resize": {"height": 96, "width": 96}}]
    dataset = {"source": "image_folder", "path": "/", "preprocessing": steps}
    gray = MODEL | {"input_shape": [96, 96, 1]}
    assert paths(HEAD | {"model": MODEL, "dataset": dataset}) == []
    assert paths(HEAD | {"model": gray, "dataset": dataset}) == ["dataset.preprocessing"]
