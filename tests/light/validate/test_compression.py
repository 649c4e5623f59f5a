"""What is counted in real files: weights that were thinned out or clustered by hand, then quantized."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tflite_pipeline.artifacts import Reference, file_digest
from tflite_pipeline.convert.engines import ai_edge
from tflite_pipeline.convert.engines.job import Job
from tflite_pipeline.convert.plan import make_plan
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.validate.compression import check_compression, compression

DATA = Path(__file__).parents[2] / "data"
CONV, HIDDEN, SCORES = (f"functional_1/{name}" for name in ("conv_1/convolution", "hidden_1/MatMul", "scores_1/MatMul"))
SCHEMES = ["float16", "dynamic_int8", "weight_int8", "dynamic_int4", "weight_int4", "full_int8", "int8x4", "int16x8"]
KEPT = {"sparsity": {HIDDEN: 0.75}, "clusters": {SCORES: 5}, "two_of_four": [HIDDEN]}
Change = Callable[[np.ndarray], np.ndarray]


def changed(folder: Path, name: str, changes: dict[str, Change]) -> Path:
    """Store a copy of a float file in which weights, by name, are changed."""

    def change(model: Any) -> None:
        for tensor in model.subgraphs[0].tensors:
            if tensor.name.decode() in changes:
                buffer = model.buffers[tensor.buffer]
                values = changes[tensor.name.decode()](buffer.data.view(np.float32).reshape(tensor.shape))
                buffer.data = np.ascontiguousarray(values, np.float32).view(np.uint8).reshape(-1)

    return edited(folder, name, change)


def edited(folder: Path, name: str, change: Callable[[Any], None]) -> Path:
    """Store a copy of a file that `change` has altered as the schema's objects."""
    model = flatbuffer.unpack(DATA / f"{name}.tflite")
    change(model)
    path = folder / f"{name}_changed.tflite"
    path.write_bytes(flatbuffer.pack(model))
    return path


def quantized(path: Path, scheme: str) -> Path:
    spec, graphs = Quantization(scheme=scheme), tuple(read_graphs(path))
    reference = Reference(path, file_digest(path), *litert.describe(path), None, None, "tflite")
    limits = {i: (-4.0, 4.0) for i in range(len(graphs[0].tensors))}
    made = path.with_name(f"{scheme}.tflite")
    made.write_bytes(ai_edge.quantize(Job(spec, reference, graphs, make_plan(spec, graphs, ()), limits, None)))
    return made


def thinned(share: float) -> Change:
    def change(values: np.ndarray) -> np.ndarray:
        return np.where(np.abs(values) < np.quantile(np.abs(values), share), 0, values)

    return change


def in_groups(values: np.ndarray) -> np.ndarray:
    groups = values.reshape(-1, 4).copy()
    np.put_along_axis(groups, np.argsort(np.abs(groups), axis=1)[:, :2], 0, axis=1)
    return groups.reshape(values.shape)


def to_five_values(values: np.ndarray) -> np.ndarray:
    few = np.array([-0.21, -0.1, 0.0, 0.07, 0.19], np.float32)
    return few[np.abs(values[..., None] - few).argmin(axis=-1)]


def row(path: Path, tensor: str) -> dict[str, Any]:
    return next(row for row in compression(path)["weights"] if row["tensor"] == tensor)


def test_zeros_and_values_of_a_float_file_are_counted(tmp_path: Path) -> None:
    path = changed(tmp_path, "conv_net", {HIDDEN: thinned(0.75), SCORES: to_five_values})
    found = compression(path)
    assert [(row["tensor"], row["op"], row["elements"]) for row in found["weights"]] == [
        (CONV, "CONV_2D", 72),
        (HIDDEN, "FULLY_CONNECTED", 1536),
        (SCORES, "FULLY_CONNECTED", 48),
    ]
    assert row(path, CONV)["zeros"] == 0
    assert row(path, HIDDEN)["zeros"] == 0.75
    assert row(path, SCORES)["distinct"] == 5
    zeros = row(path, SCORES)["zeros"] * 48
    assert found["zeros"] == pytest.approx((0.75 * 1536 + zeros) / 1656)
    assert found["unread"] == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_training_kept_is_found_in_the_file_of_every_scheme(scheme: str, tmp_path: Path) -> None:
    changes = {HIDDEN: lambda values: in_groups(thinned(0.75)(values)), SCORES: to_five_values}
    made = quantized(changed(tmp_path, "conv_net", changes), scheme)
    assert check_compression(compression(made), KEPT) == []


@pytest.mark.parametrize("scheme", ["float16", "full_int8"])
def test_each_broken_promise_is_told_when_the_weights_are_dense(scheme: str, tmp_path: Path) -> None:
    made = quantized(changed(tmp_path, "conv_net", {HIDDEN: thinned(0.7)}), scheme)
    distinct = row(made, SCORES)["distinct_in_channel"]
    assert distinct > 5
    findings = check_compression(compression(made), {**KEPT, "sparsity": {HIDDEN: 0.75, "gone": 0.5}})
    assert [finding["tensor"] for finding in findings] == [HIDDEN, "gone", SCORES, HIDDEN]
    assert findings[0]["expected"] == "at least 75.00% zeros"
    assert findings[1]["got"] == "no such weight"
    assert findings[2]["expected"] == "at most 5 values in an output channel"
    assert findings[2]["got"] == f"{distinct} values in one"
    assert findings[3]["got"] == "more in some"


def test_a_value_has_other_integers_in_each_channel_when_scales_are_per_channel(tmp_path: Path) -> None:
    def change(values: np.ndarray) -> np.ndarray:
        few = to_five_values(values)
        few[0] = np.where(np.abs(few[0]) > 0.1, np.float32(0.07), few[0])
        return few

    made = quantized(changed(tmp_path, "conv_net", {SCORES: change}), "full_int8")
    assert row(made, SCORES)["distinct_in_channel"] <= 5 < row(made, SCORES)["distinct"]


def test_packed_int4_is_read_value_by_value_also_when_their_number_is_odd(tmp_path: Path) -> None:
    width = "functional_2_1/width_1/MatMul"
    kernel = np.array([[7, 0, -7, 3, 0], [0, 7, 0, 0, -1], [-7, -6, 0, 5, 2]], np.float32)
    made = quantized(changed(tmp_path, "two_by_two", {width: lambda _: kernel / 10}), "weight_int4")
    assert [tensor.dtype for tensor in read_graphs(made)[0].tensors if tensor.name == width][:1] == ["int4"]
    found = row(made, width)
    assert (found["elements"], found["zeros"]) == (15, 6 / 15)
    assert (found["distinct"], found["distinct_in_channel"]) == (8, 5)


def test_the_zero_point_is_what_counts_as_zero(tmp_path: Path) -> None:
    def shift(model: Any) -> None:
        tensor = next(t for t in model.subgraphs[0].tensors if t.name.decode() == "functional_1/dense_1/MatMul")
        points = np.arange(80) % 3
        tensor.quantization.zeroPoint = points
        values = np.repeat(points, 16).reshape(80, 16).astype(np.int8)
        values[:, 0] = 100
        model.buffers[tensor.buffer].data = values.view(np.uint8).reshape(-1)

    path = edited(tmp_path, "full_int8_int8_io", shift)
    assert row(path, "functional_1/dense_1/MatMul")["zeros"] == 15 / 16


def test_a_weight_of_two_layers_counts_once(tmp_path: Path) -> None:
    def share(model: Any) -> None:
        twins = [op for op in model.subgraphs[0].operators if _elements(model, op) == 64]
        twins[1].inputs[1] = twins[0].inputs[1]

    def _elements(model: Any, op: Any) -> int:
        return len(op.inputs) > 1 and int(np.prod(model.subgraphs[0].tensors[op.inputs[1]].shape))

    before, after = compression(DATA / "audit_float32.tflite"), compression(edited(tmp_path, "audit_float32", share))
    assert len(before["weights"]) - len(after["weights"]) == 1


def test_weights_of_transposed_convolutions_count_and_those_of_depthwise_ones_do_not(tmp_path: Path) -> None:
    name = "functional_1_1/conv2d_transpose_1/conv_transpose"
    made = quantized(changed(tmp_path, "upscale", {name: in_groups}), "full_int8")
    found = compression(made)
    assert [(row["op"], row["two_of_four"]) for row in found["weights"]] == [("TRANSPOSE_CONV", True)]
    assert found["zeros"] >= 0.5
    assert "DEPTHWISE_CONV_2D" not in {row["op"] for row in compression(DATA / "conv_net.tflite")["weights"]}


def test_a_depth_that_is_no_multiple_of_four_has_no_groups(tmp_path: Path) -> None:
    path = changed(tmp_path, "conv_net", {CONV: lambda values: values * 0})
    assert row(path, CONV)["zeros"] == 1
    assert not row(path, CONV)["two_of_four"]


def test_a_weight_in_a_sparse_encoding_is_named_as_unread(tmp_path: Path) -> None:
    def encode(model: Any) -> None:
        tensor = next(t for t in model.subgraphs[0].tensors if t.name.decode() == HIDDEN)
        tensor.sparsity = schema.SparsityParametersT()

    found = compression(edited(tmp_path, "conv_net", encode))
    assert found["unread"] == [HIDDEN]
    assert [row["tensor"] for row in found["weights"]] == [CONV, SCORES]


def test_the_compressed_size_is_that_in_an_archive_and_falls_with_the_zeros(tmp_path: Path) -> None:
    dense, sparse = DATA / "conv_net.tflite", changed(tmp_path, "conv_net", {HIDDEN: thinned(0.75)})
    with zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(dense)
        packed = archive.infolist()[0].compress_size
    header = 6
    assert compression(dense)["compressed_bytes"] == packed + header
    assert compression(sparse)["compressed_bytes"] < 0.7 * packed


def test_a_file_without_such_weights_has_no_zeros() -> None:
    found = compression(DATA / "lookup.tflite")
    assert (found["weights"], found["zeros"], found["unread"]) == ([], 0.0, [])
