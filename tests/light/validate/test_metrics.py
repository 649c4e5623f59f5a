from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tflite_pipeline.errors import StageError
from tflite_pipeline.validate import spec
from tflite_pipeline.validate.metrics import (
    METRICS,
    class_labels,
    class_scores,
    confusion,
    cosine,
    mae,
    mse,
    predicted_classes,
    top1,
    top5,
)

ROWS = tuple(range(1000))


def test_every_metric_of_the_recipe_has_a_row() -> None:
    assert set(METRICS) == set(spec.METRIC_SUMMARIES) == set(spec.MetricName.__args__)


def test_top1_takes_the_first_of_equal_scores() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.4, 0.4, 0.2], [0.4, 0.4, 0.2]])
    assert top1(scores, np.array([1, 0, 1])).tolist() == [1, 1, 0]


def test_top1_of_one_column_is_a_sigmoid() -> None:
    assert top1(np.array([[0.2], [0.8], [0.5]]), np.array([0, 1, 1])).tolist() == [1, 1, 0]


def test_top5_counts_the_fifth_and_not_the_sixth() -> None:
    scores = np.arange(8)[::-1].reshape(1, 8).repeat(2, axis=0)
    assert top5(scores, np.array([4, 5])).tolist() == [1, 0]


def test_distances_are_by_sample() -> None:
    left, right = np.array([[0.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [3.0, 4.0]])
    assert mae(left, right).tolist() == [1.5, 0]
    assert mse(left, right).tolist() == [2.5, 0]
    assert cosine(left, right).tolist() == [0, 1]


def test_cosine_of_zero_vectors() -> None:
    zero, one = np.zeros((1, 3)), np.ones((1, 3))
    assert (cosine(zero, zero).tolist(), cosine(zero, one).tolist()) == ([1], [0])


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_auc_is_that_of_scikit_learn_with_ties(classes: int) -> None:
    noise = np.random.default_rng(0)
    labels = noise.integers(0, max(classes, 2), 300)
    scores = np.round(noise.random((300, classes)) + (labels[:, None] == np.arange(classes)) * 0.3, 1)
    scores = scores / scores.sum(axis=1, keepdims=True) if classes > 2 else scores
    expected = roc_auc_score(labels, scores if classes > 2 else scores[:, -1], multi_class="ovr")
    assert METRICS["auc"].compute(scores, labels, np.ones((1, 300)))[0] == pytest.approx(expected)


def test_auc_counts_a_sample_as_often_as_its_weight() -> None:
    scores, labels = np.array([[0.1], [0.4], [0.35], [0.8]]), np.array([0, 0, 1, 1])
    weights = np.array([[1, 1, 1, 1], [2, 0, 1, 1], [0, 1, 3, 1], [1, 1, 0, 0]])
    found = METRICS["auc"].compute(scores, labels, weights)
    assert found[:3].tolist() == [0.75, 1.0, 0.25]
    assert np.isnan(found[3])


def test_labels_out_of_range_are_named_with_row_and_value() -> None:
    labels = np.array([0, 3, 12, -1])
    with pytest.raises(
        StageError, match=r"whole numbers from 0 to 3\. Got 12 on row 7 of the dataset, and 2 such"
    ) as err:
        class_labels(labels, 4, "scores", (5, 6, 7, 8))
    assert "as many outputs" in err.value.remedy


@pytest.mark.parametrize("labels", [np.array([0.0, 1.5]), np.array([np.nan, 1.0])])
def test_labels_that_are_no_whole_numbers_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(StageError, match="must be whole numbers"):
        class_labels(labels, 2, "scores", ROWS)


def test_labels_may_be_a_column_or_one_hot() -> None:
    assert class_labels(np.array([[2], [0]]), 3, "scores", ROWS).tolist() == [2, 0]
    assert class_labels(np.array([[0, 0, 1], [1, 0, 0]]), 3, "scores", ROWS).tolist() == [2, 0]


def test_an_image_of_scores_is_no_class_score() -> None:
    with pytest.raises(StageError, match="must have one number a class"):
        class_scores(np.zeros((2, 4, 4, 3)), "mask")
    assert class_scores(np.zeros((2, 1, 1, 3)), "scores").shape == (2, 3)


def test_confusion_counts_true_against_predicted() -> None:
    predicted = predicted_classes(np.array([[9, 1, 0], [1, 9, 0], [9, 0, 1]]))
    table, recall = confusion(np.array([0, 1, 1]), predicted, 3)
    assert table == [[0, 0, 1], [1, 0, 1], [1, 1, 1]]
    assert recall == [1.0, 0.5, None]
