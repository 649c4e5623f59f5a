"""Ordinary Keras training: model and training samples in, trained weights out; goes on where a killed run ended."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import KerasModel, Samples, TrainedModel
from tflite_pipeline.errors import StageError
from tflite_pipeline.model.border import input_shapes, static_shapes
from tflite_pipeline.model.load import open_model
from tflite_pipeline.runtime.progress import advance
from tflite_pipeline.runtime.tensorflow import generation_here, keras, tensorflow
from tflite_pipeline.train.labels import check_labels
from tflite_pipeline.train.spec import Fit

CLASSIFICATION = ("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy")


def fit(spec: Fit, model: KerasModel, samples: Samples, out: Path) -> TrainedModel:
    """Train all weights; `out` may hold the checkpoints of an earlier run, which are used.

    Writes a checkpoint each epoch, `trained.weights.h5`, and the whole model: `model.keras` (Keras 2: `model.h5`).
    With early stopping the weights are those of the best epoch, else of the last.
    """
    live = open_model(model)
    data = _Data.of(samples, spec, model.seed)
    static_shapes(input_shapes(live), "dynamic", samples)
    check_labels(live, spec.loss, data.labels, samples.rows)
    _compile(live, keras(model.generation), spec, data.steps(spec.batch))
    checkpoints = _Checkpoints(out, live)
    history = checkpoints.restore()
    for epoch in range(len(history), spec.epochs):
        if _is_over(history, spec):
            break
        history.append(_train_epoch(live, data, spec, epoch))
        checkpoints.save(history, is_best=spec.early_stopping is not None and _best_epoch(history, spec) == epoch)
    best = _best_epoch(history, spec)
    weights, file = out / "trained.weights.h5", out / ("model.keras" if model.generation == 3 else "model.h5")
    if spec.early_stopping:
        live.load_weights(checkpoints.best)
    live.compile()  # the optimizer's state, two thirds of an Adam checkpoint, is of no use any more
    live.save_weights(weights)
    live.save(file)
    checkpoints.remove()
    return TrainedModel(dataclasses.replace(model, weights=weights), file, tuple(history), best)


def _compile(live: Any, library: Any, spec: Fit, steps: int) -> None:
    names = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}
    optimizer = getattr(library.optimizers, names[spec.optimizer])(_learning_rate(library, spec, steps))
    losses = {
        "sparse_categorical_crossentropy": lambda: library.losses.SparseCategoricalCrossentropy(spec.from_logits),
        "categorical_crossentropy": lambda: library.losses.CategoricalCrossentropy(spec.from_logits),
        "binary_crossentropy": lambda: library.losses.BinaryCrossentropy(spec.from_logits),
        "mse": library.losses.MeanSquaredError,
        "mae": library.losses.MeanAbsoluteError,
        "huber": library.losses.Huber,
    }
    live.compile(optimizer, losses[spec.loss](), metrics=["accuracy"] if spec.loss in CLASSIFICATION else [])


def _learning_rate(library: Any, spec: Fit, steps: int) -> Any:
    """Build the schedule over all steps of the training; its place in it is kept with the optimizer's state."""
    schedule, rate = spec.schedule, spec.learning_rate
    warmup = round(schedule.warmup_epochs * steps)
    rest = max(1, spec.epochs * steps - warmup)
    if schedule.kind == "exponential":
        final = max(schedule.final, 1e-3)
        return library.optimizers.schedules.ExponentialDecay(rate, rest, final)
    alpha = 1.0 if schedule.kind == "constant" else schedule.final
    if schedule.kind == "constant" and not warmup:
        return rate
    start = rate if not warmup else 0.0
    return library.optimizers.schedules.CosineDecay(
        start, rest, alpha, warmup_target=rate if warmup else None, warmup_steps=warmup
    )


@dataclass(frozen=True)
class _Data:
    """Memory-mapped training samples, and which rows train and which monitor."""

    inputs: dict[str, Any]
    labels: dict[str, Any]
    train: Any
    held_out: Any
    seed: int

    @classmethod
    def of(cls, samples: Samples, spec: Fit, seed: int) -> _Data:
        inputs = {name: np.load(path, mmap_mode="r") for name, path in samples.inputs.items()}
        labels = {name: np.load(path, mmap_mode="r") for name, path in samples.labels.items()}
        if not labels:
            raise StageError("training needs labels, and the dataset has none.", "Set dataset.labels.")
        if spec.loss == "categorical_crossentropy" and any(label.ndim == 1 for label in labels.values()):
            raise StageError(
                "categorical_crossentropy needs one-hot labels, and the dataset gives class numbers.",
                "Set training.loss: sparse_categorical_crossentropy.",
            )
        rows = np.random.default_rng(seed).permutation(samples.count)
        held = round(samples.count * (spec.validation or 0))
        if len(rows) - held < spec.batch:
            raise StageError(
                f"{len(rows) - held} training samples do not fill a batch of {spec.batch}.", "Set training.batch lower."
            )
        return cls(inputs, labels, np.sort(rows[held:]), np.sort(rows[:held]), seed)

    def steps(self, batch: int) -> int:
        """How many whole batches an epoch has."""
        return len(self.train) // batch

    def batches(self, rows: Any, batch: int) -> Any:
        """Give a tf.data pipeline that reads the rows while the model computes."""
        tf = tensorflow()
        signature = tuple(
            {name: tf.TensorSpec((None, *array.shape[1:]), array.dtype) for name, array in arrays.items()}
            for arrays in (self.inputs, self.labels)
        )

        def read() -> Iterator[Any]:
            for start in range(0, len(rows), batch):
                chosen = rows[start : start + batch]
                yield tuple({n: a[chosen] for n, a in arrays.items()} for arrays in (self.inputs, self.labels))

        data = tf.data.Dataset.from_generator(read, output_signature=signature)
        data = data.apply(tf.data.experimental.assert_cardinality(-(-len(rows) // batch)))
        return data.map(lambda x, y: (_alone(x), _alone(y))).prefetch(tf.data.AUTOTUNE)


def _alone(arrays: dict[str, Any]) -> Any:
    """Give the only array itself, since its name in the dataset need not be the model's."""
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def _train_epoch(live: Any, data: _Data, spec: Fit, epoch: int) -> dict[str, float]:
    """Train one epoch in an order that depends on the seed and the epoch only, so that a resumed run repeats it."""
    rows = np.random.default_rng((data.seed, epoch)).permutation(data.train)[: data.steps(spec.batch) * spec.batch]
    validation = data.batches(data.held_out, spec.batch) if len(data.held_out) else None
    base = keras(generation_here()).callbacks.Callback
    steps = data.steps(spec.batch)

    class Progress(base):  # type: ignore[misc, valid-type]
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            figures = " ".join(f"{name} {value:.3f}" for name, value in (logs or {}).items())
            advance(epoch * steps + batch + 1, spec.epochs * steps, f"epoch {epoch + 1}/{spec.epochs} {figures}")

    result = live.fit(
        data.batches(rows, spec.batch), validation_data=validation, epochs=1, verbose=0, callbacks=[Progress()]
    )
    figures = {name: float(values[-1]) for name, values in result.history.items()}
    if not math.isfinite(figures["loss"]):
        raise StageError(
            f"the loss became {figures['loss']} in epoch {epoch + 1}.",
            "Set training.learning_rate lower, or look at the data.",
        )
    return figures


def _monitored(history: list[dict[str, float]]) -> list[float]:
    return [row.get("val_loss", row["loss"]) for row in history]


def _best_epoch(history: list[dict[str, float]], spec: Fit) -> int:
    """Give the index of the epoch whose weights are kept."""
    if spec.early_stopping is None:
        return len(history) - 1
    best = 0
    for epoch, value in enumerate(_monitored(history)):
        if value < _monitored(history)[best] - spec.early_stopping.min_delta:
            best = epoch
    return best


def _is_over(history: list[dict[str, float]], spec: Fit) -> bool:
    if spec.early_stopping is None or not history:
        return False
    return len(history) - 1 - _best_epoch(history, spec) >= spec.early_stopping.patience


class _Checkpoints:
    """`epoch-<n>.weights.h5` (with the optimizer's state), the best weights, and the figures of the n epochs."""

    def __init__(self, folder: Path, live: Any) -> None:
        self._folder, self._live = folder, live
        self.best = folder / "best.weights.h5"

    def restore(self) -> list[dict[str, float]]:
        """Load the newest checkpoint and give the figures of its epochs; none is an empty list."""
        files = sorted(self._folder.glob("epoch-*.weights.h5"))
        if not files:
            return []
        epochs = int(files[-1].name.split("-")[1].split(".")[0])
        self._live.optimizer.build(self._live.trainable_variables)
        self._live.load_weights(files[-1])
        history: list[dict[str, float]] = json.loads((self._folder / "history.json").read_text())
        return history[:epochs]

    def save(self, history: list[dict[str, float]], is_best: bool) -> None:
        """Write the figures, then the weights by rename, so that a checkpoint is never without its figures."""
        (fresh := self._folder / "history.new").write_text(json.dumps(history))
        fresh.replace(self._folder / "history.json")
        if is_best:
            self._write(self.best)
        self._write(self._folder / f"epoch-{len(history):05}.weights.h5")
        for older in sorted(self._folder.glob("epoch-*.weights.h5"))[:-1]:
            older.unlink()

    def _write(self, path: Path) -> None:
        fresh = self._folder / "new.weights.h5"
        self._live.save_weights(fresh)
        fresh.replace(path)

    def remove(self) -> None:
        """Delete the checkpoints once the training is over."""
        for path in (*self._folder.glob("epoch-*"), self.best):
            path.unlink(missing_ok=True)
