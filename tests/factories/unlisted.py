"""Networks of the kinds that people bring along, untrained, and samples for each; named alike in `NETWORKS`."""

from __future__ import annotations

import numpy as np

ROWS = 64


def network(name, keras=3):
    """Build a network by the Keras of this generation."""
    import importlib

    library = importlib.import_module("keras" if keras == 3 else "tf_keras")
    library.utils.set_random_seed(4)
    return NETWORKS[name](library)


def samples(name):
    """Give random inputs and labels of a network."""
    random = np.random.default_rng(4)
    inputs, labels = SAMPLES.get(name, ({"x": IMAGES}, {"": 4}))
    return (
        {key: _draw(random, shape) for key, shape in inputs.items()},
        {
            key: random.integers(0, kind, ROWS) if type(kind) is int else _draw(random, kind)
            for key, kind in labels.items()
        },
    )


def _draw(random, shape):
    if "numbers below" in shape:
        return random.integers(0, shape[-1], (ROWS, *shape[:-2])).astype(np.int32)
    return random.normal(size=(ROWS, *shape)).astype(np.float32)


IMAGES = (16, 16, 3)
TOKENS = (12, "numbers below", 20)


def transfer(keras):
    """A nested backbone with a head."""
    backbone = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)
    image = keras.Input((32, 32, 3), name="x")
    x = keras.layers.GlobalAveragePooling2D()(backbone(image, training=False))
    return keras.Model(image, keras.layers.Dense(4, activation="softmax")(keras.layers.Dropout(0.2)(x)))


def two_by_two(keras):
    layers = keras.layers
    image, facts = keras.Input((8, 8, 1), name="image"), keras.Input((4,), name="facts")
    seen = layers.Flatten()(layers.Conv2D(4, 3, strides=2, activation="relu")(image))
    both = layers.Dense(8, activation="relu")(layers.Concatenate()([seen, layers.Dense(4)(facts)]))
    kind, size = layers.Dense(3, activation="softmax", name="kind")(both), layers.Dense(1, name="size")(both)
    return keras.Model([image, facts], {"kind": kind, "size": size})


def sound(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((128, 1), name="x"),
            layers.Conv1D(8, 9, strides=4, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling1D(2),
            layers.Conv1D(8, 3, padding="causal", activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(4, activation="softmax"),
        ]
    )


def lstm(keras):
    layers = keras.layers
    return keras.Sequential([keras.Input((6, 4), name="x"), layers.LSTM(5), layers.Dense(4, activation="softmax")])


def gru(keras):
    layers = keras.layers
    return keras.Sequential([keras.Input((6, 4), name="x"), layers.GRU(5), layers.Dense(4, activation="softmax")])


def transformer(keras):
    layers, ops = keras.layers, keras.ops
    tokens = keras.Input((12,), dtype="int32", name="x")
    x = layers.Embedding(20, 16)(tokens) + layers.Embedding(12, 16)(ops.arange(12))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(16)(layers.Dense(32, activation="gelu")(x)))
    return keras.Model(tokens, layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling1D()(x)))


def unet(keras):
    layers = keras.layers
    image = keras.Input(IMAGES, name="x")
    first = layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    deep = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D()(first))
    up = layers.Conv2DTranspose(8, 2, strides=2, activation="relu")(deep)
    both = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.Concatenate()([first, up]))
    return keras.Model(image, layers.Conv2D(3, 1, activation="softmax")(both))


def unet_to_images(keras):
    layers = keras.layers
    image = keras.Input(IMAGES, name="x")
    down = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    return keras.Model(image, layers.Conv2DTranspose(3, 3, strides=2, padding="same")(down))


def with_lambda(keras):
    layers = keras.layers
    image = keras.Input(IMAGES, name="x")
    x = layers.Lambda(lambda value: value * 2.0 - 1.0, output_shape=IMAGES)(image)
    x = layers.Flatten()(layers.Conv2D(4, 3, strides=2, activation="relu")(x))
    return keras.Model(image, layers.Dense(4, activation="softmax")(x))


def subclassed(keras):
    class Classifier(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = keras.layers.Conv2D(4, 3, strides=2, activation="relu")
            self.pool = keras.layers.GlobalAveragePooling2D()
            self.scores = keras.layers.Dense(4, activation="softmax")

        def call(self, x):
            return self.scores(self.pool(self.conv(x)))

    model = Classifier()
    model(np.zeros((1, *IMAGES), np.float32))
    return model


def shared(keras):
    """One tower for two images, as in nets that compare."""
    layers = keras.layers
    left, right = keras.Input(IMAGES, name="left"), keras.Input(IMAGES, name="right")
    conv, dense = layers.Conv2D(4, 3, strides=2, activation="relu"), layers.Dense(8, activation="relu")
    towers = [dense(layers.GlobalAveragePooling2D()(conv(image))) for image in (left, right)]
    return keras.Model([left, right], layers.Dense(1, activation="sigmoid")(layers.Subtract()(towers)))


def logits(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(IMAGES, name="x"),
            layers.Conv2D(4, 3, strides=2),
            layers.ReLU(6.0),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )


NETWORKS = {
    "transfer": transfer,
    "two_by_two": two_by_two,
    "sound": sound,
    "lstm": lstm,
    "gru": gru,
    "transformer": transformer,
    "unet": unet,
    "unet_to_images": unet_to_images,
    "with_lambda": with_lambda,
    "subclassed": subclassed,
    "shared": shared,
    "logits": logits,
}
SAMPLES = {
    "transfer": ({"x": (32, 32, 3)}, {"": 4}),
    "two_by_two": ({"image": (8, 8, 1), "facts": (4,)}, {"kind": 3, "size": (1,)}),
    "sound": ({"x": (128, 1)}, {"": 4}),
    "lstm": ({"x": (6, 4)}, {"": 4}),
    "gru": ({"x": (6, 4)}, {"": 4}),
    "transformer": ({"x": TOKENS}, {"": 4}),
    "unet": ({"x": IMAGES}, {"": (16, 16, "numbers below", 3)}),
    "unet_to_images": ({"x": IMAGES}, {"": IMAGES}),
    "shared": ({"left": IMAGES, "right": IMAGES}, {"": 2}),
}
