"""Nets with recurrent layers, and with ops that quantizers fail at, built by the Keras of the worker that calls."""

from __future__ import annotations

STEPS = 7
FEATURES = 4


def library():
    """The Keras of this worker."""
    from tflite_pipeline.runtime.tensorflow import generation_here, keras

    return keras(generation_here())


def chain(*layers, shape=(STEPS, FEATURES)):
    keras = library()
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input(shape), *layers])


def lstm():
    return chain(library().layers.LSTM(5, name="memory"))


def gru():
    return chain(library().layers.GRU(5, name="memory"))


def cells():
    layers = library().layers
    return chain(layers.RNN([layers.LSTMCell(5), layers.SimpleRNNCell(4)], name="memory"))


def bidirectional():
    layers = library().layers
    return chain(layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both"), layers.GRU(3, name="memory"))


def masked():
    layers = library().layers
    return chain(layers.Masking(), layers.LSTM(4, return_sequences=True, name="memory"), layers.GRU(3, name="last"))


def nested():
    layers = library().layers
    inner = chain(layers.LSTM(4, return_sequences=True, name="memory"))
    return chain(inner, layers.SimpleRNN(3, name="last"))


def distributed():
    layers = library().layers
    return chain(layers.TimeDistributed(layers.LSTM(4, name="memory")), shape=(3, STEPS, FEATURES))


def lstm_and_gru():
    layers = library().layers
    return chain(layers.LSTM(4, return_sequences=True, name="memory"), layers.GRU(3, name="last"))


def too_long():
    return chain(library().layers.LSTM(2, name="memory"), shape=(200, FEATURES))


def image_memory():
    return chain(library().layers.ConvLSTM2D(2, 3, name="memory"), shape=(3, 6, 6, 1))


def activations():
    """ELU, one with alpha, CELU and LayerNormalization."""
    keras = library()
    layers = keras.layers
    return chain(
        layers.Dense(8),
        layers.LayerNormalization(name="norm"),
        layers.ELU(),
        layers.Dense(8),
        layers.ELU(0.5),
        layers.Dense(8, activation="celu"),
        layers.UnitNormalization(),
        layers.Dense(3),
    )
