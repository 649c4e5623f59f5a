from __future__ import annotations

from pathlib import Path

from tflite_pipeline.runtime import census
from tflite_pipeline.runtime.graph import Graph, Op, Tensor, read_graphs
from tflite_pipeline.runtime.soundness import read_sound_model

DATA = Path(__file__).parents[2] / "data"


def tensor(name: str, dtype: str = "int32", stored: bool = False) -> Tensor:
    return Tensor(name, dtype, (1,), "", stored, state=False)


def graph(*ops: tuple[str, tuple[int, ...], tuple[int, ...]], tensors: tuple[Tensor, ...]) -> Graph:
    made = tuple(Op(i, name, False, inputs, outputs) for i, (name, inputs, outputs) in enumerate(ops))
    return Graph(0, tensors, made, frozenset({0}), frozenset())


X, CONSTANT = tensor("x", "float32"), tensor("c", stored=True)


def test_a_chain_is_told_with_what_it_feeds():
    tensors = (X, CONSTANT, tensor("shape"), tensor("batch"), tensor("wanted"), tensor("y", "float32"))
    found = census.shape_chains(
        [
            graph(
                ("SHAPE", (0,), (2,)),
                ("STRIDED_SLICE", (2, 1, 1, 1), (3,)),
                ("PACK", (3, 1), (4,)),
                ("RESHAPE", (0, 4), (5,)),
                tensors=tensors,
            )
        ]
    )
    assert found == [{"subgraph": 0, "ops": ["SHAPE", "STRIDED_SLICE", "PACK"], "feeds": ["RESHAPE"]}]


def test_chains_are_one_when_they_meet():
    tensors = (X, CONSTANT, tensor("a"), tensor("b"), tensor("both"), tensor("zeros", "float32"))
    ops = (("SHAPE", (0,), (2,)), ("SHAPE", (0,), (3,)), ("PACK", (2, 3), (4,)), ("FILL", (4, 1), (5,)))
    assert census.shape_chains([graph(*ops, tensors=tensors)]) == [
        {"subgraph": 0, "ops": ["SHAPE", "SHAPE", "PACK"], "feeds": ["FILL"]}
    ]


def test_whole_numbers_are_no_chain_when_they_come_from_an_input():
    tensors = (tensor("ids"), CONSTANT, tensor("more"))
    assert census.shape_chains([graph(("ADD", (0, 1), (2,)), tensors=tensors)]) == []


def test_ops_are_counted_by_version():
    model = read_sound_model(DATA / "full_int8_uint8_io.tflite")
    found = {(row["op"], row["version"]): row["count"] for row in census.op_versions(model)}
    assert found[("QUANTIZE", 1)] == 2
    assert found[("FULLY_CONNECTED", 4)] == 2


def test_axes_of_channels_are_those_of_the_kernels():
    path = DATA / "audit_int8x4.tflite"
    rows = census.channel_axes(read_sound_model(path), read_graphs(path))
    axes = {row["op"]: row["axis"] for row in rows}
    assert axes["DEPTHWISE_CONV_2D"] == 3
    assert axes["CONV_2D"] == 0
    assert len(axes) == len(rows)


def test_no_axis_is_told_when_scales_are_per_tensor():
    path = DATA / "audit_full_int8_per_tensor.tflite"
    found = census.channel_axes(read_sound_model(path), read_graphs(path))
    assert "FULLY_CONNECTED" not in {row["op"] for row in found}


def test_open_tensors_are_those_that_depend_on_the_batch():
    assert census.open_tensors(read_sound_model(DATA / "float32.tflite")) == []
    rows = census.open_tensors(read_sound_model(DATA / "float32_dynamic_batch.tflite"))
    assert [-1, 16] in [row["shape"] for row in rows]
    assert all(row["shape"][0] == -1 for row in rows)


def test_metadata_tell_the_least_runtime():
    rows = census.metadata(read_sound_model(DATA / "float_island.tflite"))
    assert {"name": "min_runtime_version", "bytes": 16, "text": "2.10.0"} in rows


def test_graphs_are_listed():
    (row,) = census.subgraphs(read_sound_model(DATA / "two_by_two.tflite"))
    assert (row["inputs"], row["outputs"]) == (2, 2)
