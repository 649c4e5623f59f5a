"""Channels whose scale is free are found through every op, and scaling them changes nothing that is put out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import Reference
from tflite_pipeline.convert.recovery.channels import Group, find_groups, scaled
from tflite_pipeline.runtime.answers import compute

RANDOM = np.random.default_rng(0)
C = 4
IMAGE = (1, 6, 6, 3)
MAP = (1, 6, 6, C)
PADS = [[0, 0], [1, 1], [1, 1], [0, 0]]
ADD = {"options": "AddOptions"}
MUL = {"options": "MulOptions"}
POOL = {"options": "Pool2DOptions", "filterHeight": 2, "filterWidth": 2, "strideH": 2, "strideW": 2}
MEAN = {"options": "ReducerOptions", "keepDims": False}
JOIN = {"options": "ConcatenationOptions"}

Way = Callable[[Any, int], tuple[int, int]]


def normal(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def drawn(drawing: Any, way: Way) -> Reference:
    """A convolution of four channels, what comes after it, and a dense layer that reads that flat."""
    net = drawing(IMAGE)
    made = net.conv(0, normal(C, 3, 3, 3), normal(C), MAP)
    last, width = way(net, made)
    flat = net.op("RESHAPE", (last, net.integers([1, width])), (1, width), "ReshapeOptions", newShape=[1, width])
    return net.reference(net.dense(flat, normal(5, width), normal(5)))


def change(one: Reference, other: Reference, low: float = -1) -> float:
    """The largest difference of outputs, as a part of the largest output."""
    images = {"image": np.random.default_rng(1).uniform(low, 1, (8, *IMAGE[1:])).astype(np.float32)}
    (before,), (after,) = (compute(reference.path, images).values() for reference in (one, other))
    return float(np.abs(after - before).max() / np.abs(before).max())


def random_factors(groups: tuple[Group, ...]) -> dict[Group, np.ndarray]:
    return {group: np.exp(RANDOM.uniform(-1, 1, group.size) * np.log(1000)) for group in groups}


WAYS: dict[str, Way] = {
    "flat": lambda net, x: (x, 36 * C),
    "relu": lambda net, x: (net.op("RELU", (x,), MAP), 36 * C),
    "leaky": lambda net, x: (net.op("LEAKY_RELU", (x,), MAP, "LeakyReluOptions", alpha=0.1), 36 * C),
    "prelu": lambda net, x: (net.op("PRELU", (x, net.floats(normal(1, 1, C))), MAP), 36 * C),
    "padded": lambda net, x: (net.op("PAD", (x, net.integers(PADS)), (1, 8, 8, C), "PadOptions"), 64 * C),
    "largest": lambda net, x: (net.op("MAX_POOL_2D", (x,), (1, 3, 3, C), **POOL), 9 * C),
    "average": lambda net, x: (net.op("AVERAGE_POOL_2D", (x,), (1, 3, 3, C), **POOL), 9 * C),
    "mean": lambda net, x: (net.op("MEAN", (x, net.integers([1, 2])), (1, C), **MEAN), C),
    "doubled": lambda net, x: (net.op("ADD", (x, x), MAP, **ADD), 36 * C),
    "weighed": lambda net, x: (net.op("MUL", (x, net.floats(normal(C))), MAP, **MUL), 36 * C),
    "shifted": lambda net, x: (net.op("ADD", (x, net.floats(normal(C))), MAP, **ADD), 36 * C),
    "stacked": lambda net, x: (net.op("CONCATENATION", (x, x), (1, 12, 6, C), **JOIN, axis=1), 72 * C),
    "gated": lambda net, x: (net.op("MUL", (x, gate(net)), MAP, **MUL), 36 * C),
}


def gate(net: Any) -> int:
    return int(net.op("LOGISTIC", (net.conv(0, normal(C, 1, 1, 3), normal(C), MAP, fused=0),), MAP))


@pytest.mark.parametrize("way", WAYS)
def test_outputs_stay_when_channels_are_scaled(way, drawing, tmp_path):
    reference = drawn(drawing, WAYS[way])
    groups, left = find_groups(reference.path)
    assert [group.size for group in groups] == [C]
    assert not left
    found = scaled(reference, random_factors(groups), tmp_path)
    assert change(reference, found) < 1e-5
    assert len(groups[0].read) == 1


def test_a_residual_addition_ties_both_sides(drawing, tmp_path):
    def way(net, x):
        side = net.conv(x, normal(C, 3, 3, C), normal(C), MAP, fused=0)
        return net.op("ADD", (x, side), MAP, **ADD), 36 * C

    reference = drawn(drawing, way)
    groups, left = find_groups(reference.path)
    assert [(group.size, len(group.made), len(group.read)) for group in groups] == [(C, 4, 2)]
    assert not left
    assert change(reference, scaled(reference, random_factors(groups), tmp_path)) < 1e-5


@pytest.mark.parametrize("times", [1, 3])
def test_depthwise_filters_read_one_group_and_make_another(times, drawing, tmp_path):
    wide = C * times

    def way(net, x):
        return net.depthwise(x, normal(1, 3, 3, wide), normal(wide), (1, 6, 6, wide), times), 36 * wide

    reference = drawn(drawing, way)
    groups, _ = find_groups(reference.path)
    assert [group.size for group in groups] == [C, wide]
    assert change(reference, scaled(reference, random_factors(groups), tmp_path)) < 1e-5


BLOCKING: dict[str, Way] = {
    "LOGISTIC": lambda net, x: (net.op("LOGISTIC", (x,), MAP), 36 * C),
    "MUL": lambda net, x: (net.op("MUL", (x, x), MAP, **MUL), 36 * C),
    "ADD": lambda net, x: (net.op("ADD", (x, net.floats([0.5])), MAP, **ADD), 36 * C),
    "CONCATENATION": lambda net, x: (net.op("CONCATENATION", (x, x), (1, 6, 6, 2 * C), **JOIN, axis=3), 72 * C),
    "MEAN": lambda net, x: (net.op("MEAN", (x, net.integers([3])), (1, 6, 6), **MEAN), 36),
}


@pytest.mark.parametrize("op", BLOCKING)
def test_channels_whose_scale_matters_are_left_and_told(op, drawing):
    def way(net, x):
        # Read by a layer too, so that there is something to gain.
        read = net.op("MEAN", (net.conv(x, normal(C, 1, 1, C), normal(C), MAP), net.integers([1, 2])), (1, C), **MEAN)
        net.draft.rename(x, "made")
        last, width = BLOCKING[op](net, x)
        flat = net.op("RESHAPE", (last, net.integers([1, width])), (1, width), "ReshapeOptions", newShape=[1, width])
        both = net.op("CONCATENATION", (read, flat), (1, C + width), **JOIN, axis=1)
        return both, C + width

    groups, left = find_groups(drawn(drawing, way).path)
    assert groups == ()
    assert left[0] == f"the channels of 'made' keep their scale: {op} depends on them."


def test_channels_that_are_put_out_keep_their_scale(drawing):
    net = drawing(IMAGE)
    made = net.conv(0, normal(C, 3, 3, 3), normal(C), MAP)
    net.draft.rename(made, "made")
    groups, left = find_groups(net.reference(made, net.conv(made, normal(2, 1, 1, C), normal(2), (1, 6, 6, 2))).path)
    assert groups == ()
    assert left == ("the channels of 'made' keep their scale: the model puts them out.",)


def test_a_bias_that_layers_share_is_separated(conv_net, tmp_path):
    groups, left = find_groups(conv_net.path)
    assert [group.size for group in groups] == [8, 12]
    assert not left
    found = scaled(conv_net, {group: np.linspace(0.5, 1, group.size) for group in groups}, tmp_path)
    image = {"image": np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1)).astype(np.float32)}
    (before,), (after,) = (compute(path, image).values() for path in (conv_net.path, found.path))
    assert np.abs(after - before).max() < 1e-6
    assert found.saved_model is None


def test_a_kernel_that_two_layers_share_keeps_its_scale(drawing):
    net = drawing(IMAGE)
    kernel, bias = net.floats(normal(3, 1, 1, 3)), net.floats(normal(3))
    options = {"options": "Conv2DOptions", "strideH": 1, "strideW": 1, "fusedActivationFunction": 1}
    once = net.op("CONV_2D", (0, kernel, bias), (1, 6, 6, 3), **options)
    twice = net.op("CONV_2D", (once, kernel, bias), (1, 6, 6, 3), **options)
    groups, left = find_groups(net.reference(twice).path)
    assert groups == ()
    assert left == ("layers whose channels keep their scale, since their kernels are shared or not plain: 2.",)
