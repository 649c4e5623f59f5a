from __future__ import annotations

from typing import Any

import pytest

from tflite_pipeline.recipe.load import judge
from tflite_pipeline.recipe.yaml_text import dotted

HEAD: dict[str, Any] = {"recipe": 1, "name": "demo", "quantization": {"scheme": "float16"}}
MODEL: dict[str, Any] = {"source": "application", "name": "MobileNetV2", "input_shape": [96, 96, 3], "classes": 10}
FIT: dict[str, Any] = {"method": "fit", "epochs": 1}
PRUNE, CLUSTER, QAT = ({"method": method} for method in ("prune", "cluster", "qat"))
DIGITS: dict[str, Any] = {
    "source": "digits",
    "preprocessing": [{"resize": {"height": 96, "width": 96}}, "grayscale_to_rgb"],
}
CODE: dict[str, Any] = {"source": "factory", "function": "a:b"}
NOISE: dict[str, Any] = {"source": "synthetic", "classes": 2}
CALIBRATED = {"scheme": "full_int8"}
MIXED = {"scheme": "mixed", "rules": [{"op": "CONV_2D", "scheme": "int8x4"}, {"op": "*", "scheme": "float16"}]}


def paths(recipe: dict[str, Any], allow_code: bool = False) -> list[str]:
    return [dotted(path) for path, _ in judge(recipe, allow_code)[1]]


def reshaped(*shape: int) -> list[dict[str, Any]]:
    return [{"reshape": {"shape": list(shape)}}]


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


@pytest.mark.parametrize(
    "scheme", ["dynamic_int8", "dynamic_int4", "weight_int8", "weight_int4", "full_int8", "int16x8"]
)
def test_qat_goes_with_schemes_of_integers(scheme: str) -> None:
    recipe = HEAD | {"model": MODEL, "dataset": DIGITS, "training": QAT}
    assert paths(recipe | {"quantization": {"scheme": scheme}}) == []


@pytest.mark.parametrize("scheme", ["float32", "float16", "dynamic_int4_block128"])
def test_prune_and_cluster_go_with_every_scheme(scheme: str) -> None:
    recipe = HEAD | {"model": MODEL, "dataset": DIGITS, "quantization": {"scheme": scheme}}
    assert paths(recipe | {"training": [FIT, PRUNE, CLUSTER]}) == []
    assert paths(recipe | {"training": [PRUNE, QAT]}) == ["training.1"]


@pytest.mark.parametrize("source", ["saved_model", "tflite"])
def test_steps_on_the_graph_take_every_source(source: str) -> None:
    model = {"source": source, "path": "/nowhere.tflite"}
    recipe = HEAD | {"model": model, "dataset": DIGITS, "quantization": CALIBRATED}
    assert paths(recipe | {"training": [PRUNE, CLUSTER, QAT]}) == ["model.path"]


@pytest.mark.parametrize(
    ("bits", "quantization"),
    [
        (4, {"scheme": "int8x4"}),
        (8, CALIBRATED),
        (4, MIXED),
        (8, {"scheme": "int16x8"}),
        (4, {"scheme": "weight_int4"}),
    ],
)
def test_weight_bits_go_with_a_scheme_that_stores_them(bits: int, quantization: dict[str, Any]) -> None:
    recipe = HEAD | {"model": MODEL, "dataset": DIGITS, "quantization": quantization}
    assert paths(recipe | {"training": QAT | {"weight_bits": bits}}) == []


def test_weight_bits_of_a_scheme_without_integers_are_told_once() -> None:
    assert paths(HEAD | {"model": MODEL, "dataset": DIGITS, "training": QAT | {"weight_bits": 4}}) == ["training"]


def test_rules_of_training_wait_for_a_known_scheme() -> None:
    recipe = HEAD | {"model": MODEL, "dataset": DIGITS, "quantization": {"scheme": "int7", "engine": "converter"}}
    assert paths(recipe | {"training": QAT | {"weight_bits": 4}}) == ["quantization.scheme"]


def test_labels_that_only_the_factory_knows_are_enough_to_train() -> None:
    assert paths(HEAD | {"model": MODEL, "dataset": CODE, "training": [FIT, PRUNE]}, allow_code=True) == []


@pytest.mark.parametrize(
    ("dataset", "wrong"),
    [
        (CODE, []),
        (CODE | {"preprocessing": reshaped(64)}, ["training.augment"]),
        (CODE | {"preprocessing": {"sound": reshaped(64)}}, []),
        (NOISE | {"shape": [49, 10]}, ["training.augment"]),
        (NOISE | {"shape": [490], "preprocessing": reshaped(49, 10, 1)}, []),
        (NOISE | {"shape": {"sound": [490], "image": [8, 8, 1]}}, []),
        (NOISE | {"shape": {"sound": [490], "speed": [1]}}, ["training.augment"]),
        (NOISE | {"shape": {"left": [8, 8, 1], "right": [8, 8, 1]}}, ["training.augment"]),
        (NOISE | {"shape": {"x": [8, 8, 1]}, "preprocessing": {"x": reshaped(64)}}, ["training.augment"]),
    ],
)
def test_augmented_samples_are_images_where_the_recipe_tells(dataset: dict[str, Any], wrong: list[str]) -> None:
    recipe = HEAD | {"model": CODE, "dataset": dataset, "training": FIT | {"augment": {"crop": 0.9}}}
    assert paths(recipe, allow_code=True) == wrong


@pytest.mark.parametrize("recovery", ["auto", ["gptq", "bias_correction"]])
@pytest.mark.parametrize("scheme", ["full_int8", "int8x4", "int16x8", "dynamic_int8", "dynamic_int4", "weight_int4"])
def test_recovery_goes_with_schemes_of_integers(scheme: str, recovery: Any) -> None:
    recipe = HEAD | {"model": MODEL, "quantization": {"scheme": scheme, "recovery": recovery}}
    assert paths(recipe | {"dataset": DIGITS}) == []
    assert paths(recipe | {"dataset": DIGITS, "training": FIT}) == []
    calibrated = scheme in ("full_int8", "int8x4", "int16x8")
    assert paths(recipe) == ["quantization.scheme" if calibrated else "quantization.recovery"]


@pytest.mark.parametrize("step", [PRUNE, CLUSTER, QAT])
def test_recovery_does_not_change_what_was_trained_on_the_graph(step: dict[str, Any]) -> None:
    quantization = {"scheme": "full_int8", "recovery": ["bias_correction"]}
    recipe = HEAD | {"model": MODEL, "dataset": DIGITS, "quantization": quantization, "training": [FIT, step]}
    assert paths(recipe) == ["quantization.recovery"]


@pytest.mark.parametrize(
    "section",
    [
        {"scheme": "float16", "recovery": "auto"},
        {"scheme": "dynamic_int4_block32", "recovery": "auto"},
        {"scheme": "full_int8", "engine": "converter", "recovery": ["gptq"]},
        {"scheme": "full_int8", "recovery": ["gptq", "adaround"]},
        {"scheme": "full_int8", "recovery": ["gptq", "gptq"]},
    ],
)
def test_recovery_that_cannot_be_is_told(section: dict[str, Any]) -> None:
    recipe = HEAD | {"model": MODEL, "dataset": DIGITS, "quantization": section}
    assert paths(recipe) == ["quantization.recovery"]


@pytest.mark.parametrize(("given", "where"), [("gptq", "quantization.recovery"), (["x"], "quantization.recovery.0")])
def test_recovery_is_auto_or_a_list_of_known_passes(given: Any, where: str) -> None:
    section = {"scheme": "full_int8", "recovery": given}
    found = judge(HEAD | {"model": MODEL, "dataset": DIGITS, "quantization": section}, False)[1]
    assert [dotted(path) for path, _ in found] == [where]
    assert all("pydantic" not in text for _, text in found)
    assert "auto" in found[0][1] or "gptq" in found[0][1]
