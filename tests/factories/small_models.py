"""Small models for tests, built by the Keras of the worker that calls."""

from __future__ import annotations


def two_outputs():
    """Outputs whose order in Keras is not that of the alphabet; one input keeps its odd name."""
    import keras

    image = keras.Input((8, 8, 1), name="zebra")
    extra = keras.Input((3,), name="apple")
    flat = keras.layers.Flatten()(image)
    joined = keras.layers.Concatenate()([flat, extra])
    scores = keras.layers.Dense(4, activation="softmax", name="scores")(joined)
    box = keras.layers.Dense(2, name="box")(joined)
    return keras.Model([image, extra], [scores, box])


def with_open_size():
    import keras

    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Conv2D(4, 3, activation="relu")(image)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


def two_outputs_keras2():
    import tf_keras

    image = tf_keras.Input((4,), name="image")
    first = tf_keras.layers.Dense(3, name="zulu")(image)
    second = tf_keras.layers.Dense(2, name="alpha")(image)
    return tf_keras.Model(image, [first, second])


def digits_classifier():
    import keras

    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def three_alike():
    """Inputs of one shape whose order is neither that of the alphabet nor its reverse."""
    import keras

    inputs = [keras.Input((4,), name=name) for name in ("mango", "apple", "zebra")]
    branches = [keras.layers.Dense(3, name=f"dense_{number}")(tensor) for number, tensor in enumerate(inputs)]
    return keras.Model(inputs, keras.layers.Concatenate(name="joined")([branches[2], branches[0], branches[1]]))


def digits_classifier_keras2():
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 1)),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(32, activation="relu"),
            tf_keras.layers.Dense(10, activation="softmax"),
        ]
    )


def normalized_digits():
    """A BatchNormalization inside a nested model, with statistics unlike those of the digits."""
    import keras

    inner = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.BatchNormalization()])
    image = keras.Input((8, 8, 1))
    return keras.Model(image, keras.layers.Dense(10, activation="softmax")(inner(image)))
