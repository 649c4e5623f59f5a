"""Which engine is chosen and why, and what is told where none can do it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.artifacts import Engine, Reference, file_digest
from tflite_pipeline.convert.quantize import ENGINES, choose_engine, quantize
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert
from tflite_pipeline.schemes import SCHEMES

DATA = Path(__file__).parents[2] / "data"
NO_MODEL = "it needs a Keras model or a SavedModel, and this is a finished .tflite"
STATE = (
    "the ranges inside UNIDIRECTIONAL_SEQUENCE_LSTM 'tfl.unidirectional_sequence_lstm' cannot be seen: it keeps state"
)
ANOTHER = "Try another scheme (dynamic_int8 quantizes most models)."


def reference_of(file: str, saved_model: Path | None = None) -> Reference:
    path = DATA / f"{file}.tflite"
    return Reference(path, file_digest(path), *litert.describe(path), saved_model, None, "tflite")


def chosen(file: str, saved_model: Path | None = None, **keys: Any) -> Engine:
    spec = Quantization.model_validate(keys)
    assert not list(spec.mistakes())
    return choose_engine(spec, reference_of(file, saved_model), Path("never written"))


def refused(file: str, saved_model: Path | None = None, **keys: Any) -> StageError:
    with pytest.raises(StageError) as caught:
        chosen(file, saved_model, **keys)
    return caught.value


def test_every_scheme_names_engines_that_there_are() -> None:
    assert {name for scheme in SCHEMES.values() for name in scheme.engines} == {"none", *ENGINES}


@pytest.mark.parametrize("scheme", [name for name, row in SCHEMES.items() if row.engines != ("none",)])
def test_the_first_engine_of_the_scheme_is_taken_when_it_can(scheme: str) -> None:
    rules = [{"op": "FULLY_CONNECTED", "scheme": "full_int8"}] if scheme == "mixed" else []
    file = "float32" if "block" not in scheme else "audit_float32"
    if scheme in ("dynamic_int4_block64", "dynamic_int4_block128"):
        file = "conv_net"  # whose dense layer is 128 deep
    engine = chosen(file, scheme=scheme, rules=rules)
    assert engine == Engine(SCHEMES[scheme].engines[0], f"the first choice for {scheme}")


@pytest.mark.parametrize("name", ["mlir", "ai_edge", "converter"])
def test_the_engine_that_the_recipe_names_is_taken(name: str) -> None:
    assert chosen("float32", Path("saved"), scheme="full_int8", engine=name) == Engine(name, "the recipe names it")


def test_no_engine_is_needed_for_float() -> None:
    assert chosen("float32", scheme="float32") == Engine("none", "the reference is float32 already")


def test_the_next_engine_is_taken_and_says_what_the_first_cannot() -> None:
    engine = chosen("lstm_float32", Path("saved"), scheme="full_int8")
    assert engine == Engine("converter", f"mlir cannot: {STATE}")


def test_a_reason_is_given_once_when_two_engines_have_it() -> None:
    error = refused("lstm_float32", scheme="full_int8")
    assert error.what == (
        f"full_int8 cannot be made of this model: mlir and ai_edge cannot: {STATE}; converter cannot: {NO_MODEL}."
    )
    assert error.remedy == (
        "Quantize the Keras model or SavedModel with engine: converter, which calibrates such an op by itself, "
        "or use scheme: dynamic_int8."
    )


def test_only_the_named_engine_is_asked() -> None:
    error = refused("float32", scheme="full_int8", engine="converter")
    assert error.what == f"full_int8 cannot be made of this model: converter cannot: {NO_MODEL}."
    assert error.remedy == "Leave out quantization.engine: another engine may be able to."


def test_rules_are_the_remedy_when_a_mixed_plan_cannot_be_had() -> None:
    error = refused("audit_float32", scheme="mixed", rules=[{"op": "DEPTHWISE_CONV_2D", "scheme": "dynamic_int4"}])
    assert "there is no int4 for it; give it dynamic_int8 by an earlier rule" in error.what
    assert error.remedy == "Change quantization.rules for the ops that are named, or whatever else is."


@pytest.mark.parametrize(
    ("file", "scheme", "remedy"),
    [
        ("two_by_two", "dynamic_int4_block32", ANOTHER),
        ("float16", "full_int8", "Give the model with float32 weights."),
        ("dynamic_int8", "dynamic_int8", "Give the model with float32 weights."),
        ("custom_op", "dynamic_int8", "Try another scheme (`tflite-pipeline list` shows them)."),
    ],
)
def test_the_remedy_fits_what_was_refused(file: str, scheme: str, remedy: str) -> None:
    assert refused(file, scheme=scheme).remedy == remedy


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"symmetric_activations": True}, "it cannot give int8 activations the zero point 0"),
        ({"calibration": {"method": "mse"}}, "it calibrates by itself, with minmax"),
    ],
)
def test_converter_refuses_what_its_own_calibration_cannot_give(keys: dict[str, Any], why: str) -> None:
    error = refused("lstm_float32", Path("saved"), scheme="full_int8", **keys)
    assert f"converter cannot: {why}." in error.what


def test_calibration_keys_do_not_keep_the_converter_from_what_is_not_calibrated() -> None:
    reference = reference_of("custom_op", Path("saved"))
    spec = Quantization.model_validate({"scheme": "float16", "calibration": {"method": "mse"}})
    assert choose_engine(spec, reference, Path("never written")).name == "converter"


@pytest.mark.parametrize("scheme", ["float32", "full_int8", "dynamic_int8"])
def test_an_entry_that_means_no_op_is_told_before_calibration(scheme: str) -> None:
    error = refused("float32", scheme=scheme, allow_float=["SOFTMAXX"])
    assert error.what == "every entry of quantization.allow_float must fit an op of the reference. Got op 'SOFTMAXX'."


def test_float32_is_the_reference_itself(tmp_path: Path) -> None:
    reference, spec = reference_of("float32"), Quantization(scheme="float32")
    model = quantize(spec, Engine("none", ""), reference, None, (None, None), tmp_path)
    assert model.path.read_bytes() == reference.path.read_bytes()
    assert (model.sha256, model.plan) == (reference.sha256, {})


def test_a_mixed_file_carries_the_scheme_of_every_op_by_its_output(tmp_path: Path) -> None:
    reference = reference_of("audit_float32")
    spec = Quantization.model_validate(
        {"scheme": "mixed", "rules": [{"op": "FULLY_CONNECTED", "scheme": "dynamic_int8"}]}
    )
    model = quantize(spec, Engine("ai_edge", ""), reference, None, (None, None), tmp_path)
    assert sorted(model.plan.values()) == ["dynamic_int8"] * 2 + ["float32"] * 7
    assert file_digest(model.path) == model.sha256 != reference.sha256


def test_inputs_and_outputs_keep_the_order_of_the_reference(tmp_path: Path) -> None:
    reference = reference_of("two_by_two")
    turned = replace(reference, inputs=reference.inputs[::-1], outputs=reference.outputs[::-1])
    model = quantize(Quantization(scheme="dynamic_int8"), Engine("ai_edge", ""), turned, None, (None, None), tmp_path)
    inputs, outputs = litert.describe(model.path)
    assert [info.name for info in inputs] == [info.name for info in turned.inputs]
    assert [info.name for info in outputs] == [info.name for info in turned.outputs]
