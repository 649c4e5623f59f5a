"""Pruning: how many weights become zero, which, when, and that they stay zero."""

from __future__ import annotations

import math
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.train.tune.sparsity import Sparsity, groups_mask, largest_mask, zeros_mask

pytestmark = pytest.mark.tf


def kernel(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def sparsity(**changes: Any) -> Sparsity:
    return Sparsity(**({"share": 0.7, "pattern": "unstructured", "ramp": "polynomial", "steps": 100} | changes))


def zeros(mask: np.ndarray) -> float:
    return float((mask == 0).mean())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.55, 0.8, 0.999])
def test_the_smallest_magnitudes_are_masked_and_their_number_is_rounded_up(share: float) -> None:
    values = kernel(7, 3, 3, 5)
    mask = largest_mask(values, share)
    assert (mask == 0).sum() == math.ceil(values.size * share)
    assert np.abs(values[mask == 0]).max(initial=0) <= np.abs(values[mask == 1]).min(initial=np.inf)


def test_as_many_are_masked_when_all_magnitudes_are_equal() -> None:
    assert zeros(largest_mask(np.ones((8, 8), np.float32), 0.5)) == 0.5
    assert zeros(largest_mask(np.zeros((8, 8), np.float32), 0.25)) == 0.25


def test_the_zeros_grow_by_a_cubic_curve_and_then_stay(workers: Any, compressing: ModuleType) -> None:
    asked = sparsity()
    masks = workers.run("keras2", compressing.masks_over, asked, kernel(16, 64))
    shares = [zeros(mask) for mask in masks]
    assert shares[0] == 0.0
    assert shares[asked.last // 2] == pytest.approx(0.7 * (1 - 0.5**3), abs=0.002)
    assert all(after >= before for before, after in pairwise(shares))
    assert asked.last == 70
    assert shares[asked.last] == math.ceil(16 * 64 * 0.7) / (16 * 64) > shares[asked.last // 2]
    assert all((mask == masks[-1]).all() for mask in masks[asked.last :])


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 71, 1000])
@pytest.mark.parametrize("ramp", ["polynomial", "constant"])
def test_the_share_is_reached_whatever_the_number_of_steps(
    workers: Any, compressing: ModuleType, ramp: str, steps: int
) -> None:
    masks = workers.run("keras2", compressing.masks_over, sparsity(ramp=ramp, steps=steps, share=0.3), kernel(10, 27))
    assert zeros(masks[-1]) >= 0.3
    assert zeros(masks[-1]) == 81 / 270
    assert ramp == "polynomial" or zeros(masks[0]) == zeros(masks[-1])


@pytest.mark.parametrize("shape", [(8, 3, 3, 8), (12, 128), (4, 1, 1, 16)])
def test_two_of_four_neighbouring_input_channels_are_left_when_the_pattern_is_2_4(workers: Any, shape: Any) -> None:
    values = kernel(*shape)
    mask = workers.run("keras2", groups_mask, values)
    groups, kept = np.abs(values).reshape(-1, 4), mask.reshape(-1, 4) == 1
    assert mask.shape == shape
    assert (kept.sum(axis=1) == 2).all()
    assert (np.sort(groups, axis=1)[:, 2:] == np.sort(groups[kept].reshape(-1, 2), axis=1)).all()


def test_groups_are_chosen_once_at_the_start(workers: Any, compressing: ModuleType) -> None:
    asked = sparsity(pattern="2:4", share=0.5)
    masks = workers.run("keras2", compressing.masks_over, asked, kernel(16, 64))
    assert asked.last == 0
    assert [zeros(mask) for mask in masks] == [0.5] * 100


def test_small_weights_are_left_and_those_without_whole_groups() -> None:
    assert sparsity().fits((16, 16))
    assert not sparsity().fits((15, 17))
    assert sparsity().fits((32, 3, 3, 3))
    assert not sparsity(pattern="2:4").fits((32, 3, 3, 3))
    assert sparsity(pattern="2:4").fits((32, 3, 3, 4))


def test_masked_weights_are_plus_zero_and_get_no_gradient(workers: Any, compressing: ModuleType) -> None:
    values = np.array([[-2.0, 1.0], [3.0, -4.0]], np.float32)
    mask = np.array([[0.0, 1.0], [0.0, 1.0]], np.float32)
    result, gradient = workers.run("keras2", compressing.masked_and_gradient, values, mask)
    assert result.tobytes() == np.array([[0.0, 1.0], [0.0, -4.0]], np.float32).tobytes()
    assert gradient.tolist() == [[0.0, 3.0], [0.0, 3.0]]


def test_a_later_step_masks_the_zeros_that_it_finds() -> None:
    assert zeros_mask(np.array([0.0, -0.0, 1e-30, -3.0], np.float32)).tolist() == [0.0, 0.0, 1.0, 1.0]
