"""A model and raw samples in; the scaling by which its first BatchNormalization sees what it saw in training, out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import KerasModel
from tflite_pipeline.model.load import open_model
from tflite_pipeline.runtime.tensorflow import keras
from tflite_pipeline.starter.looks import Memory
from tflite_pipeline.starter.trial import read_samples

_LINEAR = frozenset({"Conv2D", "DepthwiseConv2D", "Conv1D", "Dense", "SeparableConv2D"})
_BETWEEN = frozenset({"InputLayer", "ZeroPadding2D", "ZeroPadding1D", "Dropout", "Reshape", "Flatten"})
_LEAST_CHANNELS = 8
_SAMPLES = 64


def remembered_scaling(
    model: KerasModel,
    section: dict[str, Any],
    steps: Sequence[dict[str, Any]],
    dtype: str,
    ways: Sequence[tuple[float, float]],
) -> Memory | None:
    """Find the scaling, and judge others; None where the first layers do not tell.

    Up to its first BatchNormalization a network is often one linear layer: `z = a L(x) + b L(1) + c` for samples scaled
    as `a x + b`. Its mean in each channel was stored in training, which is one equation for a and b a channel; they are
    solved by least squares, each weighted by the stored deviation.
    """
    live = open_model(model)
    found = _first_pair(live)
    if found is None:
        return None
    linear, norm = found
    means, variances = (np.asarray(value, np.float64) for value in (norm.moving_mean, norm.moving_variance))
    if means.size < _LEAST_CHANNELS:
        return None
    try:
        head = keras(model.generation).Model(live.inputs, linear.output)
    except (AttributeError, ValueError):  # a layer that is shared, or of a model inside the model
        return None
    samples = read_samples(section, steps, dtype, _SAMPLES)
    nothing, ones, seen = (np.asarray(head(batch), np.float64) for batch in _probes(samples))
    axes = tuple(range(seen.ndim - 1))
    constant, of_one, of_samples = nothing.mean(axes), (ones - nothing).mean(axes), (seen - nothing).mean(axes)
    weight = 1 / np.sqrt(variances + norm.epsilon)
    sides = np.stack([of_samples, of_one], axis=1) * weight[:, None]
    wanted = (means - constant) * weight
    if not wanted.any():  # it was never trained
        return None

    def unexplained(way: Any) -> float:
        return float(np.square(wanted - sides @ way).sum() / np.square(wanted).sum())

    solved, *_ = np.linalg.lstsq(sides, wanted, rcond=None)
    factor, offset = (float(f"{value:.4g}") for value in solved)
    return Memory(factor, offset, unexplained(solved), tuple(unexplained(np.asarray(way)) for way in ways))


def _first_pair(live: Any) -> tuple[Any, Any] | None:
    """Find a linear layer that the input reaches first, and the BatchNormalization behind it."""
    layers = [layer for layer in live.layers if type(layer).__name__ not in _BETWEEN]
    if len(layers) < 2:
        return None
    linear, norm = layers[:2]
    activation = getattr(getattr(linear, "activation", None), "__name__", "linear")
    fits = type(linear).__name__ in _LINEAR and activation == "linear" and type(norm).__name__ == "BatchNormalization"
    return (linear, norm) if fits else None


def _probes(samples: Any) -> tuple[Any, Any, Any]:
    return np.zeros_like(samples[:1]), np.ones_like(samples[:1]), samples
