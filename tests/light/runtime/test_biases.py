"""Biases on the steps that the file has for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import Reference
from tflite_pipeline.runtime.biases import round_biases, separated
from tflite_pipeline.runtime.grids import Range, Steps, scale_of
from tflite_pipeline.train.tune.graph import FloatGraph, read_float_graph

IMAGE, OF_CONV, FLAT = 0, 9, 12
CONV, DEPTHWISE, SHARED_BIAS, HIDDEN, HIDDEN_BIAS = 7, 3, 8, 5, 1
NARROW = Range(8, 0.0, 1.0, False, 0, True)


@pytest.fixture(scope="module")
def graph(conv_net: Reference) -> FloatGraph:
    return read_float_graph(conv_net.path)


def rounded(graph: FloatGraph, ranges: dict[int, Range], steps: dict[int, Steps], **more: Any) -> dict[int, np.ndarray]:
    return round_biases(graph.nodes, {**graph.constants, **more}, ranges, steps)


@pytest.mark.parametrize(("axis", "most"), [(0, 127), (None, 127), (0, 7)])
def test_a_bias_is_a_whole_number_of_the_products_of_both_steps(graph: FloatGraph, axis: Any, most: int) -> None:
    found = rounded(graph, {FLAT: NARROW}, {HIDDEN: Steps(4 if most == 7 else 8, most, axis, True)})
    peak = np.abs(graph.constants[HIDDEN]).max(axis=None if axis is None else 1)
    step = scale_of(NARROW) * (peak / most)
    integers = found[HIDDEN_BIAS] / step
    assert set(found) == {HIDDEN_BIAS}
    assert found[HIDDEN_BIAS].dtype == np.float64
    np.testing.assert_allclose(integers, np.rint(integers), atol=1e-3)
    assert (np.abs(found[HIDDEN_BIAS] - graph.constants[HIDDEN_BIAS]) <= step * 0.501).all()


def test_a_bias_that_two_ops_read_with_different_steps_is_left(graph: FloatGraph) -> None:
    both = {CONV: Steps(8, 127, 0, True), DEPTHWISE: Steps(8, 127, 3, True)}
    assert SHARED_BIAS not in rounded(graph, {IMAGE: NARROW, OF_CONV: NARROW}, both)
    assert SHARED_BIAS in rounded(graph, {IMAGE: NARROW}, {CONV: Steps(8, 127, 0, True)})


@pytest.mark.parametrize(
    ("ranges", "steps"),
    [({}, {HIDDEN: Steps(8, 127, 0, True)}), ({FLAT: NARROW}, {}), ({FLAT: NARROW}, {HIDDEN: Steps(8, 127, 0, False)})],
    ids=["float activations", "float weights", "weights with a zero point"],
)
def test_a_bias_stays_when_its_op_has_no_integers_for_it(
    graph: FloatGraph, ranges: dict[int, Range], steps: dict[int, Steps]
) -> None:
    assert rounded(graph, ranges, steps) == {}


def test_a_channel_of_zeros_keeps_its_bias(graph: FloatGraph) -> None:
    kernel = graph.constants[HIDDEN].copy()
    kernel[3] = 0
    found = round_biases(
        graph.nodes, {**graph.constants, HIDDEN: kernel}, {FLAT: NARROW}, {HIDDEN: Steps(8, 127, 0, True)}
    )
    assert found[HIDDEN_BIAS][3] == pytest.approx(graph.constants[HIDDEN_BIAS][3], rel=1e-6)


def test_each_kernel_has_a_bias_of_its_own_after_equal_ones_were_one_tensor(conv_net: Reference, tmp_path) -> None:
    path = tmp_path / "separated.tflite"
    path.write_bytes(separated(conv_net.path))
    before, after = read_float_graph(conv_net.path), read_float_graph(path)
    shared = [node.inputs[2] for node in before.nodes if node.name in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    own = [node.inputs[2] for node in after.nodes if node.name in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    assert shared == [SHARED_BIAS, SHARED_BIAS]
    assert len(set(own)) == 2
    for number in own:
        assert np.array_equal(after.constants[number], before.constants[SHARED_BIAS])
    assert {**after.names, **before.names} == after.names  # numbers and names that were there stay
