"""Training: it learns, it repeats, it goes on after a kill, it stops early."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time

import h5py
import numpy as np
import pytest

from tflite_pipeline.artifacts import KerasModel
from tflite_pipeline.dataset.prepare import prepare
from tflite_pipeline.dataset.spec import Digits
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.worker import Workers
from tflite_pipeline.train.fit import fit
from tflite_pipeline.train.spec import Augment, EarlyStopping, Fit, Schedule

pytestmark = pytest.mark.tf
MODEL = KerasModel("factory", {"function": "small_models:digits_classifier", "arguments": {}}, 3, "", 0)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    out = tmp_path_factory.mktemp("digits")
    return prepare(Digits(source="digits"), "training", 0, (), out)


def spec(**changes):
    return Fit(**({"method": "fit", "epochs": 5, "batch": 32, "learning_rate": 0.003} | changes))


def test_it_learns_and_repeats(workers, digits, tmp_path):
    figures = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        result = workers.run("keras3", fit, spec(validation=0.2), MODEL, digits, tmp_path / name)
        figures.append(result.history)
    assert figures[0][-1]["val_accuracy"] > 0.9
    assert figures[0] == figures[1]
    assert result.file.name == "model.keras"
    assert result.model.weights.is_file()


def test_it_goes_on_after_a_kill_with_the_same_epochs(workers, digits, tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    long = spec(epochs=12, schedule=Schedule(kind="cosine", warmup_epochs=1))
    whole = workers.run("keras3", fit, long, MODEL, digits, tmp_path / "whole")
    with Workers(tmp_path / "log.txt", [workers_folder()]) as other:
        pid = other.run("keras3", os.getpid)
        threading.Thread(target=_kill_after_epoch, args=(tmp_path / "killed", pid, 3)).start()
        with pytest.raises(StageError, match="SIGKILL"):
            other.run("keras3", fit, long, MODEL, digits, tmp_path / "killed")
    done = len(list((tmp_path / "killed").glob("epoch-*")))
    assert done >= 1
    resumed = workers.run("keras3", fit, long, MODEL, digits, tmp_path / "killed")
    assert len(resumed.history) == 12
    # The order of the samples, the learning rate and what dropout draws are the same.
    assert resumed.history[-1]["loss"] == pytest.approx(whole.history[-1]["loss"], rel=1e-4)


def workers_folder():
    from pathlib import Path

    return Path(__file__).parent.parent.parent / "factories"


def test_keras2_model_trains_and_goes_on(workers, digits, tmp_path):
    """Without dropout a resumed run ends with the very figures of one that was never killed."""
    model = KerasModel("factory", {"function": "small_models:digits_classifier_keras2", "arguments": {}}, 2, "", 0)
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = workers.run("keras2", fit, spec(epochs=12), model, digits, tmp_path / "whole")
    with Workers(tmp_path / "log.txt", [workers_folder()]) as other:
        pid = other.run("keras2", os.getpid)
        threading.Thread(target=_kill_after_epoch, args=(tmp_path / "killed", pid, 3)).start()
        with pytest.raises(StageError, match="SIGKILL"):
            other.run("keras2", fit, spec(epochs=12), model, digits, tmp_path / "killed")
    resumed = workers.run("keras2", fit, spec(epochs=12), model, digits, tmp_path / "killed")
    assert resumed.file.name == "model.h5"
    assert resumed.history[-1]["loss"] == pytest.approx(whole.history[-1]["loss"], rel=1e-4)


def _kill_after_epoch(folder, pid, epoch):
    while not list(folder.glob(f"epoch-{epoch:05}*")):
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("state", ["trained", "frozen"])
def test_batch_normalization_stays_when_it_is_frozen(workers, digits, tmp_path, state):
    model = dataclasses.replace(MODEL, spec={"function": "small_models:normalized_digits", "arguments": {}})
    done = workers.run(
        "keras3", fit, spec(epochs=4, learning_rate=0.01, batch_normalization=state), model, digits, tmp_path
    )
    with h5py.File(done.model.weights) as file:
        found: list[np.ndarray] = []
        file.visititems(lambda name, item: found.append(item[:]) if "batch_normalization/vars/" in name else None)
    assert len(found) == 4  # gamma, beta, mean, variance
    untouched = [np.ones(64), np.zeros(64), np.zeros(64), np.ones(64)]
    assert all(map(np.array_equal, found, untouched)) == (state == "frozen")
    assert done.history[-1]["accuracy"] > 0.5  # the dense layer learns in either case


def test_early_stopping_keeps_the_best_epoch(workers, digits, tmp_path):
    stop = EarlyStopping(patience=1, min_delta=10.0)  # nothing improves by so much: the first epoch stays the best
    result = workers.run("keras3", fit, spec(early_stopping=stop, validation=0.2), MODEL, digits, tmp_path)
    assert len(result.history) == 2
    assert result.best_epoch == 0


def test_nan_loss_is_told(workers, digits, tmp_path):
    with pytest.raises(StageError, match="the loss became nan"):
        workers.run("keras3", fit, spec(learning_rate=1e30, optimizer="sgd"), MODEL, digits, tmp_path)


def test_augmented_short_epochs_repeat_with_the_seed(workers, digits, tmp_path):
    short = spec(steps=10, augment=Augment(shift=0.2, crop=0.9), validation=0.2)
    first = workers.run("keras3", fit, short, MODEL, digits, tmp_path / "a")
    again = workers.run("keras3", fit, short, MODEL, digits, tmp_path / "b")
    plain = workers.run("keras3", fit, spec(steps=10, validation=0.2), MODEL, digits, tmp_path / "c")
    assert first.history == again.history
    assert first.history != plain.history
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["model.keras", "trained.weights.h5"]


def test_augment_is_refused_when_inputs_are_no_images(workers, digits, tmp_path):
    flat = dataclasses.replace(digits, inputs={"": tmp_path / "flat.npy"})
    np.save(tmp_path / "flat.npy", np.zeros((digits.count, 64), np.float32))
    with pytest.raises(StageError, match=r"needs exactly one input of images.* Got the input \(64\)"):
        workers.run("keras3", fit, spec(augment=Augment(flip="both")), MODEL, flat, tmp_path / "out")
