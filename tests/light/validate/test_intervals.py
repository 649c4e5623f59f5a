from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tflite_pipeline.validate.intervals import mean_drop, proportion_drop, share, whole_drop


def test_proportion_drop_is_the_adjusted_wald_interval() -> None:
    # 100 pairs: 60 right in both, 15 lost, 5 won, 20 wrong in both; by hand: b = 15.5, c = 5.5, n = 102.
    reference = np.repeat([1, 1, 0, 0], [60, 15, 5, 20])
    quantized = np.repeat([1, 0, 1, 0], [60, 15, 5, 20])
    half = 1.959964 * np.sqrt(21 - 100 / 102) / 102
    assert proportion_drop(reference, quantized, 0.95) == pytest.approx((10 / 102 - half, 10 / 102 + half))


def test_proportion_drop_is_positive_when_the_quantized_file_is_worse() -> None:
    low, high = proportion_drop(np.ones(500), np.repeat([1, 0], [400, 100]), 0.95)
    assert 0.15 < low < 0.2 < high < 0.25


def test_proportion_drop_covers_the_truth_as_often_as_it_says() -> None:
    noise, hits = np.random.default_rng(0), 0
    for _ in range(1000):
        kind = noise.choice(4, 80, p=[0.85, 0.06, 0.03, 0.06])
        low, high = proportion_drop(np.isin(kind, [0, 1]), np.isin(kind, [0, 2]).astype(int), 0.9)
        hits += low <= 0.03 <= high
    assert 880 <= hits <= 960


def test_mean_drop_is_the_paired_t_interval() -> None:
    drops = np.array([0.1, -0.2, 0.4, 0.3, 0.0])
    expected = stats.ttest_1samp(drops, 0).confidence_interval(0.9)
    assert mean_drop(drops, 0.9) == pytest.approx((expected.low, expected.high))


def test_whole_drop_of_a_mean_is_near_the_t_interval_and_seeded() -> None:
    drops = np.random.default_rng(0).normal(0.2, 1, 400)
    found = whole_drop(lambda weights: weights @ drops / 400, 400, 0.95)
    assert found == pytest.approx(mean_drop(drops, 0.95), abs=0.02)
    assert found == whole_drop(lambda weights: weights @ drops / 400, 400, 0.95)


def test_whole_drop_is_none_where_most_resamples_have_no_value() -> None:
    assert whole_drop(lambda weights: np.full(len(weights), np.nan), 10, 0.95) is None


@pytest.mark.parametrize(("hits", "count"), [(0, 20), (19, 20), (20, 20), (913, 1000)])
def test_share_is_the_wilson_interval(hits: int, count: int) -> None:
    expected = stats.binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert share(hits, count, 0.95) == pytest.approx((expected.low, expected.high), abs=1e-12)
