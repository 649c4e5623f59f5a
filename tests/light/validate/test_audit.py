from __future__ import annotations

from pathlib import Path

import pytest

from tflite_pipeline.validate.audit import audit

DATA = Path(__file__).parents[2] / "data"


@pytest.mark.parametrize(
    ("name", "scheme", "io"),
    [
        ("float32", "float32", "float32"),
        ("two_by_two", "float32", "float32"),
        ("lstm_float32", "float32", "float32"),
        ("float16", "float16", "float32"),
        ("dynamic_int8", "dynamic_int8", "float32"),
        ("full_int8_float_io", "full_int8", "float32"),
        ("full_int8_int8_io", "full_int8", "int8"),
        ("full_int8_uint8_io", "full_int8", "uint8"),
        ("lstm_full_int8", "full_int8", "float32"),
        ("int16x8", "int16x8", "float32"),
        ("float_island", "mixed", "float32"),
    ],
)
def test_each_file_is_what_it_was_made_as_and_nothing_else(name: str, scheme: str, io: str) -> None:
    found = audit(DATA / f"{name}.tflite", scheme, io)
    assert (found["found"], found["io_found"], found["passed"]) == (scheme, io, True)
    for other in {"float32", "float16", "dynamic_int8", "full_int8", "int16x8"} - {scheme}:
        assert not audit(DATA / f"{name}.tflite", other, io)["passed"]
    assert not audit(DATA / f"{name}.tflite", scheme, "int16")["passed"]


def test_an_int8_file_with_float_io_has_one_quantize_and_one_dequantize_and_no_float_op() -> None:
    found = audit(DATA / "full_int8_float_io.tflite", "full_int8", "float32")
    assert (found["quantize_ops"], found["dequantize_ops"], found["float_ops"]) == (1, 1, [])
    assert found["ops"] == {"FULLY_CONNECTED": 2, "QUANTIZE": 1, "SOFTMAX": 1, "DEQUANTIZE": 1}
    assert found["findings"] == []


def test_a_float_island_is_named() -> None:
    found = audit(DATA / "float_island.tflite", "full_int8", "float32")
    assert [(row["op"], row["index"], row["subgraph"]) for row in found["float_ops"]] == [("ATAN2", 3, 0)]
    assert "atan2" in found["float_ops"][0]["tensor"].lower()
    assert (found["quantize_ops"], found["dequantize_ops"]) == (2, 2)
    assert found["findings"] == ["1 ATAN2 compute in float, 1 of the file's ops."]


def test_weights_too_small_to_quantize_are_told() -> None:
    found = audit(DATA / "dynamic_int8_too_small.tflite", "dynamic_int8", "float32")
    assert (found["passed"], found["found"]) == (False, "float32")
    assert found["findings"] == [
        "2 of 2 weights are float32, the largest 'functional_1_1/dense_1_1/MatMul' with 128 elements: "
        "the converter leaves weights under 1024 elements float."
    ]


def test_small_weights_beside_quantized_ones_are_told_and_do_not_fail() -> None:
    found = audit(DATA / "dynamic_int8.tflite", "dynamic_int8", "float32")
    assert found["passed"]
    assert found["weights"] == {"int8": 1, "float32": 1}
    assert "320 elements: the converter leaves weights under 1024 elements float" in found["findings"][0]


def test_published_files_are_named_for_what_they_hold(shared_data: Path) -> None:
    for folder in ("keyword_spotting", "image_classification"):
        assert audit(shared_data / folder / "published_int8.tflite", "full_int8", "int8")["passed"]
    # Published as float, yet its larger kernels are stored in int8.
    assert audit(shared_data / "keyword_spotting" / "published_float.tflite", "float32", "float32")["weights"] == {
        "int8": 5,
        "float32": 5,
    }


@pytest.mark.parametrize(("name", "op"), [("flex_op", "FlexMatrixInverse"), ("custom_op", "MatrixInverse")])
def test_ops_that_litert_lacks_are_found(name: str, op: str) -> None:
    found = audit(DATA / f"{name}.tflite", "float32", "float32")
    assert found["custom_ops"] == [op]
    assert found["findings"] == [f"the op {op} is not one of LiteRT's own: apps have to bring it."]


def test_a_large_weight_left_float_beside_quantized_ones_makes_it_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    # The file's second weight has 320 elements: as if the converter had no excuse for leaving it.
    monkeypatch.setattr("tflite_pipeline.validate.audit.LEAST_QUANTIZED", 300)
    found = audit(DATA / "dynamic_int8.tflite", "dynamic_int8", "float32")
    assert (found["found"], found["passed"]) == ("mixed", False)
    assert "320 elements." in found["findings"][0]
