from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tflite_pipeline.recipe.load import LoadedRecipe, load_recipe

HEAD: dict[str, Any] = {
    "recipe": 1,
    "name": "demo",
    "model": {"source": "application", "name": "MobileNetV2"},
    "dataset": {
        "source": "digits",
        "splits": {"train": 0.6, "test": 0.4},
        "calibration": {"split": "train"},
        "evaluation": {"split": "test"},
        "preprocessing": [{"resize": {"height": 96, "width": 96}}, "grayscale_to_rgb"],
    },
    "quantization": {"scheme": "full_int8"},
}


def loaded(folder: Path, *targets: str, **quantization: Any) -> LoadedRecipe:
    spec = {"scheme": "full_int8"} | quantization
    content = HEAD | {"targets": list(targets), "quantization": spec}
    (folder / "a.yaml").write_text(yaml.safe_dump(content))
    return load_recipe(folder / "a.yaml")


@pytest.mark.parametrize(
    ("targets", "decided"),
    [
        ((), {}),
        (("litert", "tflite-2.14"), {}),
        (("web",), {"model.batch": 1, "quantization.io": "float32"}),
        (("tflm", "gpu"), {"model.batch": 1}),
        (("edgetpu",), {"model.batch": 1, "quantization.per_channel_dense": False}),
        (("ethos-u55",), {"model.batch": 1, "quantization.io": "int8"}),
    ],
)
def test_what_a_recipe_leaves_open_is_decided_by_its_targets(
    targets: tuple[str, ...], decided: dict[str, Any], tmp_path: Path
) -> None:
    found = loaded(tmp_path, *targets)
    assert {decision.key: decision.value for decision in found.decisions} == decided
    assert {name for decision in found.decisions for name in decision.by} <= set(targets)
    for key, value in decided.items():
        section, _, name = key.partition(".")
        assert getattr(getattr(found.recipe, section), name) == value


def test_what_a_recipe_says_itself_stays(tmp_path: Path) -> None:
    found = loaded(tmp_path, "ethos-u55", "edgetpu", io="uint8", per_channel_dense=False)
    assert [decision.key for decision in found.decisions] == ["model.batch"]
    assert found.recipe.quantization.io == "uint8"


def test_only_kernels_at_float_data_make_old_runtimes_demand_one_scale(tmp_path: Path) -> None:
    (decision,) = loaded(tmp_path, "tflite-2.14", scheme="dynamic_int8").decisions
    assert str(decision) == "quantization.per_channel_dense: false, as tflite-2.14 demands"
    assert not loaded(tmp_path, "tflite-2.14", scheme="weight_int8").decisions
    assert not loaded(tmp_path, "android-tflite-2.16", scheme="dynamic_int8").decisions


def test_resolved_recipe_says_what_was_decided_and_by_whom(tmp_path: Path) -> None:
    first = loaded(tmp_path, "edgetpu", "ethos-u55")
    lines = first.resolved.splitlines()
    assert lines[:3] == [
        "# model.batch: 1, as edgetpu, ethos-u55 demand",
        "# quantization.io: int8, as ethos-u55 demands",
        "# quantization.per_channel_dense: false, as edgetpu demands",
    ]
    (tmp_path / "again.yaml").write_text(first.resolved)
    again = load_recipe(tmp_path / "again.yaml")
    assert (again.recipe, again.sha256, again.decisions) == (first.recipe, first.sha256, ())
