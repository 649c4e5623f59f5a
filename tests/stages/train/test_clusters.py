"""Clustering: few values, near to the weights, zeros that stay, and centroids that train."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.errors import StageError
from tflite_pipeline.train.tune.clusters import Clusters, clusters_of, find_clusters

pytestmark = pytest.mark.tf


def kernel(*shape: int, zeros: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(0)
    values = noise.normal(size=shape).astype(np.float32)
    return np.where(noise.random(shape) < zeros, np.float32(0), values)


def values_of(shared: Clusters) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.float32), shared.centroids])[shared.assignment]


@pytest.mark.parametrize("count", [2, 16, 256])
def test_each_weight_has_the_nearest_of_few_values(workers: Any, count: int) -> None:
    weight = kernel(16, 3, 3, 200)
    shared = workers.run("keras2", find_clusters, weight, count, False, 0)
    near = values_of(shared)
    assert (shared.centroids.dtype, shared.assignment.dtype) == (np.float32, np.int32)
    assert near.shape == weight.shape
    assert len(np.unique(near)) == len(shared.centroids) == count
    distances = np.abs(weight.reshape(-1, 1) - shared.centroids).min(axis=1)
    np.testing.assert_allclose(np.abs(weight - near).reshape(-1), distances, atol=1e-6)


def test_the_values_lie_closer_than_evenly_spaced_ones(workers: Any) -> None:
    weight = kernel(64, 500)
    near = values_of(workers.run("keras2", find_clusters, weight, 16, False, 0))
    even = np.linspace(weight.min(), weight.max(), 16)
    even_error = np.square(np.abs(weight[..., None] - even).min(axis=-1)).mean()
    # The best 16 values for a normal distribution leave 0.0095 (Max, "Quantizing for minimum distortion", 1960).
    assert np.square(weight - near).mean() < min(0.0105, even_error / 2)


def test_it_repeats(workers: Any) -> None:
    first, second = (workers.run("keras2", find_clusters, kernel(40, 40), 16, False, 3) for _ in range(2))
    assert first.centroids.tolist() == second.centroids.tolist()


def test_zeros_stay_zero_and_only_they_when_pruning_made_them(workers: Any) -> None:
    weight = kernel(32, 64, zeros=0.6)
    shared = workers.run("keras2", find_clusters, weight, 16, True, 0)
    near = values_of(shared)
    assert ((near == 0) == (weight == 0)).all()
    assert len(np.unique(near)) == 16
    assert len(shared.centroids) == 15


def test_a_weight_of_few_values_keeps_them(workers: Any) -> None:
    weight = np.array([[1.0, -2.0, 1.0], [0.5, 1.0, -2.0]], np.float32)
    assert (values_of(workers.run("keras2", find_clusters, weight, 8, False, 0)) == weight).all()
    nothing = np.zeros((4, 4), np.float32)
    assert (values_of(workers.run("keras2", find_clusters, nothing, 8, True, 0)) == nothing).all()


def test_two_clusters_are_refused_when_one_is_zero() -> None:
    with pytest.raises(StageError, match=r"clusters must be at least 3 after pruning.* Got 2"):
        find_clusters(kernel(4, 4, zeros=0.5), 2, keep_zeros=True, seed=0)


def test_values_and_members_are_read_back_from_a_clustered_weight(workers: Any) -> None:
    near = values_of(workers.run("keras2", find_clusters, kernel(32, 64, zeros=0.5), 16, True, 0))
    again = clusters_of(near)
    assert len(again.centroids) == 15
    assert (values_of(again) == near).all()
    assert ((again.assignment == 0) == (near == 0)).all()


def test_the_gradient_of_a_value_is_the_sum_over_its_members(workers: Any, compressing: ModuleType) -> None:
    shared = Clusters(np.array([-1.0, 2.0], np.float32), np.array([[0, 1, 2], [2, 2, 0]], np.int32))
    factors = np.array([[100.0, 1.0, 2.0], [3.0, 4.0, 100.0]], np.float32)
    result, gradient = workers.run("keras2", compressing.clustered_and_gradient, shared, factors)
    assert result.tolist() == [[0.0, -1.0, 2.0], [2.0, 2.0, 0.0]]
    assert gradient.tolist() == [1.0, 9.0]


def test_training_moves_the_values_and_keeps_zeros_and_members(workers: Any, compressing: ModuleType) -> None:
    weight = kernel(32, 64, zeros=0.5)
    shared = workers.run("keras2", find_clusters, weight, 8, True, 0)
    trained = workers.run("keras2", compressing.train_clusters, shared, weight * 1.1 + 0.2, 200)
    assert ((trained == 0) == (weight == 0)).all()
    assert len(np.unique(trained)) == 8
    for member in range(1, 8):
        chosen = shared.assignment == member
        assert len(np.unique(trained[chosen])) == 1
        assert trained[chosen][0] == pytest.approx((weight[chosen] * 1.1 + 0.2).mean(), abs=0.01)


def test_each_weight_gets_the_centroid_nearest_to_it_now_and_zeros_stay(workers: Any, compressing: ModuleType) -> None:
    shared = Clusters(np.array([2.0, -1.0, 0.25], np.float32), np.array([[0, 1, 1], [2, 3, 0]], np.int32))
    weight = np.array([[0.0, 0.5, 9.0], [-2.0, 1.5, 0.3]], np.float32)
    factors = np.array([[100.0, 1.0, 2.0], [3.0, 4.0, 100.0]], np.float32)
    result, *gradients = workers.run("keras2", compressing.regrouped_and_gradients, shared, weight, factors)
    assert result.tobytes() == np.array([[0.0, 0.25, 2.0], [-1.0, 2.0, 0.0]], np.float32).tobytes()
    assert gradients[0].tolist() == [6.0, 3.0, 1.0]
    assert gradients[1].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 0.0]]


def test_members_move_where_that_fits_better_and_the_values_stay_few(workers: Any, compressing: ModuleType) -> None:
    weight = kernel(32, 64, zeros=0.5)
    wanted = weight + np.random.default_rng(1).normal(size=weight.shape).astype(np.float32)
    shared = workers.run("keras2", find_clusters, weight, 8, True, 0)
    together = workers.run("keras2", compressing.train_clusters, shared, wanted, 150)
    moved = workers.run("keras2", compressing.train_groups, shared, weight, wanted, 150)
    assert ((moved == 0) == (weight == 0)).all()
    assert len(np.unique(moved)) <= 8
    free = weight != 0
    assert np.square(moved - wanted)[free].mean() < np.square(together - wanted)[free].mean() / 2


def test_a_single_centroid_and_a_weight_of_zeros_can_be_trained(workers: Any, compressing: ModuleType) -> None:
    nothing = np.zeros((2, 2), np.float32)
    for weight in (np.array([[0.0, 3.0], [3.0, 0.0]], np.float32), nothing):
        result, *_ = workers.run("keras2", compressing.regrouped_and_gradients, clusters_of(weight), nothing, nothing)
        assert result.tolist() == weight.tolist()
