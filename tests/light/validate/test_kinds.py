"""The name of a scheme from dtypes and weights alone."""

from __future__ import annotations

import pytest

from tflite_pipeline.runtime.graph import Graph, Op, Weight
from tflite_pipeline.validate.kinds import Part, name_scheme


def part(op: str, dtype: str, *weights: Weight) -> Part:
    graph = Graph(0, (), (), frozenset(), frozenset())
    return Part(graph, Op(0, op, False, (), ()), frozenset({dtype}), weights)


def weight(op: str, stored: str, depth: int = 64, rows: int = 64) -> Weight:
    """`stored` is the dtype, then `unpacked` or the granularity where they are not the usual ones."""
    dtype, *rest = stored.split()
    unpacked = "unpacked" in rest
    block = next((word for word in rest if word.startswith("block")), "per_channel")
    return Weight(op, "name", dtype, (rows, depth), "" if "float" in dtype else block, unpacked)


@pytest.mark.parametrize(
    ("dtype", "stored", "name"),
    [
        ("float32", {}, "float32"),
        ("float32", {"CONV_2D": "float32"}, "float32"),
        ("float32", {"CONV_2D": "float16 unpacked"}, "float16"),
        ("float32", {"CONV_2D": "float16 unpacked", "FULLY_CONNECTED": "int8 unpacked"}, "mixed"),
        ("float32", {"CONV_2D": "int8", "FULLY_CONNECTED": "float32"}, "mixed"),
        ("float32", {"CONV_2D": "int8", "FULLY_CONNECTED": "int8 unpacked"}, "mixed"),
        ("float32", {"CONV_2D": "int8", "CONV_3D": "int8 unpacked"}, "dynamic_int8"),
        ("float32", {"CONV_2D": "int8 unpacked", "DEPTHWISE_CONV_2D": "int8 unpacked"}, "weight_int8"),
        ("float32", {"DEPTHWISE_CONV_2D": "int8"}, "dynamic_int8"),
        ("float32", {"CONV_2D": "int4", "BATCH_MATMUL": "int8"}, "dynamic_int4"),
        ("float32", {"CONV_2D": "int4", "FULLY_CONNECTED": "int8"}, "mixed"),
        ("float32", {"CONV_2D": "int4", "FULLY_CONNECTED": "int4 block64"}, "dynamic_int4_block64"),
        ("float32", {"FULLY_CONNECTED": "int4 block32", "EMBEDDING_LOOKUP": "int4 block64"}, "mixed"),
        ("float32", {"FULLY_CONNECTED": "int4 block32", "EMBEDDING_LOOKUP": "int4"}, "mixed"),
        ("int8", {}, "full_int8"),
        ("int8", {"CONV_2D": "int8"}, "full_int8"),
        ("int8", {"CONV_2D": "int4", "TRANSPOSE_CONV": "int8"}, "int8x4"),
        ("int8", {"CONV_2D": "int4", "FULLY_CONNECTED": "int8"}, "mixed"),
        ("int8", {"CONV_2D": "float32"}, "mixed"),
        ("uint8", {"CONV_2D": "uint8"}, "full_uint8"),
        ("int16", {"CONV_2D": "int8"}, "int16x8"),
        ("int16", {"CONV_2D": "int4"}, "mixed"),
        ("int16", {"CONV_2D": "int16"}, "full_int16"),
        ("int16", {"CONV_2D": "int8", "GATHER": "int16"}, "int16x8"),
        ("int8", {"CONV_2D": "int8", "GATHER": "int16"}, "mixed"),
    ],
)
def test_ops_of_one_dtype_are_named_by_their_weights(dtype: str, stored: dict[str, str], name: str) -> None:
    parts = [part(op, dtype, weight(op, text)) for op, text in stored.items()]
    assert name_scheme([*parts, part("ADD", dtype)]) == name


def test_ops_of_two_dtypes_are_mixed() -> None:
    assert name_scheme([part("ADD", "int8"), part("ADD", "int16")]) == "mixed"
    assert name_scheme([part("ADD", "int8"), part("ADD", "float32")]) == "mixed"


def test_a_dense_layer_that_the_block_does_not_divide_is_no_exception() -> None:
    dense = [weight("FULLY_CONNECTED", "int4 block32"), weight("FULLY_CONNECTED", "int4", depth=20)]
    assert name_scheme([part("FULLY_CONNECTED", "float32", one) for one in dense]) == "dynamic_int4_block32"


def test_small_weights_left_float_are_no_exception() -> None:
    small = weight("CONV_2D", "float32", depth=9)
    assert name_scheme([part("CONV_2D", "float32", small, weight("CONV_2D", "int8"))]) == "dynamic_int8"


def test_a_lookup_in_a_quantized_table_counts_only_where_nothing_else_computes() -> None:
    lookup = part("GATHER", "int8", weight("GATHER", "int8"))
    assert (
        name_scheme([lookup, part("FULLY_CONNECTED", "float32", weight("FULLY_CONNECTED", "int8"))]) == "dynamic_int8"
    )
    assert name_scheme([lookup, part("ADD", "int8")]) == name_scheme([lookup]) == "full_int8"
    assert name_scheme([part("GATHER", "float32", weight("GATHER", "float32")), part("ADD", "int8")]) == "mixed"
