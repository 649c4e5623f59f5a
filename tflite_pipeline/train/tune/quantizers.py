"""Real values in, the values that integers can stand for out: fake quantization that gradients pass."""

from __future__ import annotations

from typing import Any

from tflite_pipeline.runtime.grids import Range, Steps, scale_of
from tflite_pipeline.runtime.tensorflow import tensorflow
from tflite_pipeline.train.tune.kernels import Kernel

_HAIR = 1e-9
"""An average of integers that is a half may be computed a little lower in float64."""
_LEAST = 1e-30
"""A channel of zeros has a scale too."""


def round_activation(value: Any, low: Any, high: Any, kind: Range) -> Any:
    """Clip and round an activation, a float32 tensor, to the integers between two real numbers, scalars.

    Gradients pass where nothing is clipped; what is clipped moves the ends. The zero point is rounded as quantizers do,
    so zero is exact. Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", section 3.
    """
    fake = tensorflow().quantization.fake_quant_with_min_max_vars
    if not kind.symmetric:
        return fake(value, low, high, num_bits=kind.bits)
    if kind.bits == 16:  # kernels leave out the smallest integer
        return fake(value, -high, high, num_bits=kind.bits, narrow_range=True)
    return fake(value, -high * (128 / 127), high, num_bits=kind.bits)


def round_exactly(value: Any, one: Range, kernel: Kernel) -> Any:
    """Clip and round a float64 activation as the kernel that makes it does, to float64; no gradient passes."""
    tf, step, most = tensorflow(), scale_of(one), 2 ** (one.bits - 1) - 1
    zero = 0.0 if one.symmetric else float(round(-most - 1 - one.low / step))
    if kernel.way == "multiplied":
        product = tf.cast(tf.round(value / kernel.unit), tf.float32) * kernel.factor
        rounded = tf.round(tf.cast(product, tf.float64)) + zero
    elif kernel.way == "twice":
        fine = tf.constant(2.0**kernel.shift, tf.float64)
        rounded = tf.floor(tf.floor(value / step * fine + 0.5) / fine + 0.5) + zero
    elif kernel.way == "away":
        integer = value / step + zero
        rounded = tf.sign(integer) * tf.floor(tf.abs(integer) + 0.5 + _HAIR)
    else:
        rounded = tf.round(value / step + zero)
    return (tf.clip_by_value(rounded, -most - (one.bits == 8), most) - zero) * step


def round_constant(value: Any, steps: Steps, fraction: Any = 1.0) -> Any:
    """Round a constant, a float32 tensor, to the grid that an engine will find for what comes out.

    `fraction`, at most 1, shrinks the range of symmetric constants, shape [channels, 1, …] or a scalar; what then lies
    outside is clipped to its end, so the largest value is on the grid's last step and the engine finds this very grid.
    Gradients reach the value and the fraction. Source: Esser et al. 2020, "Learned Step Size Quantization", section
    2.1.
    """
    tf = tensorflow()
    if not steps.symmetric:
        low = tf.minimum(tf.reduce_min(value), 0.0)
        high = tf.maximum(tf.reduce_max(value), 0.0)
        ends = tf.stop_gradient(low), tf.stop_gradient(tf.maximum(high, low + _LEAST))
        return tf.quantization.fake_quant_with_min_max_vars(value, *ends, num_bits=steps.bits)
    axes = [axis for axis in range(value.shape.rank) if axis != steps.axis]
    peak = tf.reduce_max(tf.abs(value), axes, keepdims=True)
    scale = tf.stop_gradient(tf.maximum(peak, _LEAST)) / steps.most * fraction
    wanted = tf.clip_by_value(value / scale, -steps.most, steps.most)
    return (wanted + tf.stop_gradient(tf.round(wanted) - wanted)) * scale
