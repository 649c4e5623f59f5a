"""Make the tiny `.tflite` files of this folder (seeded): python tests/data/make_tiny.py. They are committed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

FOLDER = Path(__file__).parent
SIZE = 16


def classifier(units: int = 80) -> Any:
    inputs = keras.Input((SIZE,), name="features")
    hidden = keras.layers.Dense(units, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(4, activation="softmax", name="scores")(hidden))


def two_by_two() -> Any:
    zoom, angle = keras.Input((3,), name="zoom"), keras.Input((2,), name="angle")
    joined = keras.layers.Concatenate()([zoom, angle])
    width = keras.layers.Dense(3, name="width")(joined)
    area = keras.layers.Dense(2, name="area")(joined)
    return keras.Model([zoom, angle], {"width": width, "area": area})


def island() -> Any:
    inputs = keras.Input((SIZE,), name="features")
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    # LiteRT has no integer kernel for atan2.
    hidden = keras.layers.Lambda(lambda x: tf.math.atan2(x, tf.ones_like(x)), output_shape=(8,))(hidden)
    return keras.Model(inputs, keras.layers.Dense(4, name="scores")(hidden))


def recurrent() -> Any:
    # Keras 2: its LSTM becomes one op with variable tensors for the state, that of Keras 3 becomes a loop.
    inputs = tf_keras.Input((5, 3), name="steps")
    return tf_keras.Model(inputs, tf_keras.layers.Dense(2, name="scores")(tf_keras.layers.LSTM(4)(inputs)))


def conv_net() -> Any:
    """Both kinds of convolution, which share their bias, a sum, and two dense layers: of depth 128, and 12."""
    biases = {"bias_initializer": keras.initializers.RandomUniform(-0.3, 0.3, seed=1)}
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Conv2D(8, 3, 2, padding="same", activation="relu", name="conv", **biases)(image)
    y = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu6", name="depthwise", **biases)(x)
    x = keras.layers.Flatten(name="flat")(keras.layers.Add(name="sum")([x, y]))
    x = keras.layers.Dense(12, activation="relu", name="hidden", **biases)(x)
    return keras.Model(image, keras.layers.Dense(4, activation="softmax", name="scores", **biases)(x))


def upscale() -> Any:
    image = keras.Input((4, 4, 8), name="image")
    return keras.Model(image, keras.layers.Conv2DTranspose(4, 3, 2, padding="same", bias_initializer="normal")(image))


class Lookup(tf.Module):
    """Two kinds of inputs that are not quantized: row numbers, and a number without any dimension."""

    @tf.function(input_signature=[tf.TensorSpec((1, 3), tf.int32, "ids"), tf.TensorSpec((), tf.float32, "gain")])
    def serve(self, ids: Any, gain: Any) -> Any:
        table = tf.reshape(tf.range(10, dtype=tf.float32), (5, 2))
        return {"rows": tf.gather(table, ids) * gain, "total": tf.reduce_sum(ids, axis=1)}


class Inverse(tf.Module):
    """An op that LiteRT does not have: TensorFlow's where that is allowed, else a custom one."""

    @tf.function(input_signature=[tf.TensorSpec((1, 2, 2), tf.float32, "matrix")])
    def serve(self, matrix: Any) -> Any:
        return {"inverse": tf.linalg.inv(matrix)}


def convert_function(module: Any, name: str, *op_sets: Any, custom: bool = False) -> None:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.serve.get_concrete_function()], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, *op_sets]
    converter.allow_custom_ops = custom
    (FOLDER / f"{name}.tflite").write_bytes(converter.convert())


def samples(shape: tuple[int, ...]) -> Any:
    rows = np.random.default_rng(0).normal(size=(64, *shape)).astype(np.float32)
    return lambda: ([row[None]] for row in rows)


def convert(model: Any, name: str, batch: int | None = 1, **options: Any) -> None:
    specs = [tf.TensorSpec((batch, *x.shape[1:]), tf.float32, name=x.name) for x in model.inputs]

    @tf.function(input_signature=specs)
    def serve(*values: Any) -> Any:
        outputs = model(list(values))
        return outputs if isinstance(outputs, dict) else {"scores": outputs}

    with tempfile.TemporaryDirectory() as folder:
        # A Keras 3 model does not show its variables to tf.saved_model; a plain module holds them for it.
        module = tf.Module()
        module.held = [v.value if isinstance(v, keras.Variable) else v for v in model.variables]
        tf.saved_model.save(module, folder, signatures=serve)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        for key, value in options.items():
            holder = converter.target_spec if key.startswith("supported") else converter
            setattr(holder, key, value)
        (FOLDER / f"{name}.tflite").write_bytes(converter.convert())


def main() -> None:
    keras.utils.set_random_seed(0)
    tf_keras.utils.set_random_seed(0)
    model = classifier()
    small = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    calibrated = {**small, "representative_dataset": samples((SIZE,))}
    integer = {**calibrated, "supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]}
    convert(model, "float32")
    convert(model, "float32_dynamic_batch", batch=None)
    convert(model, "float32_batch4", batch=4)
    convert(model, "float16", **small, supported_types=[tf.float16])
    convert(model, "dynamic_int8", **small)
    convert(classifier(units=8), "dynamic_int8_too_small", **small)
    convert(model, "full_int8_float_io", **integer)
    for dtype in (tf.int8, tf.uint8):
        io = {"inference_input_type": dtype, "inference_output_type": dtype}
        convert(model, f"full_int8_{dtype.name}_io", **integer, **io)
    mode = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    convert(model, "int16x8", **calibrated, supported_ops=[mode])
    convert(two_by_two(), "two_by_two")
    convert_function(Lookup(), "lookup")
    convert_function(Inverse(), "flex_op", tf.lite.OpsSet.SELECT_TF_OPS)
    convert_function(Inverse(), "custom_op", custom=True)
    convert(island(), "float_island", **calibrated)
    convert(recurrent(), "lstm_float32")
    convert(recurrent(), "lstm_full_int8", **{**integer, "representative_dataset": samples((5, 3))})
    for build in (conv_net, upscale):
        keras.utils.set_random_seed(0)
        convert(build(), build.__name__)


if __name__ == "__main__":
    main()
