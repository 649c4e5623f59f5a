"""The loop of every training: rows, steps, checkpoints, the best epoch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tflite_pipeline.errors import StageError
from tflite_pipeline.train.spec import Augment, EarlyStopping, Falling, Fit, Tune

pytestmark = pytest.mark.tf


def numbers(count=100):
    chance = np.random.default_rng(1)
    x = chance.normal(size=(count, 6)).astype(np.float32)
    return x, np.argmax(x[:, :3] + x[:, 3:], axis=1)


def tune(**changes):
    return Tune(**({"method": "qat", "batch": 8, "learning_rate": 0.01} | changes))


@pytest.mark.parametrize(("kind", "model"), [("keras2", "pupil"), ("keras3", "classifier")])
def test_history_is_that_of_a_whole_run_when_one_breaks_off_within_an_epoch(
    workers, training, make_samples, tmp_path, kind, model
):
    x, y = numbers()
    samples = make_samples({"": x}, {} if model == "pupil" else {"": y})
    arguments = (model, tune(epochs=4, optimizer="adamw"), samples)
    more = (("val_loss", "min"), True)
    whole, _, weights, _ = workers.run(kind, training.run, *arguments, tmp_path / "whole", *more)
    with pytest.raises(StageError, match="broken off"):
        workers.run(kind, training.run, *arguments, tmp_path / "broken", *more, 18)  # an epoch has 11 steps
    assert [path.name for path in (tmp_path / "broken").iterdir()] == ["epoch-00002.npz"]
    resumed, _, same, _ = workers.run(kind, training.run, *arguments, tmp_path / "broken", *more)
    assert resumed == whole
    assert len(whole.history) == 5
    for expected, got in zip(weights, same, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_untrained_weights_stay_when_training_makes_it_worse(workers, training, make_samples, tmp_path):
    x, _ = numbers()
    spec = tune(learning_rate=30.0, steps=2, schedule=Falling(kind="constant", warmup_epochs=0))
    done, before, after, _ = workers.run(
        "keras2", training.run, "pupil", spec, make_samples({"": x}), tmp_path / "out", ("val_loss", "min"), True
    )
    assert done.best_epoch == 0
    assert len(done.history) == 4
    assert set(done.history[0]) == {"val_loss"}
    for expected, got in zip(before, after, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_weights_are_those_of_the_best_epoch(workers, training, make_samples, tmp_path):
    x, y = numbers(200)
    done, _, _, figures = workers.run(
        "keras3",
        training.run,
        "classifier",
        tune(epochs=6, learning_rate=0.1, validation=0.3, schedule=Falling(kind="constant", warmup_epochs=0)),
        make_samples({"": x}, {"": y}),
        tmp_path / "out",
        ("val_accuracy", "max"),
    )
    best = done.history[done.best_epoch]
    assert best["val_accuracy"] == max(row["val_accuracy"] for row in done.history)
    assert figures["held_out"]["accuracy"] == pytest.approx(best["val_accuracy"])
    assert figures["held_out"]["loss"] == pytest.approx(best["val_loss"], rel=1e-5)
    assert figures["files"] == sorted({f"epoch-{done.best_epoch + 1:05}.npz", "epoch-00006.npz"})


@pytest.mark.parametrize(("rate", "best"), [(1e-5, 3), (1e-30, 0)])
def test_lower_loss_then_the_earlier_epoch_wins_when_the_monitored_figure_ties(
    workers, training, make_samples, tmp_path, rate, best
):
    x, y = numbers()
    spec = tune(learning_rate=rate, schedule=Falling(kind="constant", warmup_epochs=0))
    done, _, _, _ = workers.run(
        "keras3",
        training.run,
        "classifier",
        spec,
        make_samples({"": x}, {"": y}),
        tmp_path / "out",
        ("val_accuracy", "max"),
        True,
    )
    assert len({row["val_accuracy"] for row in done.history}) == 1
    assert done.best_epoch == best


def test_training_figure_is_monitored_when_no_rows_are_held_out(workers, training, make_samples, tmp_path):
    x, _ = numbers()
    spec = tune(validation=None, early_stopping=EarlyStopping(patience=1, min_delta=10.0))
    done, _, _, _ = workers.run(
        "keras2", training.run, "pupil", spec, make_samples({"": x}), tmp_path / "out", ("val_loss", "min"), True
    )
    assert done.history[0] == {}
    assert done.best_epoch == 1
    assert len(done.history) == 3


def test_epochs_are_short_and_the_rate_falls_over_them_when_steps_are_limited(
    workers, training, make_samples, tmp_path
):
    x, _ = numbers()
    spec = tune(steps=3, schedule=Falling(warmup_epochs=1, final=0.1))
    _, _, _, figures = workers.run("keras2", training.run, "pupil", spec, make_samples({"": x}), tmp_path / "out")
    assert figures["iterations"] == 9
    # The rate of the last step, the sixth of six after the epoch of warming up.
    assert figures["rate"] == pytest.approx(0.01 * (0.1 + 0.9 * (1 + math.cos(math.pi * 5 / 6)) / 2), rel=1e-4)


def test_batches_hold_each_row_once_in_an_order_of_the_epoch(workers, training, make_samples):
    x, y = numbers()
    samples = make_samples({"a": x, "b": x[:, :2]}, {"": y})
    spec = Fit(method="fit", epochs=1, batch=8, validation=0.1)
    trained, held_out = workers.run("keras3", training.epoch_batches, spec, samples, 0)
    again, _ = workers.run("keras3", training.epoch_batches, spec, samples, 0)
    other, _ = workers.run("keras3", training.epoch_batches, spec, samples, 1)
    assert [len(labels) for _, labels in trained] == [8] * 11
    assert [len(labels) for _, labels in held_out] == [8, 2]
    seen = [tuple(row) for inputs, _ in trained + held_out for row in inputs["a"].tolist()]
    assert len(set(seen)) == 98
    assert set(seen) <= {tuple(row) for row in x.tolist()}
    for inputs, labels in trained + held_out:
        np.testing.assert_array_equal(inputs["a"][:, :2], inputs["b"])
        np.testing.assert_array_equal(np.argmax(inputs["a"][:, :3] + inputs["a"][:, 3:], axis=1), labels)
    np.testing.assert_array_equal(again[0][1], trained[0][1])
    assert not np.array_equal(other[0][0]["a"], trained[0][0]["a"])


def test_batches_are_inputs_alone_when_there_are_no_labels(workers, training, make_samples):
    x, _ = numbers()
    trained, held_out = workers.run("keras2", training.epoch_batches, tune(), make_samples({"": x}), 0)
    assert trained[0].shape == (8, 6)
    assert sum(map(len, held_out)) == 10


def test_only_training_batches_are_augmented(workers, training, make_samples):
    images = np.arange(40, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 4, 4, 1), np.uint8)
    images[:, :, 0] = 200
    spec = tune(augment=Augment(flip="horizontal"), validation=0.5)
    trained, held_out = workers.run("keras2", training.epoch_batches, spec, make_samples({"": images}), 0)
    flipped = np.concatenate(trained)[:, 0, -1, 0] == 200
    assert 0 < flipped.sum() < len(flipped)
    assert (np.concatenate(held_out)[:, :, 0] == 200).all()
