"""What the files of ai-edge-quantizer hold and compute, scheme by scheme, for a net with all common layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.runtime.treatment import Treatment

pytestmark = pytest.mark.slow

HIDDEN = 13
"""The tensor of conv_net that its first dense layer puts out."""
CHANNELS = {"conv": 8, "depthwise": 8, "hidden": 12, "scores": 4}
"""The layers of conv_net that have weights, in their order."""


class Stored(NamedTuple):
    """A weight: dtype, number of scales, dimension that they lie along (or `block` and its size)."""

    dtype: str
    scales: int
    along: int | str


def weights_of(path: Path) -> dict[str, Stored]:
    """By layer of conv_net, how its weight is stored."""
    [graph], tensors = read_graphs(path), flatbuffer.unpack(path).subgraphs[0].tensors
    weighted = [op for op in graph.ops if graph.weights_of(op)]
    places = [graph.origins[op.inputs[1]][0] for op in weighted]
    return {
        layer: _stored(graph.tensors[place].dtype, tensors[place].quantization, tensors)
        for layer, place in zip(CHANNELS, places, strict=True)
    }


def _stored(dtype: str, quantization: Any, tensors: list[Any]) -> Stored:
    if quantization is not None and quantization.details is not None:
        scales = int(np.prod(tensors[quantization.details.scales].shape))
        return Stored(dtype, scales, f"block{quantization.details.blockSize}")
    if quantization is None or quantization.scale is None:
        return Stored(dtype, 0, 0)
    return Stored(dtype, len(quantization.scale), quantization.quantizedDimension)


def per_channel(**dtypes: str) -> dict[str, Stored]:
    return {layer: Stored(dtype, CHANNELS[layer], 3 if layer == "depthwise" else 0) for layer, dtype in dtypes.items()}


INT4 = per_channel(conv="int4", depthwise="int8", hidden="int4", scores="int4")
INT8 = per_channel(conv="int8", depthwise="int8", hidden="int8", scores="int8")
WEIGHTS = {
    "float16": dict.fromkeys(CHANNELS, Stored("float16", 0, 0)),
    "dynamic_int8": INT8,
    "dynamic_int4": INT4,
    "dynamic_int4_block32": INT4 | {"hidden": Stored("int4", 48, "block32")},
    "dynamic_int4_block64": INT4 | {"hidden": Stored("int4", 24, "block64")},
    "dynamic_int4_block128": INT4 | {"hidden": Stored("int4", 12, "block128")},
    "weight_int8": INT8,
    "weight_int4": INT4,
    "full_int8": INT8,
    "int8x4": INT4,
    "int16x8": INT8,
}
DECIBELS = {"float16": 70, "int8": 42, "int16": 45, "int4": 24}
"""What the answers must reach by the coarsest dtype; measured 1 to 6 more."""


def activations_of(path: Path) -> set[str]:
    """List the dtypes that the ops of a file compute in; ops that only change the dtype do not count."""
    [graph] = read_graphs(path)
    ops = [op for op in graph.ops if op.name not in ("QUANTIZE", "DEQUANTIZE")]
    return {graph.tensors[index].dtype for op in ops for index in graph.activations_of(op)}


@pytest.mark.parametrize("scheme", WEIGHTS)
def test_weights_are_stored_as_the_scheme_says(bench, scheme):
    assert weights_of(bench.quantize("conv_net", scheme=scheme)) == WEIGHTS[scheme]


@pytest.mark.parametrize("scheme", WEIGHTS)
def test_activations_and_biases_are_of_the_dtype_of_the_scheme(bench, scheme):
    path = bench.quantize("conv_net", scheme=scheme)
    activations, bias = {
        "full_int8": ("int8", "int32"),
        "int8x4": ("int8", "int32"),
        "int16x8": ("int16", "int64"),
    }.get(scheme, ("float32", "float32"))
    assert activations_of(path) == {activations}
    [graph] = read_graphs(path)
    biases = [graph.tensors[op.inputs[2]] for op in graph.ops if len(op.inputs) == 3]
    assert {tensor.dtype for tensor in biases} == {bias}
    assert len(biases) == 4


@pytest.mark.parametrize("scheme", ["float16", "weight_int8", "weight_int4"])
def test_weights_are_unpacked_before_use_when_only_they_are_stored_smaller(bench, scheme):
    [graph] = read_graphs(bench.quantize("conv_net", scheme=scheme))
    weights = [weight for op in graph.ops for weight in graph.weights_of(op)]
    assert [weight.unpacked for weight in weights] == [True] * 4


@pytest.mark.parametrize("kernels", ["xnnpack", "plain", "reference"])
@pytest.mark.parametrize("scheme", WEIGHTS)
def test_answers_are_near_the_float_ones_under_all_kernels(bench, scheme, kernels):
    path = bench.quantize("conv_net", scheme=scheme)
    reached = bench.decibels("conv_net", path, kernels)
    if "block" in scheme and kernels == "reference":
        # LiteRT's reference kernels take no notice of blocks; nothing in the file can help that.
        assert reached < 15
    else:
        coarsest = "int16" if scheme == "int16x8" else "int4" if "4" in scheme else scheme.split("_")[-1]
        assert reached > DECIBELS[coarsest]


@pytest.mark.parametrize("kernels", ["xnnpack", "plain", "reference"])
@pytest.mark.parametrize("scheme", ["float16", "dynamic_int8", "weight_int8", "full_int8", "int16x8"])
def test_transposed_convolutions_are_quantized(bench, scheme, kernels):
    path = bench.quantize("upscale", scheme=scheme)
    [graph] = read_graphs(path)
    [weight] = [weight for op in graph.ops for weight in graph.weights_of(op)]
    assert weight.dtype == ("float16" if scheme == "float16" else "int8")
    assert bench.decibels("upscale", path, kernels) > 38


@pytest.mark.parametrize(
    ("scheme", "io"),
    [("full_int8", "int8"), ("full_int8", "uint8"), ("int8x4", "int8"), ("int8x4", "uint8"), ("int16x8", "int16")],
)
def test_the_border_is_of_the_dtype_that_was_asked_for(bench, scheme, io):
    path = bench.quantize("conv_net", scheme=scheme, io=io)
    (entry,), (exit_,) = litert.describe(path)
    assert (entry.dtype, exit_.dtype) == (io, io)
    assert [entry.name, exit_.name] == ["image", "scores"]
    for kernels in ("xnnpack", "reference"):
        assert bench.decibels("conv_net", path, kernels) > (24 if scheme == "int8x4" else 42)


def test_uint8_at_the_border_is_int8_moved_by_128(bench):
    signed, unsigned = (
        litert.describe(bench.quantize("conv_net", scheme="full_int8", io=io)) for io in ("int8", "uint8")
    )
    for (before,), (after,) in zip(signed, unsigned, strict=True):
        assert (after.scale, after.zero_point) == (before.scale, before.zero_point + 128)


def test_dense_layers_have_one_scale_when_per_channel_dense_is_false(bench):
    weights = weights_of(bench.quantize("conv_net", scheme="full_int8", per_channel_dense=False))
    assert {layer: weight.scales for layer, weight in weights.items()} == {
        "conv": 8,
        "depthwise": 8,
        "hidden": 1,
        "scores": 1,
    }


def test_zero_points_are_zero_when_activations_are_symmetric(bench):
    limits = {
        tensor: (-max(-low, high) * 128 / 127, max(-low, high))
        for tensor, (low, high) in bench.limits("conv_net").items()
    }
    path = bench.quantize("conv_net", limits, scheme="full_int8", io="int8", symmetric_activations=True)
    graph = flatbuffer.unpack(path).subgraphs[0]
    points = {
        tensor.name.decode(): set(tensor.quantization.zeroPoint)
        for tensor in graph.tensors
        if tensor.quantization is not None and tensor.quantization.scale is not None
    }
    # The kernel of SOFTMAX prescribes that of what it puts out.
    assert points.pop("StatefulPartitionedCall:0") == {-128}
    assert set.union(*points.values()) == {0}
    assert bench.decibels("conv_net", path) > 38


def test_constants_of_sums_are_symmetric_when_activations_are(bench):
    offset = np.arange(1, 5, dtype=np.float32)
    path = bench.build(
        [("x", ("float32", [1, 4])), ("offset", offset), ("y", ("float32", [1, 4]))],
        [("ADD", [0, 1], 2)],
        inputs=[0],
        outputs=[2],
    )
    limits = {0: (-128 / 127, 1.0), 2: (-5 * 128 / 127, 5.0)}
    made = bench.quantize(path, limits, scheme="full_int8", io="int8", symmetric_activations=True)
    points = [tensor.quantization.zeroPoint[0] for tensor in flatbuffer.unpack(made).subgraphs[0].tensors]
    assert points == [0, 0, 0]
    assert bench.decibels(path, made, "reference") > 38


@pytest.mark.parametrize("scheme", ["float16", "dynamic_int8", "dynamic_int4", "dynamic_int4_block32", "weight_int4"])
def test_tables_are_quantized_and_ids_are_not(bench, scheme):
    path = bench.quantize(lookup(bench), scheme=scheme)
    [graph] = read_graphs(path)
    table, weight = (weight for op in graph.ops for weight in graph.weights_of(op))
    assert table.dtype == weight.dtype == {"float16": "float16", "dynamic_int8": "int8"}.get(scheme, "int4")
    assert table.granularity == {"float16": "", "dynamic_int4_block32": "block32"}.get(scheme, "per_channel")
    assert [info.dtype for info in litert.describe(path)[0]] == ["int32"]
    assert bench.decibels(lookup(bench), path) > 12


def test_ids_stay_integers_when_the_border_is_int8(bench):
    path = bench.quantize(lookup(bench), scheme="full_int8", io="int8", allow_float=({"op": "EMBEDDING_LOOKUP"},))
    (ids,), (rows,) = litert.describe(path)
    assert (ids.dtype, rows.dtype) == ("int32", "int8")


def lookup(bench) -> Path:
    noise = np.random.default_rng(0)
    table, weight = (noise.normal(size=size).astype(np.float32) for size in ((10, 64), (4, 64)))
    return bench.build(
        [
            ("ids", ("int32", [3])),
            ("table", table),
            ("rows", ("float32", [3, 64])),
            ("w", weight),
            ("y", ("float32", [3, 4])),
        ],
        [("EMBEDDING_LOOKUP", [0, 1], 2), ("FULLY_CONNECTED", [2, 3, -1], 4)],
        inputs=[0],
        outputs=[4],
    )


RULES = (
    {"tensor": "*/conv_1/*", "scheme": "full_int8"},
    {"op": "DEPTHWISE_CONV_2D", "scheme": "int16x8"},
    {"tensor": "*/hidden_1/*", "scheme": "dynamic_int4_block32"},
    {"tensor": "*/scores_1/*", "scheme": "weight_int4"},
)


@pytest.mark.parametrize("kernels", ["xnnpack", "plain"])
def test_each_layer_has_its_own_scheme_when_the_scheme_is_mixed(bench, kernels):
    path = bench.quantize("conv_net", scheme="mixed", rules=RULES)
    assert weights_of(path) == per_channel(conv="int8", depthwise="int8", scores="int4") | {
        "hidden": Stored("int4", 48, "block32")
    }
    [graph] = read_graphs(path)
    computes = {op.name: graph.tensors[op.inputs[0]].dtype for op in graph.ops}
    assert computes["CONV_2D"] == "int8"
    assert computes["DEPTHWISE_CONV_2D"] == "int16"
    assert {computes[name] for name in ("ADD", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX")} == {"float32"}
    assert bench.decibels("conv_net", path, kernels) > 24


@pytest.mark.parametrize("io", ["int8", "uint8", "int16"])
def test_a_mixed_file_has_the_border_that_was_asked_for(bench, io):
    path = bench.quantize("conv_net", scheme="mixed", io=io, rules=RULES)
    assert [info.dtype for side in litert.describe(path) for info in side] == [io, io]
    assert bench.decibels("conv_net", path) > 24


def test_a_missing_limit_is_told_by_name(bench):
    limits = bench.limits("conv_net")
    del limits[HIDDEN]
    with pytest.raises(StageError, match=r"range of every activation. Got none for 'functional_1/hidden_1/MatMul;"):
        bench.quantize("conv_net", limits, scheme="full_int8")


def test_nothing_is_printed(bench, capfd):
    bench.quantize("conv_net", scheme="int8x4")
    assert capfd.readouterr() == ("", "")


POLICY = {
    "static_wi8_ai8": Treatment(8, 8),
    "static_wi8_ai16": Treatment(8, 16),
    "static_wi4_ai8": Treatment(4, 8),
    "dynamic_wi8_afp32": Treatment(8),
    "dynamic_wi4_afp32": Treatment(4),
    "dynamic_wi4_afp32_blockwise": Treatment(4, block=32),
    "weightonly_wi8_afp32": Treatment(8, unpacked=True),
    "weightonly_wi4_afp32": Treatment(4, unpacked=True),
}


@pytest.mark.parametrize("name", POLICY)
def test_the_ops_of_a_treatment_are_those_of_the_library(name):
    from ai_edge_quantizer.default_policy import DEFAULT_JSON_POLICY

    ops = set(json.loads(DEFAULT_JSON_POLICY)["ops_per_config"][name]) - {"INPUT", "OUTPUT", "STABLEHLO_COMPOSITE"}
    assert {op.replace("CONV_2D_TRANSPOSE", "TRANSPOSE_CONV") for op in ops} == POLICY[name].ops
