"""Make the tiny models that the cases of this folder read, sound ones and odd ones: python make_models.py FOLDER."""

from __future__ import annotations

import sys
import tempfile
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


def convolutions() -> Any:
    """A small net of the usual layers, one of which has no int4 kernel."""
    image = keras.Input((8, 8, 3), name="image")
    hidden = keras.layers.Conv2D(8, 3, activation="relu", name="conv")(image)
    hidden = keras.layers.DepthwiseConv2D(3, activation="relu", name="depthwise")(hidden)
    hidden = keras.layers.GlobalAveragePooling2D(name="pool")(hidden)
    hidden = keras.layers.Dense(32, activation="relu", name="hidden")(hidden)
    return keras.Model(image, keras.layers.Dense(CLASSES, name="scores")(hidden), name="images")


def recurrent(library: Any, length: int = 5) -> Any:
    """A loop under Keras 3, a fused op under Keras 2."""
    steps = library.Input((length, FEATURES), name="steps")
    hidden = library.layers.LSTM(6, name="lstm")(steps)
    return library.Model(steps, library.layers.Dense(CLASSES, name="scores")(hidden), name="loop")


def float_file(model: Any, *signatures: str) -> bytes:
    """Convert as another program might have done; the results of signature n are n times those of the model."""
    module = tf.Module()
    module.held = [variable.value for variable in model.variables]
    (entry,) = model.inputs
    specs = [tf.TensorSpec((1, *entry.shape[1:]), tf.float32, name=entry.name)]
    calls = {
        name: tf.function(lambda x, times=times: {"scores": model(x) * times}, input_signature=specs)
        for times, name in enumerate(signatures, 1)
    }
    with tempfile.TemporaryDirectory() as saved:
        tf.saved_model.save(module, saved, signatures=calls)
        return bytes(tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=list(signatures)).convert())


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
    images = convolutions()
    images.save(folder / "convolutions.keras")
    (folder / "convolutions.tflite").write_bytes(float_file(images, "serving_default"))
    (folder / "two_signatures.tflite").write_bytes(float_file(third, "once", "twice"))
    cube, conv = keras.layers.Reshape((2, 2, 2, 1)), keras.layers.Conv3D(2, 2, name="solid")
    classifier(keras, cube, conv, keras.layers.Flatten()).save(folder / "solid.keras")
    recurrent(keras).save(folder / "recurrent3.keras")
    recurrent(tf_keras).save(folder / "recurrent2.h5")
    recurrent(keras, 200).save(folder / "long.keras")
    module = tf.Module()
    module.held = [variable.value for variable in third.variables]
    specs = [tf.TensorSpec((None, FEATURES), tf.float32, name="features")]
    serve = tf.function(lambda features: {"scores": third(features)}, input_signature=specs)
    tf.saved_model.save(module, str(folder / "saved_model"), signatures=serve)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
