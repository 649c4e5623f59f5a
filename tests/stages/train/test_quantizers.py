"""Fake quantization: the numbers that integers stand for, and the gradients that pass."""

from __future__ import annotations

import numpy as np
import pytest

from tflite_pipeline.runtime.grids import Range, Steps, scale_of
from tflite_pipeline.train.tune.kernels import Kernel
from tflite_pipeline.train.tune.network import nudged

pytestmark = pytest.mark.tf

KINDS = {
    "asymmetric": Range(8, -0.7, 1.9, False, 0, True),
    "from zero": Range(8, 0.0, 3.1, False, 0, True),
    "up to zero": Range(8, -2.5, 0.0, False, 0, True),
    "tiny": Range(8, -3e-6, 5e-6, False, 0, True),
    "symmetric": Range(8, -1.3, 1.3, True, 0, True),
    "int16": Range(16, -1.3, 1.3, True, 0, True),
}


def values_around(one: Range) -> np.ndarray:
    reach = max(-one.low, one.high)
    return np.random.default_rng(0).uniform(-1.3 * reach, 1.3 * reach, 4000).astype(np.float32)


def ends(one: Range) -> tuple[float, float]:
    """The real numbers of the smallest and the largest integer; int8 kernels use the odd one below too."""
    step, most = scale_of(one), 2 ** (one.bits - 1) - 1
    return (-(most + (one.bits == 8)) * step, most * step) if one.symmetric else (nudged(one).low, nudged(one).high)


def quantized_and_back(values: np.ndarray, one: Range) -> np.ndarray:
    """What QUANTIZE and DEQUANTIZE of a file with that scale and zero point make of values."""
    step, most = np.float64(scale_of(one)), 2 ** (one.bits - 1) - 1
    zero = 0 if one.symmetric else int(np.round(-most - 1 - one.low / step))
    least = -most if one.bits == 16 else -most - 1
    return (np.clip(np.rint(values / step) + zero, least, most) - zero) * step


@pytest.mark.parametrize("name", KINDS)
def test_activations_become_what_quantize_and_dequantize_give(workers, tuning, name):
    one, x = KINDS[name], values_around(KINDS[name])
    rounded = workers.run("keras2", tuning.rounded_activation, x, one.low, one.high, one)[0]
    wanted, step = quantized_and_back(x, one), scale_of(one)
    apart = np.abs(rounded - wanted) / step
    # In float32 the middle between two integers may fall to the other side.
    assert np.quantile(apart, 0.999 if one.bits == 8 else 0.99) < 0.01
    assert apart.max() < 1.01
    assert (np.abs(wanted - x) <= 0.51 * step)[(x > ends(one)[0]) & (x < ends(one)[1])].all()


@pytest.mark.parametrize("name", KINDS)
def test_exact_rounding_is_that_of_the_kernels(workers, tuning, name):
    one, x = KINDS[name], values_around(KINDS[name]).astype(np.float64)
    rounded = workers.run("keras2", tuning.rounded_exactly, x, nudged(one), Kernel())
    np.testing.assert_allclose(rounded, quantized_and_back(x, nudged(one)), rtol=0, atol=1e-9 * one.high + 1e-15)


@pytest.mark.parametrize("name", KINDS)
def test_zero_stays_zero(workers, tuning, name):
    one, zeros = KINDS[name], np.zeros(3, np.float32)
    assert (workers.run("keras2", tuning.rounded_activation, zeros, one.low, one.high, one)[0] == 0).all()
    assert (workers.run("keras2", tuning.rounded_exactly, zeros, nudged(one), Kernel()) == 0).all()


@pytest.mark.parametrize("name", KINDS)
def test_gradients_pass_inside_and_move_the_ends_outside(workers, tuning, name):
    one = KINDS[name]
    x = values_around(one)
    low, high = ends(one)
    x = x[(np.abs(x - low) > scale_of(one)) & (np.abs(x - high) > scale_of(one))]
    _, for_x, for_low, for_high = workers.run("keras2", tuning.rounded_activation, x, one.low, one.high, one)
    inside = (x > low) & (x < high)
    assert np.array_equal(for_x, inside.astype(np.float32))
    below, above = (x < low).sum(), (x > high).sum()
    if one.symmetric:  # one end, whose negative is the other
        assert for_low == 0
        assert for_high == pytest.approx(above - below * (128 / 127 if one.bits == 8 else 1), rel=1e-5)
    else:
        assert (for_low, for_high) == (below, above)


def test_halves_go_to_the_even_integer_or_away_from_zero(workers, tuning):
    one = Range(8, -128.0, 127.0, False, 0, True)
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 300.0, -300.0])
    even, away = (workers.run("keras2", tuning.rounded_exactly, x, one, Kernel(way)) for way in ("once", "away"))
    assert even.tolist() == [0, 2, 2, 0, -2, -2, 127, -128]
    assert away.tolist() == [1, 2, 3, -1, -2, -3, 127, -128]


def test_halves_go_away_from_the_integer_zero_when_that_is_no_real_zero(workers, tuning):
    """Kernels that average know integers only, and those of real numbers from 0 to 255 are negative half the way."""
    one = Range(8, 0.0, 255.0, False, 0, True)
    away = workers.run(
        "keras2", tuning.rounded_exactly, np.array([0.5, 100.5, 127.5, 128.5, 200.5]), one, Kernel("away")
    )
    assert away.tolist() == [0, 100, 127, 129, 201]


def test_kernels_that_round_twice_may_end_one_step_above(workers, tuning):
    """7.46875 is 7.5 in sixteenths, and then 8; with more bits in between it stays below the half."""
    x = np.array([7.46875, 7.4, 7.5, -7.5, -7.53125, -0.5])
    one = Range(8, -128.0, 127.0, False, 0, True)
    for shift, wanted in ((4, [8, 7, 8, -7, -7, 0]), (9, [7, 7, 8, -7, -8, 0])):
        kernel = Kernel("twice", shift=np.array([shift]))
        assert workers.run("keras2", tuning.rounded_exactly, x, one, kernel).tolist() == wanted
    kernel = Kernel("twice", shift=np.array([4, 9]))
    channels = workers.run("keras2", tuning.rounded_exactly, np.full((3, 2), 7.46875), one, kernel)
    assert channels.tolist() == [[8, 7]] * 3


STEPS = {
    "a scale a channel": Steps(8, 127, 0, True),
    "depthwise": Steps(8, 127, 3, True),
    "one scale": Steps(8, 127, None, True),
    "4 bits": Steps(4, 7, 0, True),
    "zero point": Steps(8, 127, None, False),
}


def kernel() -> np.ndarray:
    noise = np.random.default_rng(0)
    return (noise.normal(size=(6, 3, 3, 4)) * np.array([1, 3, 0.01, 1e-6, 20, 1]).reshape(-1, 1, 1, 1)).astype(
        np.float32
    )


def own_scale(values: np.ndarray, steps: Steps) -> np.ndarray:
    """The scale that an engine finds for a tensor of these values."""
    axes = tuple(axis for axis in range(values.ndim) if axis != steps.axis)
    if steps.symmetric:
        return np.abs(values).max(axis=axes, keepdims=True) / steps.most
    return np.asarray((max(values.max(), 0) - min(values.min(), 0)) / (2 * steps.most + 1))


@pytest.mark.parametrize("name", STEPS)
def test_constants_lie_on_the_grid_that_an_engine_finds_for_them(workers, tuning, name):
    steps, x = STEPS[name], kernel()
    rounded = workers.run("keras2", tuning.rounded_constant, x, steps)[0]
    integers = rounded / own_scale(rounded, steps)
    np.testing.assert_allclose(integers, np.rint(integers), atol=2e-3 if steps.symmetric else 0.02)
    assert np.abs(np.rint(integers)).max() <= 2 * steps.most + 1
    assert (np.abs(rounded - x) <= 0.51 * own_scale(x, steps)).all()
    assert len(np.unique(np.rint(integers[0]))) > 2 or steps.axis is None
    again = workers.run("keras2", tuning.rounded_constant, rounded, steps)[0]
    np.testing.assert_allclose(again, rounded, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("fraction", [1.0, 0.8, 0.5])
def test_clipped_constants_lie_on_the_grid_that_an_engine_finds_for_them(workers, tuning, fraction):
    steps, x = STEPS["4 bits"], kernel()
    shares = np.full((6, 1, 1, 1), fraction, np.float32)
    rounded, for_x, for_shares = workers.run("keras2", tuning.rounded_constant, x, steps, shares)
    integers = rounded / own_scale(rounded, steps)
    np.testing.assert_allclose(integers, np.rint(integers), atol=1e-4)
    peaks = np.abs(x).max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(np.abs(rounded).max(axis=(1, 2, 3), keepdims=True), fraction * peaks, rtol=1e-5)
    assert for_shares.shape == shares.shape
    assert (for_shares != 0).all()
    weights = np.arange(1.0, x.size + 1).reshape(x.shape)
    inside = np.abs(x) < fraction * peaks * (1 - 1e-6)
    np.testing.assert_allclose(for_x[inside], weights[inside], rtol=1e-6)
    assert (for_x[np.abs(x) > fraction * peaks * (1 + 1e-6)] == 0).all()


def test_a_fraction_has_the_gradient_of_learned_step_sizes(workers, tuning):
    """Esser et al. 2020, equation 3: round(v/s) - v/s inside, the last step outside, each times what s changes by."""
    steps, x = Steps(4, 7, None, True), kernel()[:1]
    _, _, gradient = workers.run("keras2", tuning.rounded_constant, x, steps, 0.6)
    unit = np.abs(x).max() / 7
    v = x / (0.6 * unit)
    slope = np.where(np.abs(v) < 7, np.rint(v) - v, 7 * np.sign(v)) * unit
    assert gradient == pytest.approx((slope * np.arange(1.0, x.size + 1).reshape(x.shape)).sum(), rel=1e-3)


def test_a_channel_of_zeros_stays_zero(workers, tuning):
    x = kernel()
    x[2] = 0
    for steps in (STEPS["a scale a channel"], STEPS["4 bits"]):
        rounded, for_x, _ = workers.run("keras2", tuning.rounded_constant, x, steps)
        assert (rounded[2] == 0).all()
        assert np.isfinite(for_x).all()
    for steps in STEPS.values():
        assert (workers.run("keras2", tuning.rounded_constant, np.zeros_like(x), steps)[0] == 0).all()


def test_exact_rounding_of_kernels_that_round_twice_is_that_of_their_integer_instructions(workers, tuning):
    factors, shifts = np.sqrt([0.9, 0.1, 0.02, 0.0005]), (0, 1, 2, 5)
    sums = np.random.default_rng(0).integers(-900, 900, (5000, 4))
    most, kernel = Range(8, -128.0, 127.0, False, 0, True), Kernel("twice", shift=np.array(shifts))
    found = workers.run("keras2", tuning.rounded_exactly, sums * factors, most, kernel)
    bits = np.array(shifts)
    multipliers = np.rint(factors * 2.0**bits * 2**31).astype(np.int64)
    doubled = (sums * multipliers + (1 << 30)) >> 31  # SQRDMULH
    wanted = np.where(bits > 0, (doubled + (1 << np.maximum(bits - 1, 0))) >> bits, doubled)  # SRSHL
    np.testing.assert_array_equal(found, np.clip(wanted, -128, 127))


def test_sums_are_multiplied_in_float32_where_the_kernel_does(workers, tuning):
    """The factor is rounded to float32 first, which decides what is nearly a half."""
    unit, factor = np.array([0.1, 0.3]), np.array([0.25, 0.7], np.float32)
    sums = np.random.default_rng(0).integers(-400, 400, (5000, 2))
    one, kernel = Range(8, -128.0, 127.0, False, 0, True), Kernel("multiplied", unit, factor)
    found = workers.run("keras2", tuning.rounded_exactly, sums * unit, one, kernel)
    np.testing.assert_array_equal(found, np.clip(np.rint(sums.astype(np.float32) * factor), -128, 127))
