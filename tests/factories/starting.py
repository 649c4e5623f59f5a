"""Models that scale their input themselves, that remember how it was scaled, and that take more than one."""

from __future__ import annotations

from typing import Any

import numpy as np


def rescaled() -> Any:
    """Scales pixels itself, inside a model in the model."""
    import keras

    layers = keras.layers
    pixels = keras.Input((12, 12, 3))
    inner = keras.Model(pixels, layers.Conv2D(4, 3)(layers.Rescaling(1 / 127.5, -1)(pixels)), name="inner")
    photo = keras.Input((12, 12, 3), name="photo")
    scores = layers.Dense(3, name="logits")(layers.GlobalAveragePooling2D()(inner(photo)))
    return keras.Model(photo, layers.Softmax(name="kind")(scores))


def two_ends() -> Any:
    """Takes two inputs and gives two outputs."""
    import keras

    layers = keras.layers
    left, words = keras.Input((4,), name="left"), keras.Input((None,), dtype="int32", name="words")
    both = layers.Concatenate()([left, layers.GlobalAveragePooling1D()(layers.Embedding(9, 4)(words))])
    outputs = [layers.Dense(1, name="speed")(both), layers.Dense(2, activation="softmax", name="sort")(both)]
    return keras.Model([left, words], outputs)


def remembers(factor: float, offset: float, seen: str) -> Any:
    """Its BatchNormalization has the statistics of the array in file `seen`, scaled by `factor` and `offset`."""
    import keras

    layers = keras.layers
    samples = np.load(seen) * factor + offset
    image = keras.Input(samples.shape[1:], name="image")
    linear = layers.Conv2D(16, 3, padding="same", bias_initializer="random_normal")(image)
    norm = layers.BatchNormalization()
    model = keras.Model(image, layers.Dense(3, activation="softmax")(layers.Flatten()(layers.ReLU()(norm(linear)))))
    values = np.asarray(keras.Model(image, linear)(samples.astype(np.float32)))
    norm.moving_mean.assign(values.mean((0, 1, 2)))
    norm.moving_variance.assign(values.var((0, 1, 2)))
    return model


def untrained() -> Any:
    """Its BatchNormalization has the statistics that it began with."""
    import keras

    layers = keras.layers
    image = keras.Input((12, 12, 3), name="image")
    norm = layers.BatchNormalization()(layers.Conv2D(16, 3)(image))
    return keras.Model(image, layers.Dense(3, activation="softmax")(layers.Flatten()(norm)))
