"""Trainings that a worker runs for the tests of the loop: what is asked in, figures and arrays out."""

from __future__ import annotations

import numpy as np

from tflite_pipeline.train.augment import augmentation
from tflite_pipeline.train.checkpoint import forget
from tflite_pipeline.train.loop import Data, optimizer, train


def pupil(data):
    """A subclassed Keras 2 model that learns from a teacher inside it, with a variable of its own on a layer."""
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(3)
    teacher = tf_keras.Sequential([tf_keras.Input((6,)), tf_keras.layers.Dense(3)])

    class Scaled(tf_keras.layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight("kernel", (shape[-1], 3), initializer="glorot_uniform")
            self.seen = self.add_weight("seen", (), trainable=False, initializer="zeros")

        def call(self, inputs, training=False):
            if training:
                self.seen.assign_add(tf.reduce_mean(tf.abs(inputs)))
            return inputs @ self.kernel / (1.0 + self.seen)

    class Pupil(tf_keras.Model):
        def __init__(self):
            super().__init__()
            self.scaled = Scaled()
            self.factor = self.add_weight("factor", (), initializer="ones")
            self.loss_tracker = tf_keras.metrics.Mean("loss")

        def call(self, inputs, training=False):
            return self.scaled(inputs, training=training) * self.factor

        def train_step(self, inputs):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(inputs, training=True) - teacher(inputs)) ** 2)
            self.optimizer.minimize(loss, self.trainable_variables, tape)
            self.loss_tracker.update_state(loss)
            return {"loss": self.loss_tracker.result()}

        def test_step(self, inputs):
            self.loss_tracker.update_state(tf.reduce_mean((self(inputs) - teacher(inputs)) ** 2), tf.shape(inputs)[0])
            return {"loss": self.loss_tracker.result()}

    live = Pupil()
    live(np.zeros((1, 6), np.float32))
    live.compile(optimizer(data))
    return live


def classifier(data):
    """A Keras 3 classifier of three classes, with dropout."""
    import keras

    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.3), keras.layers.Dense(3)]
    live = keras.Sequential([keras.Input((6,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    live.compile(optimizer(data), loss, metrics=["accuracy"])
    return live


MODELS = {"pupil": pupil, "classifier": classifier}


def run(model, spec, samples, folder, monitor=None, from_start=False, fail_at=None):
    """Train; `fail_at` is the number of the step at which the training is broken off."""
    data = Data.of(samples, spec, 0)
    live = MODELS[model](data)
    before = _weights(live)
    callbacks = [] if fail_at is None else [_failure(fail_at)]
    done = train(live, data, folder, monitor=monitor, from_start=from_start, callbacks=callbacks)
    files = sorted(path.name for path in folder.iterdir())
    forget(folder)
    after = _weights(live)
    rate = float(np.asarray(live.optimizer.learning_rate))
    figures = {"iterations": int(live.optimizer.iterations), "rate": rate, "files": files}
    if data.labels:
        batches = data.monitoring()
        figures["held_out"] = live.evaluate(batches, verbose=0, return_dict=True)
    return done, before, after, figures


def _weights(live):
    """Everything that the model learns or keeps; a metric that it holds is no part of that."""
    figures = {id(variable) for metric in live.metrics for variable in metric.variables}
    return [np.asarray(variable) for variable in live.variables if id(variable) not in figures]


def _failure(step):
    from tflite_pipeline.runtime.tensorflow import generation_here, keras

    class Failure(keras(generation_here()).callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if self.steps == step:
                raise RuntimeError("broken off")

    return Failure()


def augmented(spec, images, key, number=0):
    """What augmentation makes of a batch."""
    import tensorflow as tf

    change = augmentation(spec, "x", key)
    return change(tf.constant(number, tf.int64), {"x": tf.constant(images)})["x"].numpy()


def epoch_batches(spec, samples, epoch):
    """The batches of an epoch and those of the rows held out, as arrays."""
    data = Data.of(samples, spec, 0)
    held_out = data.monitoring()
    return [_arrays(batch) for batch in data.epoch(epoch)], [_arrays(batch) for batch in held_out or ()]


def _arrays(batch):
    if isinstance(batch, tuple):
        return tuple(_arrays(part) for part in batch)
    return {name: part.numpy() for name, part in batch.items()} if isinstance(batch, dict) else batch.numpy()
