from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.targets.names import TARGET_SUMMARIES
from tflite_pipeline.targets.profiles import TARGETS, check_targets

DATA = Path(__file__).parents[2] / "data"


def checked(target: str, name: str, out: Path) -> dict[str, Any]:
    (check,) = check_targets((target,), DATA / f"{name}.tflite", (), out).checks
    return check


def test_every_named_target_has_a_check() -> None:
    assert list(TARGETS) == list(TARGET_SUMMARIES)


def test_a_file_that_runs_passes_and_says_who_checked(tmp_path: Path) -> None:
    version = importlib.metadata.version("ai-edge-litert")
    check = checked("litert", "full_int8_uint8_io", tmp_path)
    assert check.pop("figures")["floor"]["packages"]["gradle"] == "org.tensorflow:tensorflow-lite:2.14.0"
    assert check == {
        "name": "litert",
        "passed": True,
        "checked_by": f"ai-edge-litert {version} on this host",
        "findings": [],
        "told": "loads and runs",
    }


def test_a_file_that_does_not_load_fails_with_the_cause(tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(b"TFL3")
    check = TARGETS["litert"](path, (), tmp_path)
    assert not check["passed"]
    assert "cut.tflite' is damaged" in check["findings"][0]


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("web", "full_int8_float_io"),
        ("web", "dynamic_int8"),
        ("web", "full_int8_uint8_io"),
        ("gpu", "float16"),
        ("edgetpu", "audit_full_int8_per_tensor"),
        ("tflm", "full_int8_int8_io"),
        ("tflm", "int16x8"),
        ("tflm", "lstm_full_int8"),
        ("tflite-2.14", "full_int8_int8_io"),
        ("ios-tflite-2.17", "dynamic_int8"),
    ],
)
def test_a_file_passes_by_rule_when_nothing_speaks_against_it(tmp_path: Path, target: str, name: str) -> None:
    check = checked(target, name, tmp_path)
    assert (check["passed"], check["findings"]) == (True, [])
    assert check["checked_by"].startswith("by rule")


@pytest.mark.parametrize(
    ("target", "name", "found"),
    [
        (
            "web",
            "full_int8_int8_io",
            "the input 'features' must be float32 or uint8 or int32. Got int8: quantization.io decides it.",
        ),
        ("web", "float32_dynamic_batch", "the shape of 'features' must be fixed. Got [-1, 16]."),
        ("web", "custom_op", "MatrixInverse is no op of LiteRT's own"),
        ("gpu", "int16x8", "SOFTMAX works on another dtype"),
        ("gpu", "lstm_full_int8", "UNIDIRECTIONAL_SEQUENCE_LSTM has no kernel in the GPU delegate"),
        ("gpu", "audit_int8x4", "CONV_2D must have weights of 8 bits or float"),
        ("edgetpu", "full_int8_int8_io", "FULLY_CONNECTED must have one scale for all its weights"),
        ("edgetpu", "int16x8", "SOFTMAX must work on 8 bits throughout"),
        ("edgetpu", "audit_int8x4", "CONV_2D must have weights of 8 bits"),
        ("tflm", "dynamic_int8", "FULLY_CONNECTED must not read integer weights at float data"),
        ("tflm", "audit_weight_int8", "DEQUANTIZE unpacks all channels with the scale of the first"),
        ("tflm", "audit_int8x4", "FULLY_CONNECTED must not have weights of 4 bits"),
        ("tflm", "lookup", "SUM works on a dtype without a kernel"),
        ("tflm", "float_island", "ATAN2 is no op of TensorFlow Lite Micro"),
        ("tflm", "float16", "DEQUANTIZE can unpack integers of 8 bits or more only"),
        ("tflm", "flex_op", "FlexMatrixInverse is no op of TensorFlow Lite Micro"),
        ("tflite-2.14", "dynamic_int8", "FULLY_CONNECTED version 12 came with 2.17."),
        ("android-tflite-2.16", "dynamic_int8", "FULLY_CONNECTED version 12 came with 2.17."),
        ("tflite-2.14", "custom_op", "MatrixInverse is a custom op, which the app has to bring."),
        ("litert-2.x", "audit_dynamic_int4_block32", "share a scale in blocks"),
    ],
)
def test_a_file_fails_by_rule_and_says_what_and_where(tmp_path: Path, target: str, name: str, found: str) -> None:
    check = checked(target, name, tmp_path)
    assert check["passed"] is False
    assert any(found in finding for finding in check["findings"]), check["findings"]


def test_findings_name_the_layer_where_it_is_known(tmp_path: Path) -> None:
    layers = ("conv", "spread", "twin", "wide", "narrow")
    (check,) = check_targets(("tflm",), DATA / "audit_dynamic_int8.tflite", layers, tmp_path).checks
    assert any("'functional_1/narrow_1/MatMul1' (layer narrow)" in text for text in check["findings"]), check[
        "findings"
    ]
    (check,) = check_targets(("tflite-2.14",), DATA / "audit_dynamic_int8.tflite", layers, tmp_path).checks
    assert "(layer narrow)" in check["findings"][0]
