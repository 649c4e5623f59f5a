from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tflite_pipeline.convert.spec import STRONG
from tflite_pipeline.errors import RecipeError
from tflite_pipeline.recipe.load import load_recipe
from tflite_pipeline.schemes import SCHEMES, permits
from tflite_pipeline.search.candidates import Choice, Space, counted
from tflite_pipeline.search.request import Request, load_base, read_budget, read_drop

RECIPE = Path(__file__).parent.parent.parent.parent / "recipes" / "mobilenet.yaml"


def space(*sets: str, path: Path = RECIPE) -> Space:
    request = Request(str(path), sets, False, 0.005, "size", 60.0)
    return Space.of(request, load_base(str(path), sets, False).recipe)


def test_every_scheme_that_is_allowed_makes_a_sound_recipe():
    full = space()
    for scheme in full.schemes:
        recovery = STRONG if full.recovers(scheme) else ()
        recipe = full.candidate(Choice(scheme, recovery)).loaded.recipe
        assert recipe.quantization.scheme == scheme
        assert recipe.quantization.recovery == recovery
        assert recipe.validation.gates.max_drop == {"top1": 0.005}
        assert recipe.validation.gates.confidence == 0
        assert recipe.validation.gates.min_agreement == 0.97
    assert "mixed" not in full.schemes


def test_schemes_that_cannot_have_the_io_are_not_tried_for_all_layers():
    full = space()
    assert full.base.quantization.io == "int8"
    assert set(full.whole) == {"full_int8", "int8x4"}
    assert {"float32", "dynamic_int4"} <= set(full.schemes)
    loose = space("quantization.io=float32")
    assert loose.whole == loose.schemes


@pytest.mark.parametrize(
    ("allow", "schemes"),
    [
        ("[int8]", {"full_int8"}),
        ("[int8, int4]", {"full_int8", "int8x4"}),
        ("[int8, float32]", {"float32", "dynamic_int8", "weight_int8", "full_int8"}),
        ("[float16, float32]", {"float16", "float32"}),
        ("[int16, int8]", {"full_int8", "int16x8"}),
    ],
)
def test_allow_leaves_the_schemes_that_need_nothing_else(allow, schemes):
    assert set(space(f"search.allow={allow}").schemes) == schemes


def test_schemes_that_a_target_refuses_are_not_tried():
    assert set(space("targets=[ethos-u55]").schemes) == {"full_int8", "int16x8"}
    assert set(space("targets=[edgetpu]").whole) == {"full_int8"}


def test_all_schemes_are_allowed_by_default():
    assert {name for name in SCHEMES if name != "mixed"} == set(space().schemes)
    assert not permits(("int4", "float32"), "dynamic_int4")


@pytest.mark.parametrize(("allow", "told"), [("[]", "Got none."), ("[int4]", "Got int4."), ("[float16]", "float16.")])
def test_a_list_that_no_scheme_can_do_with_is_a_mistake(allow, told):
    with pytest.raises(RecipeError, match="must allow all that some scheme needs") as caught:
        load_recipe(RECIPE, [f"search.allow={allow}"])
    assert str(caught.value).endswith(told)


def test_a_recipe_that_trains_with_rounding_is_searched_without_and_once_with(tmp_path):
    sets = ("training={method: qat, epochs: 2, weight_bits: 8}", "validation.gates.min_fidelity=0.9")
    full = space(*sets)
    plain = full.candidate(Choice("full_int8", STRONG)).loaded.recipe
    assert plain.training is None
    assert plain.validation.gates.min_fidelity is None
    trained: Any = full.candidate(Choice("int8x4", qat=True)).loaded.recipe.training
    assert (trained[-1].method, trained[-1].epochs, trained[-1].weight_bits) == ("qat", 2, None)
    assert full.trains
    assert not space().trains


def test_no_recovery_after_pruning_nor_on_floats_nor_by_the_converter():
    assert not space("training={method: prune}").recovers("full_int8")
    assert not space("quantization.engine=converter").recovers("full_int8")
    full = space()
    assert [name for name in full.schemes if not full.recovers(name)] == [
        "float32",
        "float16",
        "dynamic_int4_block32",
        "dynamic_int4_block64",
        "dynamic_int4_block128",
    ]


def test_rules_of_a_candidate_come_after_the_methods_by_layer_of_the_recipe():
    full = space("quantization.rules=[{layer: Conv1, method: minmax}]")
    rules = ({"op": "CONV_2D", "scheme": "int8x4"}, {"tensor": "*", "scheme": "full_int8"})
    recipe = full.candidate(Choice("mixed", rules=rules)).loaded.recipe
    assert [(rule.method, rule.scheme) for rule in recipe.quantization.rules] == [
        ("minmax", None),
        (None, "int8x4"),
        (None, "full_int8"),
    ]


def test_the_written_recipe_is_the_same_recipe(tmp_path):
    candidate = space().candidate(Choice("int8x4", STRONG))
    (tmp_path / "again.yaml").write_text(candidate.loaded.resolved)
    assert load_recipe(tmp_path / "again.yaml").sha256 == candidate.loaded.sha256
    assert load_recipe(RECIPE, candidate.overrides).sha256 == candidate.loaded.sha256
    assert yaml.safe_load(candidate.loaded.resolved)["search"]["allow"][-1] == "int4"


def test_counts_layers_by_precision():
    assert counted(["full_int8", "int8x4", "int8x4", "int16x8", "float32"]) == "2 int4, 1 int8, 1 int16, 1 float32"


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("20m", 1200), ("1h", 3600), ("1.5m", 90)])
def test_reads_a_budget(text, seconds):
    assert read_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "0s", "-1m", "1d", "m"])
def test_refuses_what_is_no_time(text):
    with pytest.raises(RecipeError, match="--budget"):
        read_budget(text)


@pytest.mark.parametrize("text", ["", "x", "-0.1", "nan", "inf"])
def test_refuses_what_is_no_drop(text):
    with pytest.raises(RecipeError, match="--max-drop"):
        read_drop(text)
    assert read_drop("0") == 0
