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

    family(keras, "MobileNetV2", size, 1000).save(path)


def family(library: Any, name: str, size: int, classes: int) -> Any:
    """Build a network of `library.applications`, keras or tf_keras, with random weights that are settled."""
    library.utils.set_random_seed(0)
    model = getattr(library.applications, name)(weights=None, input_shape=(size, size, 3), classes=classes)
    settle(model, inputs(model, images(4 * BATCH, size, seed=1)))
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
    _adapt([layer for layer in layers if type(layer).__name__ == "BatchNormalization"], model, rows, noise)
    _be_sure(model, next(layer for layer in reversed(layers) if hasattr(layer, "kernel")), rows)


def _smooth(shape: tuple[int, ...], noise: np.random.Generator) -> np.ndarray:
    """Give values of mean square 1 that differ little over the area of a kernel.

    With white noise as kernels every layer enlarges fine differences, so that an image and its copy with a half-step of
    int8 noise get other answers.
    """
    area = tuple(1 for _ in shape[:-2])
    values = noise.normal(0, 1, (*area, *shape[-2:])) + 0.5 * noise.normal(0, 1, shape)
    return values / np.sqrt(np.square(values).mean())


def _kernels(layer: Any) -> Iterator[tuple[Any, int]]:
    """Give each kernel, and how many of its first axes are summed over: depthwise ones keep the channels apart."""
    for name in ("depthwise_kernel", "pointwise_kernel", "kernel"):
        if (kernel := getattr(layer, name, None)) is not None:
            apart = name == "depthwise_kernel" or type(layer).__name__ == "DepthwiseConv2D"
            yield kernel, len(kernel.shape) - (2 if apart else 1)


def _adapt(norms: list[Any], model: Any, rows: np.ndarray, noise: np.random.Generator) -> None:
    """Vary what BatchNormalization layers scale by and add, and give them the statistics of the rows."""
    for layer in norms:
        layer.momentum = 0.5
        for variable, low, high in ((layer.gamma, 0.7, 1.3), (layer.beta, -0.3, 0.3)):
            if variable is not None:
                variable.assign(noise.uniform(low, high, variable.shape))
    for first in range(0, len(rows) if norms else 0, BATCH):
        model(rows[first : first + BATCH], training=True)
    for layer in norms:
        layer.momentum = 0.99


def _be_sure(model: Any, last: Any, rows: np.ndarray, spread: float = 3.0) -> None:
    """Change the last layer so that logits of the rows vary by `spread` around 0, as far as rows differ at all."""
    answers = [np.asarray(model(rows[first : first + BATCH])) for first in range(0, len(rows), BATCH)]
    logits = np.log(np.concatenate(answers))
    logits -= logits.mean(axis=1, keepdims=True)
    factor = spread / logits.std(axis=0).mean()
    last.bias.assign((np.asarray(last.bias) - logits.mean(axis=0)) * factor)
    last.kernel.assign(np.asarray(last.kernel) * factor)


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
