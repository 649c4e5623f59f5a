"""Where the batch lies in what an op computes, and the ops that refuse one; without TensorFlow."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tflite_pipeline.train.tune.batch import Unbatchable, placed, trace
from tflite_pipeline.train.tune.graph import read_float_graph, refusals
from tflite_pipeline.train.tune.node import Node, Place
from tflite_pipeline.train.tune.ops import OPS
from tflite_pipeline.train.tune.rules import RULES

DATA = Path(__file__).parents[2] / "data"


def ints(*values):
    return np.array(values, np.int32)


def traced(name, shapes, result, constants=None, **options):
    """Trace one op that reads model inputs of these shapes; `constants` replaces some of them by values."""
    constants = constants or {}
    inputs = {number: shape for number, shape in enumerate(shapes) if number not in constants}
    numbers = tuple(range(len(shapes)))
    node = Node(0, name, False, SimpleNamespace(**options), numbers, (99,), tuple(shapes), (result,), ("float32",))
    return trace([node], inputs, constants, RULES)


@pytest.mark.parametrize(
    ("before", "shape", "place"),
    [
        (1, (1, 5, 8), Place(0)),
        (5, (5, 1, 8), Place(1)),
        # Without an axis of size 1 the samples share one.
        (1, (5, 8), Place(0)),
        (2, (6, 8), Place(0, 2)),
        (12, (6, 8), Place(1, 2)),
        # A transposition that was written as a reshape.
        (1, (6, 1, 5), Place(1)),
    ],
)
def test_the_batch_is_found_in_a_shape(before, shape, place):
    assert placed(before, shape) == place


@pytest.mark.parametrize("shape", [(), (4, 9)])
def test_no_place_is_found_when_no_axis_divides(shape):
    with pytest.raises(Unbatchable, match="no axis of its result"):
        placed(6, shape)


@pytest.mark.parametrize(
    ("name", "shapes", "result", "constants", "options", "place"),
    [
        ("TRANSPOSE", [(1, 5, 8), (3,)], (5, 8, 1), {1: ints(1, 2, 0)}, {}, Place(2)),
        ("SPACE_TO_BATCH_ND", [(1, 4, 4, 3), (2,), (2, 2)], (4, 2, 2, 3), {1: ints(2, 2), 2: ints()}, {}, Place(0, 4)),
        ("GATHER", [(9, 3), (1, 5)], (1, 5, 3), {0: ints()}, {"axis": 0, "batchDims": 0}, Place(0)),
        ("PACK", [(1, 5), (1, 5)], (2, 1, 5), {}, {"axis": 0}, Place(1)),
        ("CONCATENATION", [(1, 5), (1, 5)], (2, 5), {}, {"axis": 0}, Place(0, 2)),
        ("MEAN", [(1, 5, 8), (2,)], (8,), {1: ints(0, 1)}, {"keepDims": False}, Place(0)),
        ("BROADCAST_TO", [(1, 8), (2,)], (1, 8), {1: ints(1, 8)}, {}, Place(0)),
        ("ADD", [(1, 8), (1, 5, 8)], (1, 5, 8), {}, {}, Place(0)),
        # The batch moves out of the axis that is repeated.
        ("ADD", [(1, 8), (5, 8)], (5, 8), {1: ints()}, {}, Place(1)),
        ("SHAPE", [(1, 8)], (2,), {}, {}, None),
    ],
)
def test_an_op_hands_on_the_batch(name, shapes, result, constants, options, place):
    found = traced(name, shapes, result, constants, **options)
    assert found.refused == {}
    assert found.places[99] == place


def test_the_batch_moves_to_another_axis_when_the_op_works_along_its_own():
    reshape = Node(0, "RESHAPE", False, None, (0,), (1,), ((1, 5, 8),), ((5, 8),), ("float32",))
    softmax = Node(1, "UNPACK", False, SimpleNamespace(axis=0), (1,), (2, 3), ((5, 8),), ((8,), (8,)), ("float32",) * 2)
    found = trace([reshape, softmax], {0: (1, 5, 8)}, {}, RULES)
    assert found.places[1] == Place(0)
    assert found.reads[1] == (Place(1),)


@pytest.mark.parametrize(
    ("name", "shapes", "result", "constants", "options", "why"),
    [
        ("SOFTMAX", [(1,)], (1,), {}, {}, "it works along the axis of the batch"),
        ("SUM", [(1, 5), (2,)], (), {1: ints(0, 1)}, {}, "no axis of its result, of shape (), can hold the batch"),
        (
            "FILL",
            [(2,), ()],
            (1, 5),
            {0: ints(1, 5)},
            {},
            "it reads a model input of shape (), whose first axis must be 1",
        ),
        ("RANGE", [(1,), (1,), (1,)], (5,), {}, {}, "its result would have another shape for each sample"),
        (
            "SQUEEZE",
            [(1, 5)],
            (1, 1),
            {},
            {},
            "the file leaves its shape open: export the model with a static batch of 1",
        ),
        ("RESHAPE", [(1, 5), (1,)], (5,), {}, {}, "its input 1 depends on the model's inputs"),
        ("PAD", [(1, 1), (2, 2)], (3, 3), {1: np.ones((2, 2), int)}, {}, "it pads the axis of the batch"),
        ("ADD", [(4, 8), (4, 8)], (4, 8), {}, {}, "it reads a model input of shape (4, 8), whose first axis must be 1"),
    ],
)
def test_an_op_refuses_the_batch(name, shapes, result, constants, options, why):
    assert traced(name, shapes, result, constants, **options).refused == {0: why}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv_net", []),
        ("float16", []),
        ("custom_op", [("MatrixInverse", "it is no op of LiteRT itself")]),
        ("lookup", [("MUL", "it reads a model input of shape (), whose first axis must be 1")]),
        (
            "lstm_float32",
            [
                (
                    "UNIDIRECTIONAL_SEQUENCE_LSTM",
                    "it is a whole recurrent layer in one op: build the layer with unroll=True",
                )
            ],
        ),
        (
            "full_int8_int8_io",
            [(name, "it is quantized already") for name in ("FULLY_CONNECTED", "FULLY_CONNECTED", "SOFTMAX")],
        ),
    ],
)
def test_all_ops_that_cannot_be_trained_through_are_named(name, expected):
    assert [(node.name, why) for node, why in refusals(read_float_graph(DATA / f"{name}.tflite"))] == expected


def test_batch_axes_tell_what_depends_on_the_inputs():
    graph = read_float_graph(DATA / "conv_net.tflite")
    assert all(graph.batch_axes[number] is None for number in graph.constants)
    assert all(graph.batch_axes[number] == 0 for node in graph.nodes for number in node.outputs)


def test_every_function_has_a_rule_and_every_rule_a_function():
    assert OPS.keys() == RULES.keys()
