"""What ai-edge-quantizer is not asked to do, and what it says where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import Reference
from tflite_pipeline.convert.engines import ai_edge
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.graph import Graph, Op, Tensor, read_graphs

REST = {"tensor": "*", "scheme": "full_int8"}


def wave(bench) -> Path:
    """A dense layer, and an op that the library does not know."""
    weight = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    return bench.build(
        [("x", ("float32", [1, 4])), ("w", weight), ("h", ("float32", [1, 4])), ("y", ("float32", [1, 4]))],
        [("FULLY_CONNECTED", [0, 1, -1], 2), ("SIN", [2], 3)],
        inputs=[0],
        outputs=[3],
    )


@pytest.mark.parametrize("scheme", ["float16", "dynamic_int8", "dynamic_int4", "weight_int8"])
def test_weights_that_would_stay_float_are_refused_when_only_weights_are_quantized(bench, scheme):
    assert bench.refusal("lstm_float32", scheme=scheme) == (
        "it cannot quantize the weights of UNIDIRECTIONAL_SEQUENCE_LSTM; under scheme: mixed they can stay float32"
    )


def test_state_is_refused_when_the_scheme_is_calibrated(bench):
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in bench.refusal("lstm_float32", scheme="full_int8")


@pytest.mark.parametrize("scheme", ["full_int8", "int8x4", "int16x8"])
def test_ops_that_would_stay_float_are_refused_unless_they_may(bench, scheme):
    path = wave(bench)
    assert (
        bench.refusal(path, scheme=scheme)
        == "SIN would compute in float; quantization.allow_float makes that acceptable"
    )
    made = bench.quantize(
        path, scheme=scheme, io="int8" if scheme != "int16x8" else "int16", allow_float=({"op": "SIN"},)
    )
    [graph] = read_graphs(made)
    assert [op.name for op in graph.ops] == ["FULLY_CONNECTED", "DEQUANTIZE", "SIN", "QUANTIZE"]
    assert bench.decibels(path, made) > (18 if scheme == "int8x4" else 35)


@pytest.mark.parametrize("scheme", ["dynamic_int8", "full_int8"])
def test_files_that_are_quantized_already_are_refused(bench, scheme):
    assert bench.refusal("full_int8_float_io", scheme=scheme).startswith("the reference must be float32, and its '")
    assert bench.refusal("float16", scheme=scheme).endswith("is float16")


def test_int4_is_refused_when_no_layer_can_have_it(bench):
    assert bench.refusal("upscale", scheme="dynamic_int4") == "no layer of this model can have int4 weights"


def test_blocks_are_refused_when_no_layer_can_have_them(bench):
    text = "no dense layer of this model has a depth that is a multiple of 128"
    assert bench.refusal("float32", scheme="dynamic_int4_block128") == text


def test_blocks_are_refused_when_dense_layers_may_have_one_scale_only(bench):
    refusal = bench.refusal("conv_net", scheme="dynamic_int4_block32", per_channel_dense=False)
    assert refusal == "dynamic_int4_block32 gives dense layers many scales, and per_channel_dense: false only one"


def test_files_without_weights_are_refused_when_only_weights_are_quantized(bench):
    path = bench.build(
        [("x", ("float32", [1, 4])), ("y", ("float32", [1, 4]))], [("TANH", [0], 1)], inputs=[0], outputs=[1]
    )
    assert bench.refusal(path, scheme="dynamic_int8") == "it finds nothing to quantize"
    assert bench.refusal(path, scheme="full_int8") == ""


def test_weights_inside_a_composite_are_refused():
    weight = Tensor("w", "float32", (4, 4), "", stored=True, state=False)
    value = Tensor("x", "float32", (1, 4), "", stored=False, state=False)
    caller, dense = Op(0, "STABLEHLO_COMPOSITE", False, (0,), (1,)), Op(0, "FULLY_CONNECTED", False, (0, 1), (2,))
    main = Graph(0, (value, value), (caller,), frozenset({0}), frozenset({1}))
    body = Graph(1, (value, weight, value), (dense,), frozenset({0}), frozenset({2}))
    reference = Reference(Path("float.tflite"), "", (), (), None, None, "tflite")
    found = ai_edge.refusal(Quantization(scheme="dynamic_int8"), reference, (main, body))
    assert found == "it does not look for weights inside STABLEHLO_COMPOSITE"


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        (
            [{"op": "DEPTHWISE_CONV_2D", "scheme": "int8x4"}, REST],
            "DEPTHWISE_CONV_2D 'functional_1/depthwise_1/Relu6;functional_1/depthwise_1/Bias…' "
            "cannot have int8x4: there is no int4 for it; give it full_int8 by an earlier rule",
        ),
        (
            [{"op": "DEPTHWISE_CONV_2D", "scheme": "dynamic_int4"}],
            "give it dynamic_int8 by an earlier rule",
        ),
        (
            [{"op": "DEPTHWISE_CONV_2D", "scheme": "weight_int4"}],
            "give it weight_int8 by an earlier rule",
        ),
        (
            [{"op": "FULLY_CONNECTED", "scheme": "dynamic_int4_block64"}],
            "FULLY_CONNECTED 'functional_1/scores_1/MatMul;functional_1/scores_1/BiasAdd' cannot have "
            "dynamic_int4_block64: its depth is no multiple of 64; give it dynamic_int4 by an earlier rule",
        ),
        ([{"op": "SOFTMAX", "scheme": "dynamic_int8"}], "the rules give it nothing to quantize"),
    ],
)
def test_ops_that_cannot_have_their_scheme_are_named_when_the_scheme_is_mixed(bench, rules, text):
    assert bench.refusal("conv_net", scheme="mixed", rules=tuple(rules)).endswith(text)


def test_ops_that_stay_float_are_named_when_the_scheme_is_mixed(bench):
    path = wave(bench)
    assert bench.refusal(path, scheme="mixed", rules=(REST,)) == (
        "SIN 'y' cannot have full_int8: the library does not quantize it so; give it float32 by an earlier rule"
    )
    assert bench.refusal(path, scheme="mixed", rules=({"op": "SIN", "scheme": "float32"}, REST)) == ""
    assert bench.refusal(path, scheme="mixed", rules=(REST,), allow_float=({"op": "SIN"},)) == ""


def test_int16_is_refused_before_a_border_of_uint8(bench):
    rules = ({"op": "SOFTMAX", "scheme": "int16x8"},)
    text = "no kernel turns the int16 that it puts out into uint8; choose io: int8, or give it full_int8"
    assert bench.refusal("conv_net", scheme="mixed", io="uint8", rules=rules).endswith(text)
    assert bench.refusal("conv_net", scheme="mixed", io="int8", rules=rules) == ""


def test_an_integer_border_is_refused_when_no_layer_is_calibrated(bench):
    rules = ({"op": "FULLY_CONNECTED", "scheme": "dynamic_int8"},)
    refusal = bench.refusal("conv_net", scheme="mixed", io="int8", rules=rules)
    assert refusal == "io: int8 needs a layer with a calibrated scheme"


def test_ops_are_counted_when_there_are_many(bench):
    path = bench.build(
        [(f"x{number}", ("float32", [1, 4])) for number in range(9)],
        [("SIN", [number], number + 1) for number in range(8)],
        inputs=[0],
        outputs=[8],
    )
    refusal = bench.refusal(path, scheme="mixed", rules=(REST,))
    assert refusal.count("cannot have") == 3
    assert refusal.endswith("; and 5 more")


def test_the_library_is_quoted_when_it_fails(bench):
    weight = np.full((4, 4), 1e9, np.float32)
    path = bench.build(
        [("x", ("float32", [1, 4])), ("w", weight), ("y", ("float32", [1, 4]))],
        [("FULLY_CONNECTED", [0, 1, -1], 2)],
        inputs=[0],
        outputs=[2],
    )
    with pytest.raises(StageError, match=r"gave up \(RuntimeWarning: overflow encountered in cast\)"):
        bench.quantize(path, scheme="float16")
