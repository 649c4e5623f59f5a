"""One network whose layers bear names that are easily mistaken for each other, in both generations of Keras."""

from __future__ import annotations

from typing import Any


def keras3() -> Any:
    import keras

    return _network(keras)


def keras2() -> Any:
    import tf_keras

    return _network(tf_keras)


def _network(keras: Any) -> Any:
    """`conv_1` runs before `conv`, `add` is what a BatchNormalization does too, `twice` is called twice."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(4, 3, use_bias=False, name="conv_1")(image)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.DepthwiseConv2D(3, name="conv")(x)
    left, right = layers.Conv2D(4, 1, name="conv_2")(x), layers.Conv2D(4, 1, name="conv_3")(x)
    x = layers.Flatten(name="flat")(layers.Add(name="add")([left, right]))
    twice = layers.Dense(16, activation="relu", name="twice")
    x = layers.Dense(4, name="scores")(twice(twice(x)))
    model = keras.Model(image, layers.Softmax(name="shares")(x))
    for weight in model.weights:
        # A BatchNormalization that was never trained does nothing, and the converter drops it.
        weight.assign(weight + 0.1)
    return model
