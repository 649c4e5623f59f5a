from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tflite_pipeline.errors import RecipeError
from tflite_pipeline.recipe.load import load_recipe
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.search.variants import Variant, plan_variants
from tflite_pipeline.train.spec import steps_of

RECIPE: dict[str, Any] = {
    "recipe": 1,
    "name": "small",
    "model": {"source": "application", "name": "MobileNetV2", "input_shape": [32, 32, 3], "classes": 10},
    "dataset": {
        "source": "digits",
        "splits": {"train": 0.6, "test": 0.4},
        "calibration": {"split": "train", "samples": 20},
        "evaluation": {"split": "test", "samples": 20},
        "preprocessing": [{"resize": {"height": 32, "width": 32}}, "grayscale_to_rgb"],
    },
    "quantization": {"scheme": "full_int8", "io": "int8"},
    "validation": {"metrics": ["top1"]},
}
METHODS = "quantization.calibration.method=[minmax,percentile]"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write(tmp_path, {})


def write(folder: Path, changes: dict[str, Any]) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(RECIPE | changes))
    return path


def names(variants: tuple[Variant, ...]) -> list[str]:
    return [variant.name for variant in variants]


def told(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        plan_variants(*args, **kwargs)
    return str(caught.value)


def test_every_scheme_but_mixed_is_tried_when_none_is_named(recipe: Path) -> None:
    assert names(plan_variants(recipe)) == [name for name in SCHEMES if name != "mixed"]


def test_schemes_that_a_target_refuses_are_tried_only_when_named(tmp_path: Path) -> None:
    path = write(tmp_path, {"targets": ["ethos-u55"], "quantization": {"scheme": "full_int8"}})
    found = plan_variants(path)
    assert {one.scheme: one.loaded.recipe.quantization.io for one in found} == {"full_int8": "int8", "int16x8": "int16"}
    assert "must be full_int8 or int16x8 or mixed with target ethos-u55" in told(path, "float16")


def test_io_falls_back_to_what_the_targets_take(tmp_path: Path) -> None:
    path = write(tmp_path, {"targets": ["ethos-u55"]})
    found = {one.scheme: (one.loaded.recipe.quantization.io, one.notes) for one in plan_variants(path)}
    assert found == {"full_int8": ("int8", ()), "int16x8": ("int16", ("io is int16 where the scheme has no int8",))}


def test_calibrated_schemes_are_left_out_when_there_is_no_data(tmp_path: Path) -> None:
    changes = {"dataset": None, "validation": {}, "quantization": {"scheme": "float16"}}
    found = names(plan_variants(write(tmp_path, changes)))
    assert found == [name for name, row in SCHEMES.items() if not row.calibrated]


def test_mixed_is_tried_when_the_recipe_is_mixed(tmp_path: Path) -> None:
    rules = [{"op": "CONV_2D", "scheme": "full_int8", "method": "mse"}, {"op": "SOFTMAX", "scheme": "float32"}]
    changes = {"quantization": {"scheme": "mixed", "rules": rules}}
    by_name = {variant.name: variant for variant in plan_variants(write(tmp_path, changes))}
    assert len(by_name["mixed"].loaded.recipe.quantization.rules) == 2
    (kept,) = by_name["full_int8"].loaded.recipe.quantization.rules
    assert (kept.op, kept.scheme, kept.method) == ("CONV_2D", None, "mse")
    assert by_name["full_int8"].notes
    assert by_name["float16"].loaded.recipe.quantization.rules == ()


def test_schemes_are_named_in_the_recipe_or_for_the_sweep(recipe: Path) -> None:
    assert [variant.name for variant in plan_variants(recipe) if variant.named] == ["full_int8"]
    assert all(variant.named for variant in plan_variants(recipe, "float16,int8x4"))


def test_io_falls_back_when_the_scheme_cannot_have_it(recipe: Path) -> None:
    full, half = plan_variants(recipe, "full_int8,float16")
    assert (full.loaded.recipe.quantization.io, full.notes) == ("int8", ())
    assert half.loaded.recipe.quantization.io == "float32"
    assert half.notes == ("io is float32 where the scheme has no int8",)


def test_engine_falls_back_when_the_scheme_cannot_have_it(tmp_path: Path) -> None:
    path = write(tmp_path, {"quantization": {"scheme": "full_int8", "engine": "mlir"}})
    full, half = plan_variants(path, "full_int8,float16")
    assert (full.loaded.recipe.quantization.engine, half.loaded.recipe.quantization.engine) == ("mlir", "auto")


def test_lists_are_multiplied_and_scalars_hold_for_all(recipe: Path) -> None:
    sets = [METHODS, "seed=7", "dataset.calibration.samples=[10,20]"]
    variants = plan_variants(recipe, "full_int8", sets)
    assert names(variants) == [
        "full_int8 method=minmax samples=10",
        "full_int8 method=minmax samples=20",
        "full_int8 method=percentile samples=10",
        "full_int8 method=percentile samples=20",
    ]
    assert {variant.loaded.recipe.seed for variant in variants} == {7}
    assert variants[0].settings == {
        "quantization.calibration.method": "minmax",
        "dataset.calibration.samples": "10",
    }
    assert len({variant.folder for variant in variants}) == 4


def test_overrides_alone_make_the_same_recipe(recipe: Path) -> None:
    sets = [METHODS, "quantization.calibration.percentile=99.5", "quantization.io=[int8,float32]"]
    for variant in plan_variants(recipe, "full_int8,float16,int16x8", sets):
        assert load_recipe(recipe, variant.overrides).sha256 == variant.loaded.sha256
        keys = [text.partition("=")[0] for text in variant.overrides]
        assert len(keys) == len(set(keys))


def test_variants_that_are_the_same_recipe_are_tried_once(recipe: Path) -> None:
    sets = [METHODS, "quantization.io=[int8,float32]", "dataset.calibration.samples=[20]"]
    variants = plan_variants(recipe, "full_int8,float16", sets)
    assert names(variants) == [
        "full_int8 method=minmax io=int8",
        "full_int8 method=minmax io=float32",
        "full_int8 method=percentile io=int8",
        "full_int8 method=percentile io=float32",
        "float16 io=float32",
    ]


def test_choices_that_decide_nothing_are_no_variants(recipe: Path) -> None:
    sets = ["dataset.calibration.samples=[10,20]", "quantization.symmetric_activations=[true,false]"]
    assert names(plan_variants(recipe, "full_int8,float16", [sets[0]])) == [
        "full_int8 samples=10",
        "full_int8 samples=20",
        "float16",
    ]
    (half,) = plan_variants(recipe, "float16", sets)
    assert half.loaded.recipe.quantization.symmetric_activations is False


def test_percentile_is_taken_back_when_another_method_of_the_sweep_has_none(recipe: Path) -> None:
    variants = plan_variants(recipe, "full_int8", [METHODS, "quantization.calibration.percentile=[99,99.5]"])
    assert names(variants) == [
        "full_int8 method=minmax",
        "full_int8 method=percentile percentile=99",
        "full_int8 method=percentile percentile=99.5",
    ]


def test_percentile_is_a_mistake_when_no_method_reads_it(recipe: Path) -> None:
    text = told(recipe, "full_int8", ["quantization.calibration.percentile=[99,99.5]"])
    assert "must come with method: percentile" in text
    assert text.startswith("--set quantization.calibration.percentile=[99,99.5]: ")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("[[a, b]]", [["a", "b"]]),
        ("[{resize: {height: 8}}, x y]", [{"resize": {"height": 8}}, "x y"]),
        ("['1', 1, 1e-7, .inf, true, null]", ["1", 1, 1e-7, float("inf"), True, None]),
        (
            "['a: b', '# c', \"d\\n\", '- e', '0:10', 'é', '${X}/y']",
            ["a: b", "# c", "d\n", "- e", "0:10", "é", "${X}/y"],
        ),
    ],
)
def test_items_of_a_list_are_read_as_they_were_written(value: str, read: list[Any]) -> None:
    from tflite_pipeline.recipe.yaml_text import read_yaml
    from tflite_pipeline.search.variants import _axis

    texts = _axis(f"seed={value}").texts
    assert [read_yaml(text.partition("=")[2], "", Path()).value for text in texts] == read


def test_folders_differ_when_names_differ_only_in_signs_or_case(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("w b.h5", "w_b.h5", "W b.h5"):
        (tmp_path / "a" / name).write_bytes(b"\x89HDF\r\n\x1a\n")
    model = RECIPE["model"]
    path = write(tmp_path, {"model": model | {"weights": None}})
    files = json.dumps([str(tmp_path / "a" / name) for name in ("w b.h5", "W b.h5")])
    variants = plan_variants(path, "float32", [f"model.weights={files}"])
    assert len({variant.folder.lower() for variant in variants}) == 2
    assert all("/" not in variant.folder for variant in variants)


def test_unknown_schemes_are_told_where_they_were_written(recipe: Path) -> None:
    text = told(recipe, "full_int,float16,int8")
    assert [line.split(":")[0] for line in text.splitlines()] == ["--schemes full_int", "--schemes int8"]
    assert "Did you mean 'full_int8'?" in text


def test_mistakes_of_all_variants_are_told_once(recipe: Path) -> None:
    text = told(recipe, "mixed,full_int8", ["seed=[0,x]", "validation.parity=0", "names=1"])
    lines = text.splitlines()
    assert len(lines) == 4
    assert sum("must be above 0" in line for line in lines) == 1
    assert any(line.endswith("(variant mixed seed=0, mixed seed=x)") for line in lines if "quantization.rules" in line)


def test_list_for_a_key_that_is_a_list_says_how_it_is_written(recipe: Path) -> None:
    text = told(recipe, "float16", ["targets=[litert]"])
    assert text.startswith("--set targets=[litert]: targets: must be a list.")
    assert "[[…]]" in text


@pytest.mark.parametrize(
    ("schemes", "sets", "words"),
    [
        ("float16", ["quantization.scheme=[float16]"], "must be given once. Got --schemes float16 as well."),
        (None, ["seed=[1]", "seed=[2]"], "must be given once. Got seed=[1] as well."),
        (None, ["seed=[1,2]", "seed=3"], "must be given once. Got seed=[1,2] as well."),
        (None, ["seed=[]"], "must have at least one value. Got none. An empty list is [[]]."),
        (" , ", [], "must be names of schemes"),
        (None, ["seed"], "must be key.to.set=value. Got 'seed'."),
        (None, ["seed=[1,{"], "--set seed=[1,{: seed: must"),
        (None, ["name=[a,b]"], "must be one for the whole sweep"),
    ],
)
def test_unclear_overrides_are_refused(recipe: Path, schemes: str | None, sets: list[str], words: str) -> None:
    assert words in told(recipe, schemes, sets)


def test_schemes_may_be_given_as_an_override(recipe: Path) -> None:
    assert names(plan_variants(recipe, None, ["quantization.scheme=[float16,full_int8]"])) == ["float16", "full_int8"]
    assert names(plan_variants(recipe, None, ["quantization.scheme=float16"])) == ["float16"]


def test_missing_recipe_is_told(tmp_path: Path) -> None:
    assert "does not exist" in told(tmp_path / "none.yaml")


GATED = {
    "metrics": ["top1"],
    "gates": {"max_drop": {"top1": 0.02}, "max_training_drop": {"top1": 0.01}, "min_fidelity": 0.9},
}


def trained_recipe(folder: Path, training: Any, validation: dict[str, Any] | None = None) -> Path:
    return write(folder, {"training": training, "validation": validation or RECIPE["validation"]})


@pytest.mark.parametrize("steps", [{"method": "qat"}, [{"method": "qat"}]])
def test_qat_and_its_gates_give_way_when_the_scheme_has_no_rounding_to_train(tmp_path: Path, steps: Any) -> None:
    found = {one.name: one for one in plan_variants(trained_recipe(tmp_path, steps, GATED))}
    assert set(found) == {name for name in SCHEMES if name != "mixed"}
    for name, variant in found.items():
        recipe, trains = variant.loaded.recipe, not name.startswith("float") and "block" not in name
        assert bool(recipe.training) == trains
        assert any("no qat" in note for note in variant.notes) != trains
        assert recipe.validation.gates.max_drop == {"top1": 0.02}
        assert bool(recipe.validation.gates.max_training_drop) == trains
        # It counts in steps of the output, of which float has none.
        assert (recipe.validation.gates.min_fidelity is not None) == (trains and SCHEMES[name].calibrated)
    assert load_recipe(tmp_path / "small.yaml", found["float16"].overrides).sha256 == found["float16"].loaded.sha256


def test_other_steps_stay_when_qat_gives_way(tmp_path: Path) -> None:
    steps = [{"method": "prune", "sparsity": 0.6}, {"method": "qat", "epochs": 1}]
    (half, whole) = plan_variants(trained_recipe(tmp_path, steps), "float16,full_int8")
    assert [step.method for step in steps_of(half.loaded.recipe.training)] == ["prune"]
    assert [step.method for step in steps_of(whole.loaded.recipe.training)] == ["prune", "qat"]
    assert whole.notes == ()


def test_stated_bits_give_way_to_those_of_the_scheme(tmp_path: Path) -> None:
    path = trained_recipe(tmp_path, {"method": "qat", "epochs": 2, "weight_bits": 8})
    four, eight = plan_variants(path, "int8x4,full_int8")
    assert [step.weight_bits for step in steps_of(four.loaded.recipe.training)] == [None]
    assert [step.epochs for step in steps_of(four.loaded.recipe.training)] == [2]
    assert [step.weight_bits for step in steps_of(eight.loaded.recipe.training)] == [8]
    assert four.notes


def test_settings_of_qat_make_no_variants_when_it_gives_way(tmp_path: Path) -> None:
    path = trained_recipe(tmp_path, {"method": "qat", "epochs": 2})
    found = plan_variants(path, "float16,full_int8", ["training.epochs=[1, 2]"])
    assert names(found) == ["float16", "full_int8 epochs=1", "full_int8 epochs=2"]
