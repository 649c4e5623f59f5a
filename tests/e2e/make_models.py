"""Make the tiny models that the cases of this folder read, sound ones and odd ones: python make_models.py FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tf_keras

FEATURES, CLASSES = 4, 3


@keras.saving.register_keras_serializable(package="elsewhere")
class Twice(keras.layers.Layer):
    """A layer that only this script knows."""

    def call(self, inputs: Any) -> Any:
        return inputs * 2


def classifier(library: Any, *between: Any) -> Any:
    inputs = library.Input((FEATURES,), name="features")
    hidden = library.layers.Dense(8, activation="relu")(inputs)
    for layer in between:
        hidden = layer(hidden)
    return library.Model(inputs, library.layers.Dense(CLASSES, activation="softmax", name="scores")(hidden))


def two_inputs() -> Any:
    zoom, angle = keras.Input((3,), name="zoom"), keras.Input((2,), name="angle")
    joined = keras.layers.Concatenate()([zoom, angle])
    return keras.Model([zoom, angle], keras.layers.Dense(CLASSES, name="scores")(joined))


def main(folder: Path) -> None:
    keras.utils.set_random_seed(0)
    tf_keras.utils.set_random_seed(0)
    third, second = classifier(keras), classifier(tf_keras)
    third.save(folder / "keras3.keras")
    third.save(folder / "keras3.h5")
    third.save_weights(folder / "only.weights.h5")
    second.save(folder / "keras2.keras")
    second.save(folder / "keras2.h5")
    classifier(keras, keras.layers.Lambda(lambda x: x * 2, name="double")).save(folder / "lambda.keras")
    classifier(keras, Twice(name="twice")).save(folder / "custom.keras")
    two_inputs().save(folder / "two_inputs.keras")
    module = tf.Module()
    module.held = [variable.value for variable in third.variables]
    specs = [tf.TensorSpec((None, FEATURES), tf.float32, name="features")]
    serve = tf.function(lambda features: {"scores": third(features)}, input_signature=specs)
    tf.saved_model.save(module, str(folder / "saved_model"), signatures=serve)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
