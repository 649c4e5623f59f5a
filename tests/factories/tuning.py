"""Small networks over the 8 x 8 digits, what is trained of them, and single roundings: for workers."""

from __future__ import annotations

import numpy as np


def everything():
    """Both convolutions, a residual sum, a concatenation, average pooling and a reshape, on the way to ten classes."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = _normalized(layers.Conv2D(8, 3, 2, padding="same", use_bias=False), image)
    y = _normalized(layers.DepthwiseConv2D(3, padding="same", use_bias=False), x)
    y = layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False)(y))
    x = layers.ReLU()(layers.Add(name="sum")([x, y]))
    wide = _normalized(layers.Conv2D(8, 3, padding="same", use_bias=False), x)
    x = layers.Concatenate(name="joined")([layers.MaxPooling2D(2)(x), layers.AveragePooling2D(2)(wide)])
    x = layers.Dense(24, activation="relu", name="hidden")(layers.Flatten(name="flat")(x))
    return _fitted(keras.Model(image, layers.Dense(10, activation="softmax", name="scores")(x)))


def plain_conv():
    """Two convolutions and a dense layer with a softmax."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, 2, padding="same", activation="relu", name="first")(image)
    x = layers.Conv2D(16, 3, 2, padding="same", activation="relu", name="second")(x)
    x = layers.Flatten()(x)
    return _fitted(keras.Model(image, layers.Dense(10, activation="softmax", name="scores")(x)))


def two_by_two():
    """Two inputs and two outputs, in no order of the alphabet: classes, and two numbers."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image, extra = keras.Input((8, 8, 1), name="zebra"), keras.Input((5,), name="apple")
    x = layers.Flatten()(layers.Conv2D(4, 3, 2, activation="relu")(image))
    joined = layers.Concatenate()([x, layers.Dense(6, activation="tanh")(extra)])
    scores = layers.Dense(10, activation="softmax", name="scores")(joined)
    return keras.Model([image, extra], [scores, layers.Dense(2, name="box")(joined)])


def heads(kind):
    """One dense layer, and what makes its last values an answer: softmax, sigmoid, nothing, or a class each pixel."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    if kind == "pixels":
        x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
        return keras.Model(image, layers.Conv2D(3, 1, activation="softmax", name="answer")(x))
    units, activation = {"softmax": (10, "softmax"), "sigmoid": (1, "sigmoid"), "linear": (2, None)}[kind]
    return keras.Model(image, layers.Dense(units, activation=activation, name="answer")(layers.Flatten()(image)))


def _normalized(layer, tensor):
    from keras import layers

    return layers.ReLU()(layers.BatchNormalization()(layer(tensor)))


def digits():
    """The images, float32 in -1 to 1, and their classes."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    return (images.reshape(-1, 8, 8, 1) / 8 - 1).astype(np.float32), classes.astype(np.int64)


def _fitted(model):
    """Train a little, so that training on the graph has something to keep."""
    import keras

    images, classes = digits()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(images[:640], classes[:640], 64, 4, shuffle=False, verbose=0)
    return model


def rounded_activation(values, low, high, kind):
    """The rounded values, and the gradients of their sum for values and ends."""
    import tensorflow as tf

    from tflite_pipeline.train.tune.quantizers import round_activation

    x, ends = tf.constant(values), [tf.constant(end, tf.float32) for end in (low, high)]
    with tf.GradientTape() as tape:
        tape.watch([x, *ends])
        rounded = round_activation(x, *ends, kind)
    gradients = tape.gradient(rounded, [x, *ends], unconnected_gradients="zero")
    return [np.asarray(part) for part in (rounded, *gradients)]


def rounded_exactly(values, kind, kernel):
    import tensorflow as tf

    from tflite_pipeline.train.tune.quantizers import round_exactly

    return np.asarray(round_exactly(tf.constant(values, tf.float64), kind, kernel))


def rounded_constant(values, steps, fraction=1.0):
    """The rounded values, and the gradients of their weighted sum for the values and the fraction."""
    import tensorflow as tf

    from tflite_pipeline.train.tune.quantizers import round_constant

    x, share = tf.constant(values), tf.constant(fraction, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([x, share])
        rounded = round_constant(x, steps, share)
        total = tf.reduce_sum(rounded * tf.reshape(tf.range(1.0, values.size + 1), values.shape))
    return [None if part is None else np.asarray(part) for part in (rounded, *tape.gradient(total, [x, share]))]


def judged(spec, outputs, losses, values, labels):
    """The figures of a batch without a teacher; `values` are the activations by number of the tensor."""
    import tensorflow as tf

    from tflite_pipeline.train.tune.lesson import Lesson

    seen = {number: tf.constant(array) for number, array in values.items()}
    figures = Lesson(spec, outputs, losses, None).judge([], [seen[one.number] for one in outputs], seen, labels)
    return {name: float(value) for name, value in figures.items()}


def untrained(reference, draft, inputs):
    """The network before training: its outputs, how many gradients are missing, and its variables by name."""
    import tensorflow as tf

    from tflite_pipeline.runtime.grids import read_grids
    from tflite_pipeline.train.tune.graph import read_float_graph
    from tflite_pipeline.train.tune.lesson import Lesson
    from tflite_pipeline.train.tune.network import Computation, Rounding, build_network
    from tflite_pipeline.train.tune.weights import Bonds, Weights

    graph = read_float_graph(reference.path)
    grids = read_grids(reference.path, draft, False) if draft else None
    weights = Weights(graph, {}, grids.constants if grids else {}, Bonds())
    names = tuple(info.name for info in reference.inputs)
    rounding = Rounding(grids) if grids else None
    network = build_network(Computation(graph, names, weights, rounding, Lesson(None, (), {}, None)))
    with tf.GradientTape() as tape:
        outputs = network(inputs)
        total = tf.add_n([tf.reduce_sum(tf.square(output)) for output in outputs])
    gradients = tape.gradient(total, network.trainable_variables)
    return {
        "outputs": [np.asarray(output) for output in outputs],
        "missing": sum(gradient is None for gradient in gradients),
        "variables": {one.name.split(":")[0]: np.asarray(one) for one in network.trainable_variables},
        "final": weights.final(),
        "ranges": rounding.trained() if rounding else {},
    }


def bound(reference, bonds):
    """What a file holds of kernels under masks and in clusters, before any training."""
    import tf_keras

    from tflite_pipeline.train.tune.graph import read_float_graph
    from tflite_pipeline.train.tune.weights import Weights

    weights, network = Weights(read_float_graph(reference.path), {}, {}, bonds), tf_keras.Model()
    weights.add_to(network)
    return weights.final(), [variable.name.split(":")[0] for variable in network.trainable_variables]
