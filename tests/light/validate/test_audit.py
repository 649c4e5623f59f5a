from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.spec import Selector
from tflite_pipeline.validate.audit import Asked, audit

DATA = Path(__file__).parents[2] / "data"
LAYERS = ("image", "conv", "spread", "conv_1", "twin", "add", "flat", "wide", "narrow", "scores")
"""The layers of the network in the `audit_*` files."""


def audited(name: str, scheme: str, io: str = "float32", **options: Any) -> dict[str, Any]:
    allowed = tuple(Selector(**keys) for keys in options.pop("allow_float", ()))
    return audit(DATA / f"{name}.tflite", Asked(scheme=scheme, io=io, allow_float=allowed), **options)


@pytest.mark.parametrize(
    ("name", "scheme", "io"),
    [
        ("float32", "float32", "float32"),
        ("two_by_two", "float32", "float32"),
        ("lstm_float32", "float32", "float32"),
        ("float16", "float16", "float32"),
        ("dynamic_int8", "dynamic_int8", "float32"),
        ("audit_dynamic_int8", "dynamic_int8", "float32"),
        ("audit_dynamic_int8_lookup", "dynamic_int8", "float32"),
        ("audit_dynamic_int4", "dynamic_int4", "float32"),
        ("audit_dynamic_int4_block32", "dynamic_int4_block32", "float32"),
        ("audit_dynamic_int4_spoilt", "mixed", "float32"),
        ("audit_weight_int8", "weight_int8", "float32"),
        ("audit_weight_int4", "weight_int4", "float32"),
        ("full_int8_float_io", "full_int8", "float32"),
        ("full_int8_int8_io", "full_int8", "int8"),
        ("full_int8_uint8_io", "full_int8", "uint8"),
        ("audit_full_int8_per_tensor", "full_int8", "int8"),
        ("lstm_full_int8", "full_int8", "float32"),
        ("audit_int8x4", "int8x4", "int8"),
        ("int16x8", "int16x8", "float32"),
        ("float_island", "mixed", "float32"),
        ("audit_mixed", "mixed", "float32"),
    ],
)
def test_each_file_is_what_it_was_made_as_and_nothing_else(name: str, scheme: str, io: str) -> None:
    found = audited(name, scheme, io)
    assert (found["found"], found["io_found"], found["passed"]) == (scheme, io, True)
    for other in set(SCHEMES) - {scheme}:
        refused = audited(name, other, io)
        assert not refused["passed"]
        assert refused["findings"]
    assert not audited(name, scheme, "int16")["passed"]


def test_an_int8_file_with_float_io_has_one_quantize_and_one_dequantize_and_no_float_op() -> None:
    found = audited("full_int8_float_io", "full_int8")
    assert (found["quantize_ops"], found["dequantize_ops"], found["float_ops"]) == (1, 1, [])
    assert found["ops"] == {"FULLY_CONNECTED": 2, "QUANTIZE": 1, "SOFTMAX": 1, "DEQUANTIZE": 1}
    assert found["findings"] == []


def test_a_float_island_is_named() -> None:
    found = audited("float_island", "full_int8")
    assert [(row["op"], row["index"], row["subgraph"]) for row in found["float_ops"]] == [("ATAN2", 3, 0)]
    assert "atan2" in found["float_ops"][0]["tensor"].lower()
    assert (found["quantize_ops"], found["dequantize_ops"]) == (2, 2)
    assert found["findings"] == ["1 ATAN2 compute in float, 1 of the file's ops: 'functional_3_1/lambda_1/Atan2'."]


def test_weights_too_small_to_quantize_are_told() -> None:
    found = audited("dynamic_int8_too_small", "dynamic_int8")
    assert (found["passed"], found["found"]) == (False, "float32")
    assert found["findings"] == [
        "2 of 2 weights are float32, the largest 'functional_1_1/dense_1_1/MatMul' with 128 elements: "
        "the converter leaves weights under 1024 elements float."
    ]


def test_small_weights_beside_quantized_ones_are_told_and_do_not_fail() -> None:
    found = audited("dynamic_int8", "dynamic_int8")
    assert found["passed"]
    assert found["weights"] == {"int8": 1, "float32": 1}
    assert "320 elements: the converter leaves weights under 1024 elements float" in found["findings"][0]


def test_published_files_are_named_for_what_they_hold(shared_data: Path) -> None:
    for folder in ("keyword_spotting", "image_classification"):
        assert audit(shared_data / folder / "published_int8.tflite", Asked(scheme="full_int8", io="int8"))["passed"]
    # Published as float, yet its larger kernels are stored in int8.
    found = audit(shared_data / "keyword_spotting" / "published_float.tflite", Asked(scheme="float32", io="float32"))
    assert found["weights"] == {"int8": 5, "float32": 5}


@pytest.mark.parametrize(("name", "op"), [("flex_op", "FlexMatrixInverse"), ("custom_op", "MatrixInverse")])
def test_ops_that_litert_lacks_are_found(name: str, op: str) -> None:
    found = audited(name, "float32")
    assert found["custom_ops"] == [op]
    assert found["findings"] == [f"the op {op} is not one of LiteRT's own: apps have to bring it."]


def test_a_large_weight_left_float_beside_quantized_ones_makes_it_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    # The file's second weight has 320 elements: as if the converter had no excuse for leaving it.
    monkeypatch.setattr("tflite_pipeline.validate.kinds.LEAST_QUANTIZED", 300)
    found = audited("dynamic_int8", "dynamic_int8")
    assert (found["found"], found["passed"]) == ("mixed", False)
    assert "320 elements." in found["findings"][0]


def test_int8_weights_are_told_where_there_is_no_int4_kernel() -> None:
    for name, io in (("dynamic_int4", "float32"), ("weight_int4", "float32"), ("int8x4", "int8")):
        found = audited(f"audit_{name}", name, io)
        assert found["weights"] == {"int4": 5, "int8": 1}
        assert found["findings"] == ["1 of 6 weights are int8, as there is no int4 kernel: 1 DEPTHWISE_CONV_2D."]


def test_int8_where_there_is_an_int4_kernel_makes_it_mixed() -> None:
    found = audited("audit_dynamic_int4_spoilt", "dynamic_int4")
    assert (found["found"], found["passed"]) == ("mixed", False)
    assert found["findings"][0] == "1 of 6 weights are int8, although there is an int4 kernel: 1 CONV_2D."


def test_dense_weights_whose_depth_the_block_does_not_divide_are_told() -> None:
    found = audited("audit_dynamic_int4_block32", "dynamic_int4_block32")
    assert found["granularity"] == {"per_channel": 5, "block32": 1}
    assert found["findings"][1:] == ["1 of 6 weights are not in blocks, as 32 does not divide their depth."]


def test_dense_weights_that_could_be_in_blocks_are_told_when_they_are_not() -> None:
    found = audited("audit_dynamic_int4", "dynamic_int4_block32")
    assert (found["found"], found["passed"]) == ("dynamic_int4", False)
    assert found["findings"][-1] == "1 of 6 weights are not in blocks of 32, although these would fit."


def test_granularity_is_that_of_each_weight() -> None:
    assert audited("audit_int8x4", "int8x4", "int8")["granularity"] == {"per_channel": 6}
    found = audited("audit_full_int8_per_tensor", "full_int8", "int8")
    assert found["granularity"] == {"per_channel": 4, "per_tensor": 2}
    assert audited("float32", "float32")["granularity"] == {}


def test_a_dequantize_before_the_use_is_told_when_it_was_not_asked_for() -> None:
    found = audited("audit_weight_int8", "dynamic_int8")
    assert found["findings"] == ["6 of 6 weights are turned to float before they are used."]
    found = audited("audit_dynamic_int8", "weight_int8")
    assert found["findings"] == ["6 of 6 weights are not turned to float before they are used."]


TAIL = "audit_full_int8_float_tail"


def test_float_ops_come_with_the_layers_they_are_of() -> None:
    found = audited(TAIL, "full_int8", layers=LAYERS)
    assert (found["found"], found["passed"]) == ("mixed", False)
    assert [(row["op"], row["layer"]) for row in found["float_ops"]] == [
        ("FULLY_CONNECTED", "narrow"),
        ("SOFTMAX", "scores"),
    ]
    finding, *_ = found["findings"]
    assert finding.startswith("1 FULLY_CONNECTED, 1 SOFTMAX compute in float, 2 of the file's ops: '")
    assert "(layer narrow), '" in finding
    assert finding.endswith("(layer scores).")


@pytest.mark.parametrize(
    "allow_float",
    [
        [{"op": "SOFTMAX"}, {"op": "FULLY_CONNECTED"}],
        [{"layer": "scores"}, {"layer": "narrow"}],
        [{"tensor": "StatefulPartitionedCall:0"}, {"tensor": "*/narrow_1/*"}],
    ],
)
def test_float_ops_that_are_allowed_do_not_count(allow_float: list[dict[str, str]]) -> None:
    found = audited(TAIL, "full_int8", allow_float=allow_float, layers=LAYERS)
    assert (found["found"], found["passed"]) == ("full_int8", True)
    assert [row["op"] for row in found["allowed_float_ops"]] == ["FULLY_CONNECTED", "SOFTMAX"]
    assert found["float_ops"] == []
    assert found["findings"] == ["1 FULLY_CONNECTED, 1 SOFTMAX compute in float, as quantization.allow_float permits."]


def test_float_ops_beside_the_allowed_ones_still_count() -> None:
    found = audited(TAIL, "full_int8", allow_float=[{"op": "SOFTMAX"}], layers=LAYERS)
    assert (found["found"], found["passed"]) == ("mixed", False)
    assert [row["layer"] for row in found["float_ops"]] == ["narrow"]
    assert [row["layer"] for row in found["allowed_float_ops"]] == ["scores"]
    assert found["findings"][0].startswith("1 FULLY_CONNECTED compute in float, 1 of the file's ops: '")


def test_nothing_but_allowed_float_ops_is_no_integer_file() -> None:
    every = [{"tensor": "*"}]
    assert audited("audit_float32", "full_int8", allow_float=every)["found"] == "float32"


def planned(reference: str, **schemes: str) -> dict[str, str]:
    """A scheme for each op of a reference, by words in the name of its output; float32 for the others."""
    names = [graph.tensors[op.outputs[0]].name for graph in read_graphs(DATA / reference) for op in graph.ops]
    return {name: next((s for word, s in schemes.items() if f"/{word}/" in name), "float32") for name in names}


AS_MADE = {
    "conv_1": "full_int8",
    "spread_1": "full_int8",
    "conv_1_2": "int16x8",
    "twin_1": "dynamic_int4",
    "wide_1": "weight_int8",
}


def test_a_mixed_file_passes_when_every_op_is_as_planned() -> None:
    found = audited("audit_mixed", "mixed", plan=planned("audit_float32.tflite", **AS_MADE))
    assert (found["found"], found["passed"], found["findings"]) == ("mixed", True, [])
    assert found["plan"] == {"checked": 9, "not_checked": [], "mismatches": []}


@pytest.mark.parametrize(
    ("layer", "scheme", "text"),
    [
        ("conv_1", "int16x8", "CONV_2D '{}' was planned as int16x8, but computes in int8 with int8 weights."),
        ("conv_1", "int8x4", "CONV_2D '{}' was planned as int8x4, but computes in int8 with int8 weights."),
        ("conv_1", "dynamic_int8", "CONV_2D '{}' was planned as dynamic_int8, but computes in int8 with int8 weights."),
        (
            "twin_1",
            "dynamic_int8",
            "CONV_2D '{}' was planned as dynamic_int8, but computes in float32 with int4 weights.",
        ),
        (
            "twin_1",
            "weight_int4",
            "CONV_2D '{}' was planned as weight_int4, but computes in float32 with int4 weights.",
        ),
        (
            "wide_1",
            "dynamic_int8",
            "FULLY_CONNECTED '{}' was planned as dynamic_int8, but computes in float32 with unpacked int8 weights.",
        ),
        (
            "narrow_1",
            "weight_int8",
            "FULLY_CONNECTED '{}' was planned as weight_int8, but computes in float32 with float32 weights.",
        ),
        ("flat_1", "full_int8", "RESHAPE '{}' was planned as full_int8, but computes in float32."),
    ],
)
def test_a_mixed_file_fails_when_an_op_is_not_as_planned(layer: str, scheme: str, text: str) -> None:
    plan = planned("audit_float32.tflite", **{**AS_MADE, layer: scheme})
    found = audited("audit_mixed", "mixed", plan=plan)
    assert (found["found"], found["passed"]) == ("mixed, not as planned", False)
    row = found["plan"]["mismatches"][0]
    assert (row["planned"], f"/{layer}/" in row["tensor"]) == (scheme, True)
    assert found["findings"] == [text.format(row["tensor"])]


def test_int8_depthwise_weights_are_as_planned_under_an_int4_scheme() -> None:
    plan = planned("audit_float32.tflite", **{**AS_MADE, "spread_1": "int8x4"})
    assert audited("audit_mixed", "mixed", plan=plan)["passed"]


def test_blocks_are_part_of_the_plan() -> None:
    dense = {"wide_1": "dynamic_int4_block32", "narrow_1": "dynamic_int4_block32"}
    rest = dict.fromkeys(("conv_1", "spread_1", "conv_1_2", "twin_1"), "dynamic_int4")
    assert audited("audit_dynamic_int4_block32", "mixed", plan=planned("audit_float32.tflite", **dense, **rest))[
        "passed"
    ]
    found = audited("audit_dynamic_int4", "mixed", plan=planned("audit_float32.tflite", **dense, **rest))
    assert [row["planned"] for row in found["plan"]["mismatches"]] == ["dynamic_int4_block32"]
    found = audited("audit_dynamic_int4_block32", "mixed", plan=planned("audit_float32.tflite", **AS_MADE))
    assert [row["found"] for row in found["plan"]["mismatches"]][-2:] == [
        "float32 with int4 block32 weights",
        "float32 with int4 weights",
    ]


def test_an_op_is_found_behind_the_dequantize_that_took_its_name() -> None:
    plan = dict.fromkeys(planned("float32.tflite"), "full_int8")
    found = audited("full_int8_float_io", "mixed", plan=plan)
    assert (found["found"], found["plan"]["checked"], found["plan"]["not_checked"]) == ("mixed", 3, [])
    assert audited("full_int8_float_io", "mixed", plan=dict.fromkeys(plan, "int16x8"))["found"] == "full_int8"


def test_ops_on_constants_are_no_part_of_the_plan() -> None:
    plan = dict.fromkeys(planned("float16.tflite"), "float16")
    assert len(plan) == 5
    found = audited("float16", "mixed", plan=plan)
    assert (found["passed"], found["plan"]["checked"], found["plan"]["not_checked"]) == (True, 3, [])


def test_planned_ops_that_the_file_does_not_have_are_told() -> None:
    plan = planned("audit_float32.tflite", **AS_MADE) | {"gone": "full_int8"}
    found = audited("audit_mixed", "mixed", plan=plan)
    assert (found["passed"], found["plan"]["not_checked"]) == (True, ["gone"])
    assert found["findings"] == ["1 of 10 planned ops were not checked: no op of the file gives 'gone'."]


def test_a_plan_of_which_nothing_was_found_proves_nothing() -> None:
    found = audited("audit_mixed", "mixed", plan={"gone": "full_int8"})
    assert (found["found"], found["passed"]) == ("mixed, not as planned", False)


def test_a_mixed_file_without_a_plan_says_so() -> None:
    found = audited("audit_mixed", "mixed")
    assert found["plan"] is None
    assert found["findings"] == ["which op got which scheme was not checked: there is no plan."]


def test_an_allowed_op_may_be_float_against_its_plan() -> None:
    plan = planned("audit_float32.tflite", **AS_MADE) | {"StatefulPartitionedCall:0": "full_int8"}
    assert not audited("audit_mixed", "mixed", plan=plan)["passed"]
    found = audited("audit_mixed", "mixed", plan=plan, allow_float=[{"op": "SOFTMAX"}])
    assert found["passed"]
    assert found["findings"] == ["1 SOFTMAX compute in float, as quantization.allow_float permits."]


def test_many_mismatches_are_counted() -> None:
    found = audited("audit_float32", "mixed", plan=dict.fromkeys(planned("audit_float32.tflite"), "full_int8"))
    assert len(found["plan"]["mismatches"]) == 9
    assert found["findings"][-1] == "1 more ops are not as planned: see audit.plan.mismatches in report.json."
    assert found["found"] == "float32"


def test_versions_axes_and_shapes_are_told():
    told = audit(DATA / "full_int8_int8_io.tflite", Asked(scheme="full_int8", io="int8"))
    assert {"op": "FULLY_CONNECTED", "version": 4, "count": 2} in told["op_versions"]
    assert told["channel_axes"] == [{"op": "FULLY_CONNECTED", "axis": 0, "count": 2}]
    assert told["open_tensors"] == told["shape_chains"] == []
