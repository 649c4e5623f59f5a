"""What every training shares: a compiled Keras model and samples in, trained weights in the model and figures out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tflite_pipeline.artifacts import Samples
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.progress import advance
from tflite_pipeline.runtime.tensorflow import generation_here, keras, tensorflow
from tflite_pipeline.train.augment import augmentation, image_input
from tflite_pipeline.train.checkpoint import Checkpoints
from tflite_pipeline.train.spec import Fit, Schedule, Tune

Figures = dict[str, float]
Monitor = tuple[str, Literal["min", "max"]]

READ_BYTES = 1 << 22
"""How much is read from the files at once, where a batch is smaller."""

OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}


@dataclass(frozen=True)
class Fitted:
    """One row of figures an epoch, and the row whose weights the model has; see `train` for row 0."""

    history: tuple[Figures, ...]
    best_epoch: int


@dataclass(frozen=True)
class Data:
    """Memory-mapped training samples by name, and which rows train and which are held out; labels may be absent."""

    inputs: dict[str, Any]
    labels: dict[str, Any]
    train: Any
    held_out: Any
    spec: Fit | Tune
    seed: int

    @classmethod
    def of(cls, samples: Samples, spec: Fit | Tune, seed: int) -> Data:
        """Open the samples; the seed draws the rows that are held out.

        Raises StageError where they do not fill a batch, or where they are no images to augment.
        """
        inputs = {name: np.load(path, mmap_mode="r") for name, path in samples.inputs.items()}
        labels = {name: np.load(path, mmap_mode="r") for name, path in samples.labels.items()}
        rows = np.random.default_rng(seed).permutation(samples.count)
        held = max(1, round(samples.count * spec.validation)) if spec.validation else 0
        if len(rows) - held < spec.batch:
            raise StageError(
                f"{len(rows) - held} training samples do not fill a batch of {spec.batch}.", "Set training.batch lower."
            )
        if spec.augment:
            image_input(_shapes(inputs), _shapes(labels))
        return cls(inputs, labels, np.sort(rows[held:]), np.sort(rows[:held]), spec, seed)

    @property
    def steps(self) -> int:
        """How many steps an epoch has, each with a whole batch."""
        return min(len(self.train) // self.spec.batch, self.spec.steps or len(self.train))

    def epoch(self, epoch: int) -> Any:
        """Give the batches of an epoch, (inputs, labels) or inputs alone: a tf.data pipeline that reads ahead.

        The order of the rows and what augmentation draws depend on the seed and the epoch only.
        """
        rows = np.random.default_rng((self.seed, epoch)).permutation(self.train)[: self.steps * self.spec.batch]
        if self.spec.augment is None:
            return self._batches(rows, None)
        key = int(np.random.SeedSequence((self.seed, epoch)).generate_state(1)[0])
        image = image_input(_shapes(self.inputs), _shapes(self.labels))
        return self._batches(rows, augmentation(self.spec.augment, image, key))

    def monitoring(self) -> Any:
        """Give the batches of the rows held out, all of them and never augmented; None where there are none."""
        return self._batches(self.held_out, None) if len(self.held_out) else None

    def _batches(self, rows: Any, change: Callable[[Any, Any], Any] | None) -> Any:
        tf, size = tensorflow(), self.spec.batch
        arrays = [*self.inputs.values(), *self.labels.values()]
        # One call of Python reads many small batches: call by call, it takes as long as a step of a tiny model.
        once = size * max(1, READ_BYTES // (size * sum(array[:1].nbytes for array in arrays)))

        def read(number: Any) -> Any:
            chosen = rows[number * once : (number + 1) * once]
            return [array[chosen] for array in arrays]

        def chunk(number: Any) -> Any:
            values = tf.numpy_function(read, [number], [array.dtype for array in arrays])
            for value, array in zip(values, arrays, strict=True):
                value.set_shape((None, *array.shape[1:]))
            return tuple(values)

        def batch(number: Any, values: Any) -> Any:
            x = dict(zip(self.inputs, values[: len(self.inputs)], strict=True))
            y = dict(zip(self.labels, values[len(self.inputs) :], strict=True))
            x = change(number, x) if change else x
            return (_alone(x), _alone(y)) if y else _alone(x)

        numbers = tf.data.Dataset.range(-(-len(rows) // once))
        chunks = numbers.map(chunk, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        batches = chunks.rebatch(size).apply(tf.data.experimental.assert_cardinality(-(-len(rows) // size)))
        return batches.enumerate().map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _shapes(arrays: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _alone(arrays: dict[str, Any]) -> Any:
    """Give the only array itself, since its name in the dataset need not be the model's."""
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def optimizer(data: Data) -> Any:
    """Build the optimizer that the section asks for; its learning rate goes by all steps of the training."""
    library, spec = keras(generation_here()), data.spec
    rate = _learning_rate(library, spec.schedule, spec.learning_rate, (data.steps, spec.epochs * data.steps))
    return getattr(library.optimizers, OPTIMIZERS[spec.optimizer])(rate)


def _learning_rate(library: Any, schedule: Schedule, rate: float, steps: tuple[int, int]) -> Any:
    """Build the schedule from the steps of an epoch and of all; its place in it is kept with the optimizer's state."""
    warmup = round(schedule.warmup_epochs * steps[0])
    rest = max(1, steps[1] - warmup)
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


def train(
    live: Any,
    data: Data,
    folder: Path,
    *,
    monitor: Monitor | None,
    from_start: bool = False,
    callbacks: Sequence[Any] = (),
) -> Fitted:
    """Train a compiled and built Keras model; `folder` may hold the checkpoint of an earlier run, which goes on.

    Args:
        live: the model. A `train_step` of its own trains `live.trainable_variables` and reports `loss`; its figures,
            and those of its `test_step`, come from metrics in `live.metrics`, else they are those of the last batch.
        data: the samples, and the section.
        folder: gets a checkpoint each epoch; the caller calls `checkpoint.forget` once it has written what was trained.
        monitor: the figure that the best epoch is chosen by, and whether less or more of it is better; without rows
            held out, the training's figure stands for `val_<figure>`. Equal figures go by the lower `val_loss`, then
            by the earlier epoch. Without a monitor the model keeps the last epoch's weights.
        from_start: row 0 of the history is the untrained model on the rows held out, and counts as an epoch.
        callbacks: Keras callbacks; each epoch is a call of `fit`, with the epoch's own number.

    Raises:
        StageError: where the loss becomes NaN or infinite.
    """
    live.optimizer.build(live.trainable_variables)
    checkpoints = Checkpoints(folder, live)
    history = checkpoints.restore()
    if from_start and not history:
        history.append(_untrained(live, data))
        checkpoints.save(history, _best(history, data, monitor))
    while len(history) - from_start < data.spec.epochs and not _is_over(history, data, monitor):
        history.append(_train_epoch(live, data, len(history) - from_start, callbacks))
        checkpoints.save(history, _best(history, data, monitor))
    best = _best(history, data, monitor)
    checkpoints.take(best)
    return Fitted(tuple(history), best)


def _untrained(live: Any, data: Data) -> Figures:
    advance(0, data.spec.epochs * data.steps, "before training")
    batches = data.monitoring()
    if batches is None:
        return {}
    return {f"val_{name}": float(value) for name, value in live.evaluate(batches, verbose=0, return_dict=True).items()}


def _train_epoch(live: Any, data: Data, epoch: int, callbacks: Sequence[Any]) -> Figures:
    steps, epochs = data.steps, data.spec.epochs

    class Watch(keras(generation_here()).callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Figures | None = None) -> None:
            _refuse_infinite((logs or {})["loss"], epoch)
            figures = " ".join(f"{name} {value:.3f}" for name, value in (logs or {}).items())
            advance(epoch * steps + batch + 1, epochs * steps, f"epoch {epoch + 1}/{epochs} {figures}")

    result = live.fit(
        data.epoch(epoch),
        validation_data=data.monitoring(),
        initial_epoch=epoch,
        epochs=epoch + 1,
        shuffle=False,  # the rows come in the epoch's order
        verbose=0,
        callbacks=[Watch(), *callbacks],
    )
    return {name: float(values[-1]) for name, values in result.history.items()}


def _refuse_infinite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise StageError(
            f"the loss became {loss} in epoch {epoch + 1}.",
            "Set training.learning_rate lower, or look at the data.",
        )


def _best(history: list[Figures], data: Data, monitor: Monitor | None) -> int:
    """Give the row whose weights are kept; an early stopping's `min_delta` is what a gain must exceed."""
    if monitor is None:
        return len(history) - 1
    delta = data.spec.early_stopping.min_delta if data.spec.early_stopping else 0.0
    best = 0
    for row in range(1, len(history)):
        score, so_far = _score(history[row], monitor), _score(history[best], monitor)
        losses = (_score(history[index], ("val_loss", "min")) for index in (row, best))
        if score > so_far + delta or (score == so_far and next(losses) > next(losses)):
            best = row
    return best


def _score(figures: Figures, monitor: Monitor) -> float:
    """Give the figure, more of it being better; the worst there is where it is unknown or NaN."""
    name, direction = monitor
    value = figures.get(name, figures.get(name.removeprefix("val_"), math.nan))
    value = -value if direction == "min" else value
    return -math.inf if math.isnan(value) else value


def _is_over(history: list[Figures], data: Data, monitor: Monitor | None) -> bool:
    stop = data.spec.early_stopping
    if stop is None or not history:
        return False
    return len(history) - 1 - _best(history, data, monitor) >= stop.patience
