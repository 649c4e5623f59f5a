"""Causes and remedies follow from the figures of an op alone."""

from __future__ import annotations

from typing import Any

import pytest

from tflite_pipeline.causes import Suspect, diagnose, finer_scheme
from tflite_pipeline.convert.sensitivity import OpEffect
from tflite_pipeline.convert.spec import RECOVERY_SUMMARIES
from tflite_pipeline.validate.layer_errors import OpErrors

ALL = frozenset(RECOVERY_SUMMARIES)


def effect(sqnr_db: float | None = 25.0, scheme: str = "full_int8", layer: str = "relu, conv") -> OpEffect:
    return OpEffect(3, "CONV_2D", "relu/Relu;conv/Conv2D", layer, scheme, sqnr_db, 0.97, 0.01, 600, 2400)


def errors(**changes: Any) -> OpErrors:
    figures = {
        "index": 3,
        "file_index": 4,
        "op": "CONV_2D",
        "tensor": "relu/Relu;conv/Conv2D",
        "layer": "relu, conv",
        "activations": "int8",
        "weights": "int8",
        "granularity": "per_channel",
        "sqnr_db": 28.0,
        "before_db": 31.0,
        "mean_lsb": 0.1,
        "max_lsb": 12.0,
        "typical_lsb": 30.0,
        "clipped": 0.0001,
        "saturated": 0.0,
        "shift": 0.05,
        "channels_largest_to_median": 2.0,
        "channels_largest_to_smallest": 5.0,
        "inputs_largest_to_median": 3.0,
    }
    return OpErrors(**(figures | changes))


CASES = {
    "float": (Suspect(None, errors(activations="float32", weights="float32")), ["in float"], ["leave it"]),
    "inherited": (Suspect(effect(50.0), errors(), None, ALL), ["31 dB already"], ["layers before it"]),
    "little": (Suspect(effect(50.0), errors(sqnr_db=45.0), None, ALL), ["nothing"], ["leave it"]),
    "clipped": (Suspect(effect(), errors(clipped=0.031), None, ALL), ["3.10%"], ["{layer: conv, method: minmax}"]),
    "int4": (
        Suspect(effect(8.0, "int8x4"), errors(weights="int4", clipped=0.02), effect(30.0), ALL),
        ["4 bits"],
        ["recovery: [gptq, bias_correction]", "{layer: conv, scheme: full_int8}", "22 dB better"],
    ),
    "uneven_channels": (
        Suspect(effect(), errors(granularity="per_tensor", channels_largest_to_median=40.0), None, ALL),
        ["40 times", "share one scale"],
        ["recovery: [equalization]"],
    ),
    "shared_range": (
        Suspect(effect(), errors(op="AVERAGE_POOL_2D", weights="", typical_lsb=9.0), effect(60.0, "int16x8"), ALL),
        ["scale of what it reads", "9.0 steps"],
        ["{layer: conv, scheme: int16x8}", "35 dB better"],
    ),
    "outliers": (
        Suspect(effect(), errors(typical_lsb=4.0), effect(60.0, "int16x8"), ALL),
        ["4.0 steps of 256", "outliers"],
        ["method: mse", "int16x8"],
    ),
    "shift": (Suspect(effect(), errors(shift=0.6), None, ALL), ["60%"], ["recovery: [bias_correction]"]),
    "weights": (
        Suspect(effect(), errors(), effect(26.0, "int16x8"), ALL),
        ["coarse for its weights"],
        ["recovery: [gptq, bias_correction]", "scheme: float32"],
    ),
    "rounding": (Suspect(effect(), errors(), effect(50.0, "int16x8"), ALL), ["plain rounding"], ["int16x8"]),
}


@pytest.mark.parametrize("name", CASES)
def test_figures_lead_to_their_cause_and_remedy(name):
    suspect, causes, remedies = CASES[name]
    found, cause, remedy = diagnose(suspect)
    assert found == name
    assert all(text in cause for text in causes)
    assert all(text in remedy for text in remedies)


def test_passes_that_cannot_be_asked_for_are_not_advised():
    asked = Suspect(effect(8.0, "int8x4"), errors(weights="int4"), effect(30.0), ALL - {"gptq"})
    assert diagnose(asked)[2].startswith("recovery: [bias_correction], or a rule")
    none = Suspect(effect(8.0, "int8x4"), errors(weights="int4"), effect(30.0))
    assert diagnose(none)[2].startswith("a rule {layer: conv, scheme: full_int8}")


def test_more_steps_are_not_advised_when_they_do_not_help():
    few = Suspect(effect(), errors(typical_lsb=4.0), effect(27.0, "int16x8"), ALL)
    assert diagnose(few)[0] == "weights"
    eight_bits = Suspect(effect(36.0, "int8x4"), errors(weights="int4"), effect(38.0), ALL)
    assert diagnose(eight_bits)[0] == "rounding"


def test_channels_that_an_op_reads_may_be_the_uneven_ones():
    name, cause, remedy = diagnose(Suspect(effect(), errors(inputs_largest_to_median=80.0), None, ALL))
    assert name == "uneven_channels"
    assert cause.startswith("the largest channel that it reads has weights 80 times")
    assert "equalization" in remedy


def test_range_that_a_kernel_prescribes_is_not_too_narrow():
    softmax = Suspect(effect(), errors(op="SOFTMAX", weights="", clipped=0.04), None, ALL)
    assert diagnose(softmax)[0] == "rounding"


def test_op_without_a_layer_is_named_by_its_tensor():
    rule = diagnose(Suspect(effect(layer=""), errors(), effect(50.0, "int16x8"), ALL))[2]
    assert "{tensor: 'relu/Relu;conv/Conv2D', scheme: int16x8}" in rule


@pytest.mark.parametrize(("has_effect", "has_errors"), [(True, False), (False, True), (False, False)])
def test_something_is_told_when_a_measurement_is_missing(has_effect, has_errors):
    suspect = Suspect(effect() if has_effect else None, errors() if has_errors else None, None, ALL)
    assert all(diagnose(suspect))


@pytest.mark.parametrize(
    ("scheme", "finer"),
    [
        ("int8x4", "full_int8"),
        ("full_int8", "int16x8"),
        ("int16x8", ""),
        ("dynamic_int4", "dynamic_int8"),
        ("dynamic_int4_block32", "dynamic_int8"),
        ("weight_int4", "weight_int8"),
        ("weight_int8", ""),
        ("float16", ""),
    ],
)
def test_finer_scheme_is_of_the_same_kind(scheme, finer):
    assert finer_scheme(scheme) == finer


@pytest.mark.parametrize(
    ("figures", "name", "told"),
    [
        ({"sqnr_db": 28.0, "before_db": 28.5}, "inherited", "adds less than a quarter of it"),
        ({"sqnr_db": 28.0, "before_db": 31.0}, "rounding", "plain rounding"),
        ({"sqnr_db": 45.0}, "little", "close to float"),
        ({"sqnr_db": None}, "little", "close to float"),
        ({"before_db": None, "clipped": 0.031}, "clipped", "3.10%"),
    ],
)
def test_the_errors_in_the_file_tell_the_cause_when_the_op_was_not_tried_alone(
    figures: dict[str, Any], name: str, told: str
) -> None:
    found, cause, _ = diagnose(Suspect(None, errors(**figures)))
    assert found == name
    assert told in cause
