"""Networks with random weights that behave like trained ones: activations neither vanish nor explode."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def save_mobilenet_v2(path: Path, size: int = 224) -> None:
    """Save a MobileNetV2 whose BatchNormalization statistics are those of its own activations on noise.

    As `keras.applications` makes it, without weights, every block shrinks its input: the last activations are 1e-8.
    """
    import keras

    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(weights=None, input_shape=(size, size, 3))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.5
    for _ in range(6):
        model(images(8, size), training=True)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.99
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 40, bias])  # a trained classifier is sure of its answers
    model.save(path)


def images(count: int, size: int = 224, seed: int = 0) -> np.ndarray:
    """Give random images, float32 in -1..1, [count, size, size, 3]: noise on a coarse grid, enlarged, and some fine."""
    noise = np.random.default_rng(seed)
    coarse = noise.uniform(-1, 1, (count, 8, 8, 3)).repeat(size // 8, axis=1).repeat(size // 8, axis=2)
    fine = noise.normal(0, 0.2, (count, size, size, 3))
    return np.clip(coarse + fine, -1, 1).astype(np.float32)
