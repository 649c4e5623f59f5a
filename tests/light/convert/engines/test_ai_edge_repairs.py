"""Files of ai-edge-quantizer are right where the library alone, or a kernel that it trusts, leaves them wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.graph import read_graphs

pytestmark = pytest.mark.slow

CONV, DEPTHWISE, DENSE, LOGITS, SCORES = 7, 3, 5, 14, 15
"""Tensors of conv_net: three weights, what goes into the softmax, and what comes out."""


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def change(model: Any, tensor: int, function: Any) -> None:
    """Let `function` change the values of a constant in place."""
    stored = model.subgraphs[0].tensors[tensor]
    values = np.frombuffer(model.buffers[stored.buffer].data, np.float32).reshape(stored.shape).copy()
    function(values)
    model.buffers[stored.buffer].data = np.frombuffer(values.tobytes(), np.uint8)


@pytest.mark.parametrize("scheme", ["dynamic_int4_block32", "full_int8", "int8x4", "float16"])
def test_names_stay_when_all_tensors_have_the_same(bench, scheme):
    def rename(model: Any) -> None:
        for tensor in model.subgraphs[0].tensors:
            tensor.name = b"same"

    path = bench.edit("conv_net", rename)
    made = bench.quantize(path, scheme=scheme)
    names = [tensor.name for tensor in read_graphs(made)[0].tensors]
    assert names.count("same") == len(read_graphs(path)[0].tensors)
    assert all(name.startswith("same") for name in names)
    assert bench.decibels(path, made) > 24


def test_a_signature_keeps_its_names_and_a_file_without_one_its_outputs(bench):
    def drop(model: Any) -> None:
        model.signatureDefs = None

    bare = bench.edit("conv_net", drop)
    for path, names in (
        ("conv_net", ["image", "scores"]),
        (bare, ["serving_default_image:0", "StatefulPartitionedCall:0"]),
    ):
        made = bench.quantize(path, scheme="full_int8")
        assert [info.name for side in litert.describe(made) for info in side] == names


@pytest.mark.parametrize("io", ["float32", "int8", "uint8"])
def test_an_output_that_the_last_op_reads_is_right(bench, io):
    def show_logits(model: Any) -> None:
        model.subgraphs[0].outputs = [LOGITS, SCORES]
        signature = model.signatureDefs[0]
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = b"logits", LOGITS
        signature.outputs.append(entry)

    path = bench.edit("conv_net", show_logits)
    made = bench.quantize(path, scheme="full_int8", io=io)
    assert {info.name: info.dtype for info in litert.describe(made)[1]} == {"logits": io, "scores": io}
    for kernels in ("xnnpack", "reference"):
        assert bench.decibels(path, made, kernels) > 35


@pytest.mark.parametrize("io", ["float32", "int8", "uint8"])
def test_an_output_that_a_float_op_reads_too_is_of_the_dtype_of_the_border(bench, io):
    path = bench.build(
        [("x", ("float32", [1, 4])), ("w", noise(4, 4)), ("h", ("float32", [1, 4])), ("y", ("float32", [1, 4]))],
        [("FULLY_CONNECTED", [0, 1, -1], 2), ("SIN", [2], 3)],
        inputs=[0],
        outputs=[2, 3],
    )
    made = bench.quantize(path, scheme="full_int8", io=io, allow_float=({"op": "SIN"},))
    assert {info.name: info.dtype for info in litert.describe(made)[1]} == {"h": io, "y": io}
    assert bench.decibels(path, made, "reference") > 35


@pytest.mark.parametrize("scheme", ["full_int8", "int8x4", "int16x8"])
def test_biases_survive_when_the_weights_of_their_channel_are_tiny(bench, scheme):
    def shrink(weights: np.ndarray) -> None:
        channels = weights.T if len(weights) == 1 else weights
        channels[0] *= 1e-9
        channels[1] = 0

    def shrink_all(model: Any) -> None:
        for tensor in (CONV, DEPTHWISE, DENSE):
            change(model, tensor, shrink)

    path = bench.edit("conv_net", shrink_all)
    made = bench.quantize(path, scheme=scheme)
    for before, after in zip(biases_of(path), biases_of(made), strict=True):
        assert np.allclose(before, after, rtol=1e-3, atol=1e-4)
    assert bench.decibels(path, made, "reference") > (24 if scheme == "int8x4" else 40)


def biases_of(path: Path) -> list[np.ndarray]:
    model, [graph] = flatbuffer.unpack(path), read_graphs(path)
    found = []
    for op in graph.ops:
        if len(op.inputs) == 3:
            tensor = model.subgraphs[0].tensors[op.inputs[2]]
            values = np.frombuffer(model.buffers[tensor.buffer].data, graph.tensors[op.inputs[2]].dtype)
            scaled = tensor.quantization is not None and tensor.quantization.scale is not None
            found.append(values * tensor.quantization.scale if scaled else values)
    return found


@pytest.mark.parametrize("kernels", ["xnnpack", "plain"])
def test_blocks_of_zeros_load(bench, kernels):
    def prune(weights: np.ndarray) -> None:
        weights[:, :32] = 0

    path = bench.edit("conv_net", lambda model: change(model, DENSE, prune))
    made = bench.quantize(path, scheme="dynamic_int4_block32")
    assert bench.decibels(path, made, kernels) > 24


def test_a_dense_layer_with_blocks_keeps_its_activation(bench):
    [graph] = read_graphs(bench.quantize("conv_net", scheme="dynamic_int4_block64"))
    [dense, relu] = [op for op in graph.ops if op.name in ("FULLY_CONNECTED", "RELU")][:2]
    assert (dense.outputs, relu.name) == (relu.inputs, "RELU")
    assert graph.tensors[relu.outputs[0]].name.startswith("functional_1/hidden_1/MatMul;functional_1/hidden_1/Relu")


@pytest.mark.parametrize("scheme", ["dynamic_int8", "weight_int8", "full_int8", "int16x8"])
@pytest.mark.parametrize("left", [False, True])
def test_products_with_a_constant_matrix_are_right(bench, scheme, left):
    shapes = {False: ([2, 8, 16], (2, 16, 5), [2, 8, 5]), True: ([2, 16, 5], (2, 8, 16), [2, 8, 5])}[left]
    path = bench.build(
        [("x", ("float32", shapes[0])), ("w", noise(*shapes[1])), ("y", ("float32", shapes[2]))],
        [("BATCH_MATMUL", [1, 0] if left else [0, 1], 2)],
        inputs=[0],
        outputs=[2],
    )
    if left and scheme in ("dynamic_int8", "int16x8"):
        # No kernel multiplies an int8 matrix by what is float32 or int16.
        assert "BATCH_MATMUL" in bench.refusal(path, scheme=scheme)
        return
    made = bench.quantize(path, scheme=scheme)
    for kernels in ("xnnpack", "reference"):
        assert bench.decibels(path, made, kernels) > 35


@pytest.mark.parametrize("scheme", ["full_int8", "int16x8"])
def test_a_constant_is_packed_with_activations(bench, scheme):
    path = bench.build(
        [("x", ("float32", [4])), ("c", noise(4)), ("y", ("float32", [2, 4]))],
        [("PACK", [0, 1], 2)],
        inputs=[0],
        outputs=[2],
    )
    assert bench.decibels(path, bench.quantize(path, scheme=scheme), "reference") > 40


def test_weights_lie_inside_the_flatbuffer_when_the_file_is_large(bench):
    path = bench.build(
        [("x", ("float32", [1, 512])), ("w", noise(600, 512)), ("y", ("float32", [1, 600]))],
        [("FULLY_CONNECTED", [0, 1, -1], 2)],
        inputs=[0],
        outputs=[2],
    )
    made = bench.quantize(path, scheme="dynamic_int8")
    buffers = flatbuffer.unpack(made).buffers
    assert [buffer.offset for buffer in buffers] == [0] * len(buffers)
    assert max(len(buffer.data) for buffer in buffers if buffer.data is not None) == 600 * 512
    assert bench.decibels(path, made) > 35


def test_files_of_old_converters_are_quantized(bench):
    """These tell an op's type in one field only, which later got too small."""

    def age(model: Any) -> None:
        for code in model.operatorCodes:
            code.builtinCode = 0

    path = bench.edit("conv_net", age)
    assert flatbuffer.unpack(path).operatorCodes[0].deprecatedBuiltinCode != 0
    made = bench.quantize(path, scheme="full_int8")
    assert {code.builtinCode == code.deprecatedBuiltinCode for code in flatbuffer.unpack(made).operatorCodes} == {True}
    assert bench.decibels("conv_net", made) > 42


def test_a_weight_with_two_readers_is_stored_for_both(bench):
    path = bench.build(
        [
            ("x", ("float32", [1, 4])),
            ("w", noise(4, 4)),
            ("h", ("float32", [1, 4])),
            ("y", ("float32", [1, 4])),
        ],
        [("FULLY_CONNECTED", [0, 1, -1], 2), ("FULLY_CONNECTED", [2, 1, -1], 3)],
        inputs=[0],
        outputs=[3],
    )
    rules = ({"tensor": "h", "scheme": "full_int8"}, {"tensor": "y", "scheme": "dynamic_int4"})
    made = bench.quantize(path, scheme="mixed", rules=rules)
    [graph] = read_graphs(made)
    stored = [weight.dtype for op in graph.ops for weight in graph.weights_of(op)]
    assert stored == ["int8", "int4"]
    assert bench.decibels(path, made, "reference") > 15


def test_the_reference_is_not_changed(bench):
    before = Path(bench.path("conv_net")).read_bytes()
    bench.quantize("conv_net", scheme="full_int8")
    assert bench.path("conv_net").read_bytes() == before
