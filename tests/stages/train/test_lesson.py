"""What a network learns from: which loss, of which labels, and what its figures are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tflite_pipeline.errors import StageError
from tflite_pipeline.train.spec import Qat
from tflite_pipeline.train.tune.lesson import CLASSES, Output, choose_losses, labels_by_output, refuse_logits

pytestmark = pytest.mark.tf

NOISE = np.random.default_rng(0)
SOFTMAX = Output("scores", (1, 4), 9, 8, "softmax")
SIGMOID = Output("yes", (1, 1), 7, 6, "sigmoid")
LINEAR = Output("box", (1, 2), 5, 5, "")
ONE = Output("price", (1, 1), 5, 5, "")
PIXELS = Output("mask", (1, 6, 6, 3), 3, 2, "softmax")


def qat(**section):
    return Qat(**({"method": "qat"} | section))


def softmax(values):
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def numbers(*shape):
    return NOISE.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("output", "labels", "loss"),
    [
        (SOFTMAX, np.zeros(5, np.int64), "sparse_categorical_crossentropy"),
        (SOFTMAX, np.zeros(5, np.uint8), "sparse_categorical_crossentropy"),
        (SOFTMAX, np.zeros((5, 4), np.float32), "categorical_crossentropy"),
        (SOFTMAX, np.zeros((5, 4), np.uint8), "categorical_crossentropy"),
        (PIXELS, np.zeros((5, 6, 6), np.uint8), "sparse_categorical_crossentropy"),
        (SIGMOID, np.zeros(5, np.int64), "binary_crossentropy"),
        (SIGMOID, np.zeros((5, 1), np.float32), "binary_crossentropy"),
        (LINEAR, np.zeros((5, 2), np.float32), "mse"),
        (LINEAR, np.zeros((5, 2), np.int32), "mse"),
        (LINEAR, np.zeros(5, np.int32), "sparse_categorical_crossentropy"),
        (ONE, np.zeros(5, np.int32), "mse"),
        (ONE, np.zeros((5, 1), np.float32), "mse"),
    ],
)
def test_loss_goes_by_labels_and_output_when_it_is_auto(output, labels, loss):
    assert choose_losses(qat(), (output,), {output.name: labels}) == {output.name: loss}


def test_loss_of_the_recipe_holds_for_all_labelled_outputs():
    labels = {"scores": np.zeros((5, 4)), "box": np.zeros((5, 2))}
    assert choose_losses(qat(loss="mae"), (SOFTMAX, LINEAR), labels) == {"scores": "mae", "box": "mae"}
    assert choose_losses(qat(), (SOFTMAX, LINEAR), {"box": labels["box"]}) == {"box": "mse"}
    assert choose_losses(qat(), (SOFTMAX,), {}) == {}


def test_labels_need_no_name_when_they_and_the_output_are_alone():
    array = np.zeros(5)
    for name in ("", "y", "scores"):
        assert list(labels_by_output((SOFTMAX,), {name: array}, False)) == ["scores"]
    assert list(labels_by_output((SOFTMAX, LINEAR), {"box": array}, False)) == ["box"]
    assert labels_by_output((SOFTMAX,), {}, True) == {}


@pytest.mark.parametrize(
    ("outputs", "names", "got"),
    [
        ((SOFTMAX, LINEAR), [""], "one array, unnamed"),
        ((SOFTMAX, LINEAR), ["scores", "boxes"], "scores, boxes"),
        ((SOFTMAX,), ["scores", "age"], "scores, age"),
    ],
)
def test_labels_of_no_output_are_refused(outputs, names, got):
    with pytest.raises(StageError, match=rf"names of the model's outputs, .*Got {got}\.") as caught:
        labels_by_output(outputs, {name: np.zeros(5) for name in names}, True)
    assert "dataset.labels" in caught.value.remedy


def test_no_labels_and_no_teacher_are_refused():
    with pytest.raises(StageError, match="needs labels") as caught:
        labels_by_output((SOFTMAX,), {}, False)
    assert "teacher: float" in caught.value.remedy


def test_cross_entropy_is_of_the_values_before_softmax(workers, tuning):
    logits, labels = 30 * numbers(6, 4), np.array([0, 1, 2, 3, 0, 1])
    rounded = np.rint(softmax(logits) * 256) / 256  # zeros among them, whose logarithm is no number
    found = workers.run(
        "keras2",
        tuning.judged,
        qat(),
        (SOFTMAX,),
        {"scores": "sparse_categorical_crossentropy"},
        {8: logits, 9: rounded.astype(np.float32)},
        labels,
    )
    exact = logits.astype(np.float64)
    wanted = np.mean(
        np.log(np.exp(exact - exact.max(-1, keepdims=True)).sum(-1)) + exact.max(-1) - exact[range(6), labels]
    )
    assert found["loss"] == pytest.approx(wanted, rel=1e-5)
    assert found["accuracy"] == pytest.approx((rounded.argmax(-1) == labels).mean())


def test_one_hot_labels_give_what_class_numbers_give(workers, tuning):
    logits, labels = numbers(6, 4), np.array([0, 1, 2, 3, 0, 1])
    values = {8: logits, 9: softmax(logits)}
    found = [
        workers.run("keras2", tuning.judged, qat(), (SOFTMAX,), {"scores": loss}, values, given)
        for loss, given in (
            ("sparse_categorical_crossentropy", labels),
            ("categorical_crossentropy", np.eye(4, dtype=np.uint8)[labels]),
        )
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_binary_labels_are_compared_with_the_values_before_sigmoid(workers, tuning, shape):
    logits, labels = numbers(6, 1), np.array([0, 1, 1, 0, 1, 0]).reshape(shape)
    chances = 1 / (1 + np.exp(-logits))
    losses = {"yes": "binary_crossentropy"}
    found = workers.run("keras2", tuning.judged, qat(), (SIGMOID,), losses, {6: logits, 7: chances}, labels)
    yes = labels.reshape(6, 1)
    wanted = -np.mean(yes * np.log(chances) + (1 - yes) * np.log(1 - chances))
    assert found["loss"] == pytest.approx(wanted, rel=1e-5)
    assert found["accuracy"] == pytest.approx(((chances > 0.5) == yes).mean())


def test_border_between_yes_and_no_is_zero_when_the_output_is_before_sigmoid(workers, tuning):
    logits, labels = np.array([[0.3], [0.2], [-0.1], [2.0]], np.float32), np.array([1, 1, 0, 0])
    spec, losses = qat(loss="binary_crossentropy", from_logits=True), {"price": "binary_crossentropy"}
    found = workers.run("keras2", tuning.judged, spec, (ONE,), losses, {5: logits}, labels)
    assert found["accuracy"] == 0.75


def test_classes_without_softmax_are_logits_when_their_values_are_no_shares(workers, tuning):
    logits, labels = numbers(6, 2), np.array([0, 1, 1, 0, 1, 0])
    raw = replace(LINEAR, shares=False)
    found = workers.run("keras2", tuning.judged, qat(), (raw,), {"box": CLASSES}, {5: logits}, labels)
    wanted = -np.log(softmax(logits)[np.arange(6), labels]).mean()
    assert found["loss"] == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(StageError, match=r"needs outputs from 0 to 1, and those of 'box' are not"):
        refuse_logits(qat(loss=CLASSES), (raw,), {"box": CLASSES})
    refuse_logits(qat(loss=CLASSES, from_logits=True), (raw,), {"box": CLASSES})


def test_regression_has_a_loss_and_no_accuracy(workers, tuning):
    values, labels = numbers(6, 2), numbers(6, 2)
    for loss, wanted in (("mse", ((values - labels) ** 2).mean()), ("mae", np.abs(values - labels).mean())):
        found = workers.run("keras2", tuning.judged, qat(), (LINEAR,), {"box": loss}, {5: values}, labels)
        assert found == pytest.approx({"loss": wanted}, rel=1e-5)


def test_every_pixel_has_a_class(workers, tuning):
    logits = numbers(2, 6, 6, 3)
    labels = NOISE.integers(0, 3, (2, 6, 6)).astype(np.uint8)
    losses = {"mask": "sparse_categorical_crossentropy"}
    found = workers.run("keras2", tuning.judged, qat(), (PIXELS,), losses, {2: logits, 3: softmax(logits)}, labels)
    chosen = np.take_along_axis(softmax(logits), labels[..., None].astype(np.int64), -1)
    assert found["loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    assert found["accuracy"] == pytest.approx((logits.argmax(-1) == labels).mean())


def test_losses_of_several_outputs_are_added(workers, tuning):
    logits, box = numbers(6, 4), numbers(6, 2)
    labels = {"scores": np.array([0, 1, 2, 3, 0, 1]), "box": numbers(6, 2)}
    losses = {"scores": "sparse_categorical_crossentropy", "box": "mse"}
    values = {8: logits, 9: softmax(logits), 5: box}
    both = workers.run("keras2", tuning.judged, qat(), (SOFTMAX, LINEAR), losses, values, labels)
    parts = [
        workers.run("keras2", tuning.judged, qat(), (one,), {one.name: losses[one.name]}, values, labels[one.name])
        for one in (SOFTMAX, LINEAR)
    ]
    assert both["loss"] == pytest.approx(parts[0]["loss"] + parts[1]["loss"], rel=1e-5)
    assert both["accuracy"] == parts[0]["accuracy"]
