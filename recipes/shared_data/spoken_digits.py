"""The Free Spoken Digit Dataset as pictures of sound, and a small network that is not trained yet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

RATE, SAMPLES, FRAME, STEP, BANDS = 8000, 8000, 256, 128, 32
TEST_TAKES = 5


def recordings() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Give the recordings, float32 (3000, 61, 32, 1), and which digits are spoken; the first 300 are for testing.

    The first second of each is cut into frames; of each frame, the logarithm of the power in 32 bands is taken. The
    first five takes of each digit and speaker are for testing, as the dataset's authors propose.
    """
    with np.load(Path(os.environ["TFLITE_PIPELINE_DATA"], "spoken_digits", "fsdd.npz")) as arrays:
        audio, length, digits, takes = (arrays[name] for name in ("audio", "length", "y", "index"))
    ends = np.cumsum(length)
    order = np.argsort(takes >= TEST_TAKES, kind="stable")
    sounds = [audio[ends[row] - length[row] : ends[row]][:SAMPLES] for row in order]
    padded = np.stack([np.pad(sound, (0, SAMPLES - len(sound))) for sound in sounds]) / np.float32(2**15)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME, axis=1)[:, ::STEP]
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME))) ** 2
    return np.log(power @ _bands() + 1e-3).astype(np.float32)[..., None], digits[order]


def _bands() -> npt.NDArray[np.float64]:
    """Give the weight of each frequency in each band, float64 (129, 32): triangles, equally wide on the mel scale."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    at = np.linspace(0, RATE / 2, FRAME // 2 + 1)[:, None]
    return np.maximum(0, np.minimum((at - low) / (middle - low), (high - at) / (high - middle)))


def network() -> Any:
    """Build the network, with random weights."""
    import keras  # noqa: TID251

    layers = keras.layers
    x = image = keras.Input((61, BANDS, 1), name="sound")
    for filters in (16, 32, 48):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Dense(10, activation="softmax", name="digit")(x))
