"""Rules of a recipe become a scheme for each op and a calibration method for each tensor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.convert.plan import Plan, make_plan
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.graph import read_graphs

DATA = Path(__file__).parents[2] / "data"
GRAPHS = read_graphs(DATA / "audit_float32.tflite")
LAYERS = ("image", "conv", "spread", "conv_1", "twin", "add", "flat", "wide", "narrow", "scores")
OPS = ("conv", "spread", "conv_1", "twin", "add", "flat", "wide", "narrow", "scores")
"""The layer of each op of the file, in its order."""


def plan(scheme: str, *rules: dict[str, Any], **options: Any) -> Plan:
    spec = Quantization.model_validate({"scheme": scheme, "rules": list(rules), **options})
    assert not list(spec.mistakes())
    return make_plan(spec, GRAPHS, LAYERS)


def schemes(made: Plan) -> dict[str, str]:
    return {layer: made.schemes[0, index] for index, layer in enumerate(OPS)}


def methods(made: Plan) -> dict[str, str]:
    return {layer: made.methods[GRAPHS[0].ops[index].outputs[0]] for index, layer in enumerate(OPS)}


def test_every_op_gets_the_scheme_of_the_recipe() -> None:
    made = plan("full_int8")
    assert schemes(made) == dict.fromkeys(OPS, "full_int8")
    assert methods(made) == dict.fromkeys(OPS, "auto")


def test_the_first_rule_that_says_a_scheme_decides_it() -> None:
    made = plan(
        "mixed",
        {"layer": "conv", "method": "mse"},
        {"layer": "conv", "scheme": "int16x8"},
        {"op": "CONV_2D", "scheme": "full_int8"},
        {"tensor": "*/twin_1/*", "scheme": "int8x4"},
    )
    convolutions = {"conv": "int16x8", "conv_1": "full_int8", "twin": "full_int8"}
    assert schemes(made) == dict.fromkeys(OPS, "float32") | convolutions


def test_a_last_rule_covers_all_other_layers() -> None:
    made = plan("mixed", {"layer": "scores", "scheme": "float32"}, {"tensor": "*", "scheme": "full_int8"})
    assert schemes(made) == dict.fromkeys(OPS, "full_int8") | {"scores": "float32"}


def test_the_first_rule_that_says_a_method_decides_it() -> None:
    made = plan(
        "full_int8",
        {"layer": "conv_1", "method": "entropy"},
        {"op": "CONV_2D", "method": "mse"},
        calibration={"method": "percentile"},
    )
    some = {"conv": "mse", "conv_1": "entropy", "twin": "mse"}
    assert methods(made) == dict.fromkeys(OPS, "percentile") | some
    assert schemes(made) == dict.fromkeys(OPS, "full_int8")


def test_a_rule_with_a_scheme_only_leaves_the_method_as_it_is() -> None:
    made = plan("mixed", {"layer": "conv", "scheme": "full_int8"}, {"layer": "conv", "method": "mse"})
    assert methods(made) == dict.fromkeys(OPS, "auto") | {"conv": "mse"}


def test_inputs_are_calibrated_as_the_recipe_says_for_all() -> None:
    made = plan("full_int8", {"tensor": "*", "method": "mse"}, calibration={"method": "entropy"})
    (entry,) = GRAPHS[0].inputs
    assert made.methods[entry] == "entropy"
    assert set(methods(made).values()) == {"mse"}


def test_ops_of_all_subgraphs_have_a_scheme_and_tensors_of_the_first_a_method() -> None:
    graphs = [*GRAPHS, replace(GRAPHS[0], index=1)]
    made = make_plan(Quantization(scheme="full_int8"), graphs, LAYERS)
    assert set(made.schemes) == {(graph, op) for graph in (0, 1) for op in range(len(OPS))}
    assert len(made.methods) == len(OPS) + 1


@pytest.mark.parametrize("key", ["rules", "allow_float"])
def test_a_selector_that_fits_no_op_is_refused(key: str) -> None:
    entries = {"rules": {"op": "SOFTMX", "method": "mse"}, "allow_float": {"op": "SOFTMX"}}
    spec = Quantization.model_validate({"scheme": "full_int8", key: [entries[key]]})
    with pytest.raises(StageError, match=rf"every entry of quantization\.{key} must fit .* Got op 'SOFTMX'\."):
        make_plan(spec, GRAPHS, LAYERS)
