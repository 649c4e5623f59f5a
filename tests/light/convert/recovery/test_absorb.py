"""Biases that move behind a RELU: lower activations, the same outputs on the samples, and what keeps its bias."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.convert.recovery.absorb import absorb
from tflite_pipeline.convert.recovery.extremes import measure
from tflite_pipeline.runtime.answers import compute

C = 6
IMAGE = (1, 8, 8, 3)
MAP = (1, 8, 8, C)
POOL = {"options": "Pool2DOptions", "filterHeight": 3, "filterWidth": 3, "strideH": 2, "strideW": 2}
HIGH = np.array([20, 0, 20, -1, 20, 20], np.float32)
VALID = 1


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


@pytest.fixture
def samples(make_samples):
    return make_samples({"image": np.random.default_rng(0).uniform(-1, 1, (8, *IMAGE[1:])).astype(np.float32)})


def high(net) -> int:
    """A convolution some of whose channels lie far above zero."""
    return net.conv(0, normal(C, 3, 3, 3), HIGH, MAP)


def answers(path: Path, samples) -> np.ndarray:
    return next(iter(compute(path, {"image": np.load(samples.inputs["image"])}).values()))


def flat(net, read: int, width: int) -> int:
    return net.op("RESHAPE", (read, net.integers([1, width])), (1, width), "ReshapeOptions", newShape=[1, width])


READERS = {
    "unpadded": lambda net, x: net.conv(x, normal(4, 3, 3, C), normal(4), (1, 6, 6, 4), fused=0, padding=VALID),
    "pointwise": lambda net, x: net.conv(x, normal(4, 1, 1, C), normal(4), (1, 8, 8, 4), fused=0),
    "dense": lambda net, x: net.dense(flat(net, x, 64 * C), normal(4, 64 * C), normal(4)),
    "mean": lambda net, x: net.dense(
        net.op("MEAN", (x, net.integers([1, 2])), (1, C), "ReducerOptions", keepDims=False), normal(4, C), normal(4)
    ),
    "pooled": lambda net, x: net.dense(
        flat(net, net.op("AVERAGE_POOL_2D", (x,), (1, 4, 4, C), **POOL), 16 * C), normal(4, 16 * C), normal(4)
    ),
    "largest": lambda net, x: net.dense(
        flat(net, net.op("MAX_POOL_2D", (x,), (1, 4, 4, C), **POOL), 16 * C), normal(4, 16 * C), normal(4)
    ),
}


@pytest.mark.parametrize("reader", READERS)
def test_outputs_stay_and_activations_reach_down_to_zero(reader, drawing, samples, tmp_path):
    net = drawing(IMAGE)
    made = high(net)
    reference = net.reference(READERS[reader](net, made))
    found = absorb(reference, samples, 1, tmp_path)
    before, after = (answers(path, samples) for path in (reference.path, found.reference.path))
    assert (found.changed, found.left) == (1, ())
    assert np.abs(after - before).max() < 1e-5 * np.abs(before).max()
    (low, top), (lower, less) = (
        measure(one, samples, 1, [made], tmp_path)[made] for one in (reference, found.reference)
    )
    assert (low[HIGH > 0] > 1).all()
    assert lower == pytest.approx(np.zeros(C), abs=1e-5)
    assert less == pytest.approx(top - low, abs=1e-5)


LEFT = {
    "padded": lambda net, x: net.conv(x, normal(4, 3, 3, C), normal(4), (1, 8, 8, 4), fused=0),
    "added": lambda net, x: net.op("ADD", (x, x), MAP, "AddOptions"),
    "across": lambda net, x: net.op("MEAN", (x, net.integers([3])), (1, 8, 8), "ReducerOptions", keepDims=False),
}


@pytest.mark.parametrize("reader", LEFT)
def test_a_bias_stays_when_what_reads_it_is_not_a_sum_of_all(reader, drawing, samples, tmp_path):
    net = drawing(IMAGE)
    reference = net.reference(LEFT[reader](net, high(net)))
    found = absorb(reference, samples, 1, tmp_path)
    assert found.changed == 0
    assert found.left == ("1 of 1 layers with RELU keep their biases: what reads them pads, or has no bias.",)
    assert np.array_equal(answers(reference.path, samples), answers(found.reference.path, samples))


def test_a_bias_stays_when_its_channels_are_put_out(drawing, samples, tmp_path):
    net = drawing(IMAGE)
    made = high(net)
    found = absorb(net.reference(made, READERS["pointwise"](net, made)), samples, 1, tmp_path)
    assert found.changed == 0


def test_two_readers_take_what_moves(drawing, samples, tmp_path):
    net = drawing(IMAGE)
    made = high(net)
    sides = READERS["pointwise"](net, made), READERS["pointwise"](net, made)
    reference = net.reference(net.op("ADD", sides, (1, 8, 8, 4), "AddOptions"))
    found = absorb(reference, samples, 1, tmp_path)
    before, after = (answers(path, samples) for path in (reference.path, found.reference.path))
    assert found.changed == 1
    assert np.abs(after - before).max() < 1e-5 * np.abs(before).max()


def test_what_a_layer_takes_it_may_hand_on(drawing, samples, tmp_path):
    net = drawing(IMAGE)
    middle = net.conv(high(net), np.abs(normal(C, 1, 1, C)), normal(C), MAP)
    reference = net.reference(READERS["pointwise"](net, middle))
    found = absorb(reference, samples, 1, tmp_path)
    before, after = (answers(path, samples) for path in (reference.path, found.reference.path))
    assert found.changed == 2
    assert np.abs(after - before).max() < 1e-5 * np.abs(before).max()
