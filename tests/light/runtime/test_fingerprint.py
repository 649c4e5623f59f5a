from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.runtime.fingerprint import take_fingerprint

DATA = Path(__file__).parents[2] / "data"
FILES = sorted(DATA.glob("*.tflite"))


@pytest.fixture
def digest_after(tmp_path: Path) -> Callable[..., str]:
    """Change a file as objects of its schema, write it anew, and give its fingerprint."""

    def make(source: str, change: Callable[[Any], None]) -> str:
        model = flatbuffer.unpack(DATA / source)
        change(model)
        path = tmp_path / "changed.tflite"
        path.write_bytes(flatbuffer.pack(model))
        return take_fingerprint(path).digest

    return make


def of(source: str) -> str:
    return take_fingerprint(DATA / source).digest


def rename(model: Any) -> None:
    model.metadata = model.metadataBuffer = None
    model.description = b"another"
    for graph in model.subgraphs:
        graph.name = b"other"
        for number, tensor in enumerate(graph.tensors):
            tensor.name = f"t{number}".encode()


def turn_buffers_round(model: Any) -> None:
    last = len(model.buffers) - 1
    model.metadata = None
    model.buffers.reverse()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = last - tensor.buffer


def turn_tensors_round(model: Any) -> None:
    graph = model.subgraphs[0]
    last = len(graph.tensors) - 1
    graph.tensors.reverse()

    def other(numbers: Any) -> Any:
        return None if numbers is None else [last - i if i >= 0 else i for i in np.asarray(numbers).tolist()]

    graph.inputs, graph.outputs = other(graph.inputs), other(graph.outputs)
    for op in graph.operators:
        op.inputs, op.outputs, op.intermediates = other(op.inputs), other(op.outputs), other(op.intermediates)
    model.signatureDefs = None


def record_ranges(model: Any) -> None:
    for tensor in model.subgraphs[0].tensors:
        tensor.quantization = tensor.quantization or schema.QuantizationParametersT()
        tensor.quantization.min, tensor.quantization.max = [-1.0], [1.0]


def raise_versions(model: Any) -> None:
    for code in model.operatorCodes:
        code.version += 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_fingerprint_is_the_same_when_a_file_is_written_anew_with_other_names(path, digest_after):
    assert digest_after(path.name, rename) == of(path.name)


@pytest.mark.parametrize("change", [turn_buffers_round, turn_tensors_round, record_ranges, raise_versions])
@pytest.mark.parametrize("source", ["conv_net.tflite", "full_int8_int8_io.tflite"])
def test_fingerprint_is_the_same_when_nothing_that_is_computed_changes(source, change, digest_after):
    assert digest_after(source, change) == of(source)


def test_fingerprints_differ_when_files_do():
    found = {of(path.name) for path in FILES}
    assert len(found) == len(FILES)


def first_op(model: Any, name: str) -> Any:
    number = getattr(schema.BuiltinOperator, name)
    codes = [code.builtinCode for code in model.operatorCodes]
    return next(op for op in model.subgraphs[0].operators if codes[op.opcodeIndex] == number)


def operand(model: Any, name: str, position: int) -> Any:
    return model.subgraphs[0].tensors[first_op(model, name).inputs[position]]


def change_weight(model: Any) -> None:
    buffer = model.buffers[operand(model, "FULLY_CONNECTED", 1).buffer]
    buffer.data = buffer.data.copy()
    buffer.data[0] ^= 1


def change_scale(model: Any) -> None:
    quantization = operand(model, "FULLY_CONNECTED", 0).quantization
    quantization.scale = np.asarray(quantization.scale, np.float32) * np.float32(1.001)


def change_zero_point(model: Any) -> None:
    operand(model, "FULLY_CONNECTED", 0).quantization.zeroPoint = np.asarray([7])


def change_option(model: Any) -> None:
    options = first_op(model, "FULLY_CONNECTED").builtinOptions
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU6


def change_shape(model: Any) -> None:
    operand(model, "FULLY_CONNECTED", 0).shape = [4, 4]


def change_dtype(model: Any) -> None:
    operand(model, "FULLY_CONNECTED", 0).type = schema.TensorType.UINT8


CHANGES = [change_weight, change_scale, change_zero_point, change_option, change_shape, change_dtype]


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_is_another_when_what_is_computed_changes(change, digest_after):
    assert digest_after("full_int8_int8_io.tflite", change) != of("full_int8_int8_io.tflite")


def test_fingerprint_is_another_when_outputs_change_places(digest_after):
    def swap(model: Any) -> None:
        graph = model.subgraphs[0]
        graph.outputs = list(graph.outputs)[::-1]

    assert digest_after("two_by_two.tflite", swap) != of("two_by_two.tflite")


def test_fingerprint_is_another_when_the_scales_of_blocks_change(digest_after):
    source = "audit_dynamic_int4_block32.tflite"

    def change(model: Any) -> None:
        grids = (tensor.quantization for tensor in model.subgraphs[0].tensors if tensor.quantization)
        details = next(grid.details for grid in grids if hasattr(grid.details, "blockSize"))
        buffer = model.buffers[model.subgraphs[0].tensors[details.scales].buffer]
        buffer.data = buffer.data.copy()
        buffer.data[1] ^= 1

    assert digest_after(source, change) != of(source)


def test_one_constant_differs_when_one_weight_does(tmp_path):
    model = flatbuffer.unpack(DATA / "full_int8_int8_io.tflite")
    change_weight(model)
    (tmp_path / "changed.tflite").write_bytes(flatbuffer.pack(model))
    before = take_fingerprint(DATA / "full_int8_int8_io.tflite").constants
    after = take_fingerprint(tmp_path / "changed.tflite").constants
    assert len(before) == len(after)
    assert len(set(after) - set(before)) == 1
