"""Small networks of the families that people quantize, and what the public TFLiteConverter makes of them."""

from __future__ import annotations

import numpy as np


def convert_publicly(saved_model, samples, folder):
    """Write the converter's files under its own calibration; `calibrated` is still float, its tensors have ranges."""
    import tensorflow as tf

    def representative():
        return (
            {name: rows[i : i + 1] for name, rows in samples.items()} for i in range(len(next(iter(samples.values()))))
        )

    int16 = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    for kind in ("calibrated", "full_int8", "int16x8"):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [int16 if kind == "int16x8" else tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int16 if kind == "int16x8" else tf.int8
        converter._experimental_calibrate_only = kind == "calibrated"
        (folder / f"{kind}.tflite").write_bytes(converter.convert())


def quantize_with_another_tensorflow(job):
    """Quantize where TensorFlow lacks a function that the engine calls, as a later release may."""
    from tensorflow.lite.python import convert

    from tflite_pipeline.convert.engines import mlir

    function = convert.mlir_quantize
    del convert.mlir_quantize
    try:
        return mlir.quantize(job)
    finally:
        convert.mlir_quantize = function


def _settled(model):
    """Let noise set the statistics of batch normalization: with the first ones, deep activations vanish."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.5
    noise = np.random.default_rng(0)
    for _ in range(6):
        inputs = [noise.uniform(-1, 1, (16, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
        model(inputs, training=True)
    return model


def mobilenet_v2():
    import keras

    keras.utils.set_random_seed(0)
    return _settled(keras.applications.MobileNetV2((64, 64, 3), alpha=0.35, weights=None, classes=10))


def efficientnet_b0():
    """Squeeze and excitation, swish, and scaling of the input inside the model."""
    import keras

    keras.utils.set_random_seed(0)
    return _settled(keras.applications.EfficientNetB0(input_shape=(32, 32, 3), weights=None, classes=10))


def resnet8():
    """Three residual blocks, two with a convolution on the way round."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = _normalized(layers.Conv2D(16, 3, padding="same"), image)
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = _normalized(layers.Conv2D(filters, 3, strides, padding="same"), x)
        y = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(y))
        way_round = x if strides == 1 else layers.Conv2D(filters, 1, strides, padding="same")(x)
        x = layers.ReLU()(layers.Add()([way_round, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return _settled(keras.Model(image, layers.Dense(10, activation="softmax")(x)))


def ds_cnn():
    """Keyword spotting: depthwise separable convolutions over 49 frames of 10 coefficients."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    frames = keras.Input((49, 10, 1), name="frames")
    x = layers.Dropout(0.2)(_normalized(layers.Conv2D(64, (10, 4), 2, padding="same"), frames))
    for _ in range(4):
        x = _normalized(layers.DepthwiseConv2D(3, padding="same"), x)
        x = _normalized(layers.Conv2D(64, 1, padding="same"), x)
    x = layers.Flatten()(layers.AveragePooling2D((25, 5))(x))
    return _settled(keras.Model(frames, layers.Dense(12, activation="softmax")(x)))


def two_inputs():
    """Two inputs of different shapes that meet in a concatenation, and two outputs."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="zebra")
    extra = keras.Input((5,), name="apple")
    x = _normalized(layers.Conv2D(8, 3, 2), image)
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x))
    joined = layers.Concatenate()([x, layers.Dense(6, activation="tanh")(extra)])
    scores = layers.Dense(4, activation="softmax", name="scores")(joined)
    return _settled(keras.Model([image, extra], [scores, layers.Dense(2, activation="sigmoid", name="box")(joined)]))


def rescaled():
    """Constants that ops read as they read activations, and HARD_SWISH, for which there is no int16."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    row = keras.Input((6,), name="row")
    x = layers.Dense(5, activation="hard_silu")(layers.Rescaling(np.linspace(0.5, 2, 6), np.linspace(1, 3, 6))(row))
    return keras.Model(row, layers.Dense(3, activation="softmax")(x))


def lstm():
    import keras

    keras.utils.set_random_seed(0)
    frames = keras.Input((6, 5), name="frames")
    return keras.Model(frames, keras.layers.Dense(3, activation="softmax")(keras.layers.LSTM(4)(frames)))


def _normalized(layer, tensor):
    from keras import layers

    return layers.ReLU()(layers.BatchNormalization()(layer(tensor)))
