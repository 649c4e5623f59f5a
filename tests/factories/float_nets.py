"""Small networks whose graphs move the batch about: attention, recurrence, several frames a sample, one dimension."""

from __future__ import annotations


def transformer():
    """Token numbers in; embedding with positions, two blocks of attention with layer normalization."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    ids = keras.Input((12,), dtype="int32", name="ids")
    x = layers.Embedding(20, 16)(ids) + layers.Embedding(12, 16)(keras.ops.arange(12))
    for _ in range(2):
        x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 4)(x, x))
        x = layers.LayerNormalization()(x + layers.Dense(16)(layers.Dense(32, activation="gelu")(x)))
    return keras.Model(ids, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(x)))


def patches():
    """Patches of an image behind a constant token, causal attention, and the first token of the result."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Reshape((16, 16))(layers.Conv2D(16, 8, 8)(image))
    x = layers.Concatenate(axis=1)([layers.Dense(16, bias_initializer="normal")(keras.ops.zeros_like(x[:, :1])), x])
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 4)(x, x, use_causal_mask=True))
    return keras.Model(image, layers.Dense(3, activation="softmax")(x[:, 0]))


def sequence():
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    steps = keras.Input((50, 4), name="steps")
    x = layers.MaxPooling1D(2)(layers.Conv1D(8, 5, activation="relu")(steps))
    x = layers.SeparableConv1D(12, 3, padding="same")(x)
    x = layers.Conv1D(8, 3, dilation_rate=2, padding="causal", activation="elu")(x)
    return keras.Model(steps, layers.Dense(3)(layers.GlobalMaxPooling1D()(x)))


def u_net():
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    fine = layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    x = layers.Conv2D(16, 3, 2, padding="same", activation="swish")(fine)
    x = layers.Concatenate()([fine, layers.Conv2DTranspose(8, 3, 2, padding="same")(x)])
    x = layers.UpSampling2D(2)(layers.UpSampling2D(2, interpolation="bilinear")(x))
    return keras.Model(image, layers.Conv2D(2, 1, activation="sigmoid")(x))


def unrolled():
    """Steps come first in the graph of a recurrent layer that is unrolled; one layer reads them backwards."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    steps = keras.Input((6, 5), name="steps")
    x = layers.LSTM(6, unroll=True, return_sequences=True)(steps)
    x = layers.Bidirectional(layers.GRU(4, unroll=True))(x)
    return keras.Model(steps, layers.Dense(3, activation="softmax")(x))


def frames():
    """The same convolution over each frame."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    film = keras.Input((4, 16, 16, 3), name="film")
    x = layers.TimeDistributed(layers.Conv2D(4, 3, activation="relu"))(film)
    x = layers.TimeDistributed(layers.Dense(5))(layers.TimeDistributed(layers.GlobalAveragePooling2D())(x))
    return keras.Model(film, layers.Dense(2)(layers.Flatten()(x)))


def groups():
    """Convolutions by groups, with dilation, channels that are shuffled, and group normalization."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 8), name="image")
    x = layers.Conv2D(16, 3, groups=4, padding="same", activation="relu")(image)
    x = layers.Reshape((16, 16, 16))(layers.Permute((1, 2, 4, 3))(layers.Reshape((16, 16, 4, 4))(x)))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(layers.Conv2D(8, 3, dilation_rate=2)(x))
    return keras.Model(image, layers.GroupNormalization(4)(layers.DepthwiseConv2D(3, dilation_rate=2)(x)))
