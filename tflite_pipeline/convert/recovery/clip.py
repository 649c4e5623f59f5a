"""Weight clipping: a scale that cuts off the largest weights where the others gain more than these lose.

Source: Banner et al. 2019, "Post training 4-bit quantization of convolutional networks for rapid-deployment",
section 4; there by a model of the distribution, here by trying, and by the error of the sums where it is known.
"""

from __future__ import annotations

import numpy as np

from tflite_pipeline.convert.recovery.layer import Layer

_FRACTIONS = np.linspace(1.0, 0.4, 31)


def clip_weights(layer: Layer) -> Layer:
    """Give each channel the scale with the least mean squared error after rounding to the nearest."""
    widest = np.abs(layer.target).max(1, keepdims=True) / layer.most
    if layer.one_scale:
        widest = np.full_like(widest, widest.max())
    tries = [layer.with_scales(widest * fraction) for fraction in _FRACTIONS]
    errors = np.stack([one.errors() for one in tries])
    if layer.one_scale:
        return tries[int(errors.sum(1).argmin())]
    best = errors.argmin(0)
    return layer.with_scales(widest * _FRACTIONS[best][:, None])
