"""Passes that choose the integers of a kernel: none is worse than rounding to the nearest, by the error of the sums."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from tflite_pipeline.convert.recovery.adaround import round_adaptively
from tflite_pipeline.convert.recovery.clip import clip_weights
from tflite_pipeline.convert.recovery.depthwise import search_depthwise
from tflite_pipeline.convert.recovery.gptq import descend, round_second_order
from tflite_pipeline.convert.recovery.layer import Layer
from tflite_pipeline.convert.recovery.moments import Moments, Seen, moments
from tflite_pipeline.convert.recovery.walk import mean_gap, round_to, towards_sums
from tflite_pipeline.runtime.grids import Range

CHANNELS, INPUTS = 6, 20
Choose = Callable[[Layer], Layer]


def correlated(*shape: int) -> np.ndarray:
    """Second moments of inputs that tell much about each other, as neighbouring pixels do."""
    mixing = np.random.default_rng(1).normal(size=shape) + 2.0
    return mixing @ np.swapaxes(mixing, -1, -2) / shape[-1]


def dense(most: int = 7, one_scale: bool = False, spread: float = 0.1) -> Layer:
    noise = np.random.default_rng(0)
    weights = noise.normal(size=(CHANNELS, INPUTS)) * spread * np.arange(1, CHANNELS + 1)[:, None]
    moments = correlated(INPUTS, INPUTS)
    return Layer.of(weights, most, one_scale, Moments(moments, moments, weights @ moments))


def depthwise(size: int = 9, most: int = 7) -> Layer:
    weights = np.random.default_rng(0).normal(size=(CHANNELS, size))
    moments = correlated(CHANNELS, size, size)
    return Layer.of(weights, most, False, Moments(moments, moments, np.einsum("cij,cj->ci", moments, weights)))


def held(layer: Layer) -> None:
    """What a file can hold: whole numbers within the bits."""
    np.testing.assert_array_equal(layer.integers, np.rint(layer.integers))
    assert np.abs(layer.integers).max() <= layer.most


@pytest.mark.parametrize("choose", [round_second_order, round_adaptively, descend])
@pytest.mark.parametrize("one_scale", [False, True])
def test_no_channel_is_worse_than_by_the_nearest_integers(choose: Choose, one_scale: bool) -> None:
    nearest = dense(one_scale=one_scale)
    found = choose(nearest)
    held(found)
    assert (found.errors() <= nearest.errors() + 1e-12).all()
    assert found.errors().sum() < 0.6 * nearest.errors().sum()


def test_second_order_rounding_is_nearer_than_adaptive_rounding_where_weights_may_move_farther() -> None:
    assert round_second_order(dense()).errors().sum() <= round_adaptively(dense()).errors().sum() * 1.05


def test_small_depthwise_kernels_get_the_best_of_all_ways() -> None:
    layer = depthwise(size=4)
    found = search_depthwise(layer)
    held(found)
    moments = layer.moments
    assert moments is not None
    for row in range(CHANNELS):
        floor = np.floor(layer.target[row] / layer.scales[row])
        errors = []
        for way in itertools.product((0, 1), repeat=4):
            gap = np.clip(floor + way, -7, 7) * layer.scales[row] - layer.target[row]
            errors.append(gap @ moments.inputs[row] @ gap)
        assert found.errors()[row] <= min(errors) + 1e-12


def test_large_depthwise_kernels_are_not_worse_than_before() -> None:
    nearest = depthwise(size=25)
    found = search_depthwise(nearest)
    held(found)
    assert (found.errors() <= nearest.errors()).all()
    assert found.errors().sum() < nearest.errors().sum()


@pytest.mark.parametrize("one_scale", [False, True])
def test_clipping_cuts_off_a_far_weight_where_that_lessens_the_error(one_scale: bool) -> None:
    weights = np.random.default_rng(0).normal(size=(2, 400)) * 0.1
    weights[0, 0], weights[1, 0] = 1.0, -1.0
    nearest = Layer.of(weights, 7, one_scale, None)
    found = clip_weights(nearest)
    held(found)
    assert found.errors().sum() < nearest.errors().sum()
    assert found.values[0, 0] < 1.0
    assert len(np.unique(found.scales)) == (1 if one_scale else 2)


def test_channels_of_zeros_stay_zero() -> None:
    weights = np.zeros((2, INPUTS))
    moments = correlated(INPUTS, INPUTS)
    layer = Layer.of(weights, 7, False, Moments(moments, moments, weights))
    for choose in (clip_weights, round_second_order, round_adaptively):
        assert (choose(layer).pinned().values == 0).all()


def test_inputs_that_never_vary_do_not_stop_the_passes() -> None:
    layer = dense()
    dead = Moments(*np.zeros((2, INPUTS, INPUTS)), np.zeros((CHANNELS, INPUTS)))
    silent = Layer.of(layer.target, 7, False, dead)
    for choose in (clip_weights, round_second_order, round_adaptively):
        assert np.isfinite(choose(silent).values).all()


@pytest.mark.parametrize("one_scale", [False, True])
def test_each_scale_is_that_of_its_largest_weight_when_pinned(one_scale: bool) -> None:
    found = round_second_order(clip_weights(dense(one_scale=one_scale))).pinned()
    peaks = np.abs(found.values).max() if one_scale else np.abs(found.values).max(1, keepdims=True)
    np.testing.assert_allclose(peaks / 7, found.scales.max() if one_scale else found.scales, rtol=1e-6)


def test_weights_lean_towards_the_sums_of_the_float_network() -> None:
    noise = np.random.default_rng(0)
    read, weights = noise.normal(size=(4000, INPUTS)), noise.normal(size=(CHANNELS, INPUTS))
    halved = read * np.where(np.arange(INPUTS) < 10, 0.5, 1.0)  # what the layers before lost
    found = Moments(halved.T @ halved / 4000, halved.T @ read / 4000, (read @ weights.T).T @ read / 4000)
    before = np.square(halved @ weights.T - read @ weights.T).mean()
    after = np.square(halved @ towards_sums(weights, found, 1).T - read @ weights.T).mean()
    assert after < 0.2 * before


def test_noise_of_rounding_does_not_lessen_weights() -> None:
    noise = np.random.default_rng(0)
    read, weights = noise.normal(size=(40_000, 4)), noise.normal(size=(CHANNELS, 4))
    rough = read + noise.uniform(-1, 1, size=read.shape)
    found = Moments(rough.T @ rough / 40_000, rough.T @ read / 40_000, (read @ weights.T).T @ read / 40_000)
    np.testing.assert_allclose(towards_sums(weights, found, 1), weights, atol=0.05)


def test_channels_of_which_rounding_leaves_nothing_keep_their_weights() -> None:
    weights = np.random.default_rng(0).normal(size=(2, 9))
    own, nothing = correlated(9, 9), np.zeros((9, 9))
    real = np.stack([own, nothing])
    sums = np.stack([own @ weights[0], 1e-9 * np.ones(9)])
    found = towards_sums(weights, Moments(np.stack([own, nothing]), real, sums), 7)
    np.testing.assert_allclose(found, weights, atol=1e-6)


def test_the_gap_of_means_is_by_channel() -> None:
    wanted = np.zeros((2, 3, 3, 4), np.float32)
    found = wanted + np.array([1, 2, 3, 4], np.float32)
    np.testing.assert_allclose(mean_gap(wanted, found), [-1, -2, -3, -4])


@pytest.mark.parametrize(
    ("one", "value", "rounded"),
    [
        (Range(8, -1.28, 1.27, False, 0, True), 5.0, 1.27),
        (Range(8, -1.28, 1.27, False, 0, True), -5.0, -1.28),
        (Range(8, -1.28, 1.27, False, 0, True), 0.0149, 0.01),
        (Range(16, -3.2767, 3.2767, True, 0, True), 0.00014, 0.0001),
    ],
)
def test_activations_are_rounded_to_their_range(one: Range, value: float, rounded: float) -> None:
    assert round_to(one, np.array([value], np.float32))[0] == pytest.approx(rounded, rel=1e-5)


def test_moments_of_inputs_far_from_zero_keep_how_they_vary() -> None:
    noise = np.random.default_rng(0).normal(size=(6000, INPUTS)).astype(np.float32) * 0.01
    read = noise + 30
    weights = np.random.default_rng(1).normal(size=(CHANNELS, INPUTS))
    found = moments("FULLY_CONNECTED", None, weights.shape, Seen(read, read, (read @ weights.T).astype(np.float32)))
    assert found is not None
    exact = np.cov(noise.astype(float), rowvar=False, bias=True)
    np.testing.assert_allclose(found.inputs, exact, atol=2e-3 * np.abs(exact).max())
    assert np.isfinite(round_second_order(Layer.of(weights, 7, False, found)).values).all()


def test_fewer_samples_than_inputs_are_enough_to_round() -> None:
    read = np.random.default_rng(0).normal(size=(8, 200)).astype(np.float32)
    weights = np.random.default_rng(1).normal(size=(CHANNELS, 200))
    found = moments("FULLY_CONNECTED", None, weights.shape, Seen(read, read, (read @ weights.T).astype(np.float32)))
    nearest = Layer.of(weights, 7, False, found)
    assert round_second_order(nearest).errors().sum() < 0.2 * nearest.errors().sum()
