"""Drafts without data: their dtypes are those of the file that a run makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tflite_pipeline.artifacts import Engine, Reference, file_digest
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.convert.uncalibrated import quantize_uncalibrated
from tflite_pipeline.runtime import litert
from tflite_pipeline.validate.audit import Asked, audit

DATA = Path(__file__).parents[2] / "data"


def reference_of(file: str) -> Reference:
    path = DATA / f"{file}.tflite"
    return Reference(path, file_digest(path), *litert.describe(path), None, None, "tflite")


@pytest.mark.parametrize(
    ("scheme", "io", "method"),
    [("full_int8", "int8", "auto"), ("int8x4", "float32", "entropy"), ("int16x8", "int16", "auto")],
)
def test_draft_holds_the_scheme_that_was_asked_for(tmp_path, scheme, io, method):
    spec = Quantization.model_validate({"scheme": scheme, "io": io, "calibration": {"method": method}})
    made = quantize_uncalibrated(spec, Engine("ai_edge", ""), reference_of("conv_net"), tmp_path)
    assert made.path.parent == tmp_path
    assert audit(made.path, Asked(scheme=scheme, io=io))["passed"]


def test_draft_without_calibrated_activations_needs_no_ranges(tmp_path):
    spec = Quantization(scheme="dynamic_int8")
    made = quantize_uncalibrated(spec, Engine("ai_edge", ""), reference_of("audit_float32"), tmp_path)
    assert audit(made.path, Asked(scheme="dynamic_int8", io="float32"))["passed"]
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]


def test_draft_of_float32_is_the_reference(tmp_path):
    reference = reference_of("conv_net")
    made = quantize_uncalibrated(Quantization(scheme="float32"), Engine("none", ""), reference, tmp_path)
    assert made.sha256 == reference.sha256
