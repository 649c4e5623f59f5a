"""Networks with random weights that behave like trained ones: activations neither vanish nor explode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 16


def save_mobilenet_v2(path: Path, size: int = 224) -> None:
    """Save a MobileNetV2 of 1000 classes."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(weights=None, input_shape=(size, size, 3))
    settle(model, images(BATCH, size, seed=1))
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 4, bias])  # a trained classifier is sure of its answers
    model.save(path)


def classifier(library: Any, name: str, size: int, classes: int) -> Any:
    """Build a network of `library.applications`, keras or tf_keras, that knows the classes of `scenes`."""
    library.utils.set_random_seed(0)
    model = getattr(library.applications, name)(weights=None, input_shape=(size, size, 3), classes=classes)
    rows, labels = scenes(8 * classes, size, classes, seed=1)
    rows = inputs(model, rows)
    settle(model, rows)
    _teach(model, rows, labels)
    return model


def settle(model: Any, rows: np.ndarray) -> None:
    """Give a Keras model weights like trained ones: of a size that keeps activations, with statistics of the rows.

    As `keras.applications` makes them, without weights, most networks shrink their input block by block: the last
    activations of MobileNetV2 are 1e-8.
    """
    noise, layers = np.random.default_rng(0), list(_flat(model))
    for layer in layers:
        for kernel, axes in _kernels(layer):
            kernel.assign(_smooth(kernel.shape, noise) * np.sqrt(2 / np.prod(kernel.shape[:axes])))
        if type(layer).__name__ == "LayerScale":  # starts at 1e-6, which leaves its block out
            layer.gamma.assign(noise.uniform(0.2, 0.4, layer.gamma.shape))
    _adapt(layers, model, rows, noise)


def _smooth(shape: tuple[int, ...], noise: np.random.Generator) -> np.ndarray:
    """Give values of mean square 1 that differ little over the area of a kernel.

    With white noise as kernels every layer enlarges fine differences, so that an image and its copy with a half-step of
    int8 noise get other answers.
    """
    area = tuple(1 for _ in shape[:-2])
    values = noise.normal(0, 1, (*area, *shape[-2:])) + 0.25 * noise.normal(0, 1, shape)
    return values / np.sqrt(np.square(values).mean())


def _kernels(layer: Any) -> Iterator[tuple[Any, int]]:
    """Give each kernel, and how many of its first axes are summed over: depthwise ones keep the channels apart."""
    for name in ("depthwise_kernel", "pointwise_kernel", "kernel"):
        if (kernel := getattr(layer, name, None)) is not None:
            apart = name == "depthwise_kernel" or type(layer).__name__ == "DepthwiseConv2D"
            yield kernel, len(kernel.shape) - (2 if apart else 1)


def _adapt(layers: list[Any], model: Any, rows: np.ndarray, noise: np.random.Generator) -> None:
    """Vary what BatchNormalization layers scale by and add, and give them the statistics of the rows."""
    norms = [layer for layer in layers if type(layer).__name__ == "BatchNormalization"]
    added = {id(layer) for layer in _added(layers)}
    for layer in norms:
        layer.momentum = 0.0
        if layer.gamma is not None:  # residual blocks of trained networks change their input a little
            layer.gamma.assign(noise.uniform(0.7, 1.3, layer.gamma.shape) * (0.5 if id(layer) in added else 1.0))
        if layer.beta is not None:
            layer.beta.assign(noise.uniform(-0.3, 0.3, layer.beta.shape))
    if norms:
        model(rows, training=True)  # all at once: statistics of parts let single rows grow from block to block
    for layer in norms:
        layer.momentum = 0.99


def _added(layers: list[Any]) -> Iterator[Any]:
    """Give the layers whose outputs an Add takes, dropout left out."""
    for layer in layers:
        for tensor in layer.input if type(layer).__name__ == "Add" else ():
            maker = tensor._keras_history[0]
            yield maker.input._keras_history[0] if "Drop" in type(maker).__name__ else maker


def _teach(model: Any, rows: np.ndarray, labels: np.ndarray, lead: float = 4.0) -> None:
    """Let the last layer choose the class whose mean features are nearest, most often by `lead` before the next."""
    last = next(layer for layer in reversed(model.layers) if hasattr(layer, "kernel"))
    body = type(model)(model.input, last.input)
    parts = [np.asarray(body(rows[first : first + BATCH])) for first in range(0, len(rows), BATCH)]
    features = np.concatenate(parts).reshape(len(rows), -1)
    middle = features.mean(axis=0)
    means = np.stack([features[labels == label].mean(axis=0) - middle for label in range(labels.max() + 1)])
    bias = -means @ middle - np.square(means).sum(axis=1) / 2
    logits = features @ means.T + bias
    own = np.eye(len(means), dtype=bool)[labels]
    leads = logits[own] - np.where(own, -np.inf, logits).max(axis=1)
    factor = lead / np.median(np.abs(leads))
    last.kernel.assign((means.T * factor).reshape(last.kernel.shape))
    last.bias.assign(bias * factor)


def _flat(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _flat(layer)
        else:
            yield layer


def inputs(model: Any, rows: np.ndarray) -> np.ndarray:
    """Give images -1..1 in the range that a model takes: 0..255 where it scales or normalizes them itself."""
    own = any(type(layer).__name__ in ("Rescaling", "Normalization") for layer in _flat(model))
    return rows * 127.5 + 127.5 if own else rows


def images(count: int, size: int = 224, seed: int = 0) -> np.ndarray:
    """Give random images, float32 in -1..1, [count, size, size, 3]: noise on a coarse grid, enlarged, and some fine."""
    noise = np.random.default_rng(seed)
    cell = -(-size // 8)
    coarse = noise.uniform(-1, 1, (count, 8, 8, 3)).repeat(cell, axis=1).repeat(cell, axis=2)[:, :size, :size]
    fine = noise.normal(0, 0.2, (count, size, size, 3))
    return np.clip(coarse + fine, -1, 1).astype(np.float32)


def scenes(count: int, size: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Give images as `images` does, whose coarse noise is one of `classes` patterns, and which one, int64 [count]."""
    noise = np.random.default_rng(seed)
    labels, cell = np.arange(count) % classes, -(-size // 8)
    patterns = np.random.default_rng(0).uniform(-1, 1, (classes, 8, 8, 3))
    coarse = patterns[labels].repeat(cell, axis=1).repeat(cell, axis=2)[:, :size, :size]
    rows = coarse * noise.uniform(0.95, 1, (count, 1, 1, 1)) + noise.normal(0, 0.05, (count, size, size, 3))
    return np.clip(rows, -1, 1).astype(np.float32), labels
