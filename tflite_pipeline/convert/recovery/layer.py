"""One layer as the passes see it: what its kernel is to come near to, and which integers stand for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.convert.recovery.moments import Moments

Array = npt.NDArray[Any]

_LEAST = 1e-3


@dataclass(frozen=True)
class Layer:
    """A kernel as rows: `target`, `integers` are [channels, inputs], float64; `scales` is [channels, 1].

    `most` is the largest integer. Where `one_scale`, all channels have the same. `moments` are None where the layer is
    no plain sum over what it reads: there a pass can only look at the kernel itself.
    """

    target: Array
    scales: Array
    integers: Array
    most: int
    one_scale: bool
    moments: Moments | None

    @classmethod
    def of(cls, target: Array, most: int, one_scale: bool, moments: Moments | None) -> Layer:
        """Round a kernel to the nearest integers, its largest weight, of all or of each channel, to the largest."""
        layer = cls(target, np.ones((len(target), 1)), target, most, one_scale, moments)
        return layer.with_scales(np.abs(target).max(1, keepdims=True) / most)

    def with_scales(self, scales: Array) -> Layer:
        """Round to the nearest integers under other scales [channels, 1]."""
        if self.one_scale:
            scales = np.full_like(scales, scales.max())
        scales = np.maximum(scales, np.finfo(np.float32).tiny).astype(np.float32).astype(float)
        return replace(self, scales=scales, integers=self.nearest(self.target, scales))

    def nearest(self, values: Array, scales: Array) -> Array:
        """Give the nearest integers that the file can hold."""
        return np.clip(np.rint(values / scales), -self.most, self.most)

    @property
    def values(self) -> Array:
        """The real numbers that the integers stand for."""
        return self.integers * self.scales

    def errors(self) -> Array:
        """Give the mean squared error of each channel's sums [channels], or of its weights where moments lack."""
        gap = self.values - self.target
        if self.moments is None:
            return np.asarray(np.square(gap).sum(1))
        path = "ci,cij,cj->c" if self.moments.by_channel else "ci,ij,cj->c"
        return np.asarray(np.einsum(path, gap, self.moments.inputs, gap, optimize=True))

    def pinned(self) -> Layer:
        """Give the largest weight that each scale is for the largest integer: engines take the scale from it."""
        integers = self.integers.copy()
        peaks = np.abs(self.target)
        if self.one_scale:
            place = np.unravel_index(peaks.argmax(), peaks.shape)
            if np.abs(integers).max() < self.most:
                integers[place] = np.copysign(self.most, self.target[place])
        else:
            for row in np.flatnonzero((np.abs(integers).max(1) < self.most) & (peaks.max(1) > 0)):
                column = peaks[row].argmax()
                integers[row, column] = np.copysign(self.most, self.target[row, column])
        return replace(self, integers=integers)


def damped(moments: Array, share: float) -> Array:
    """Add a share of the mean to the diagonal of moments [..., inputs, inputs], so that they can be inverted.

    Channels with inputs of their own count as varying at least by a thousandth of what is common: where rounding leaves
    nothing of how an input varies, nothing is to be learned from it.
    """
    diagonal = np.einsum("...ii->...i", moments).mean(-1)
    size = np.maximum(share * np.maximum(diagonal, _LEAST * diagonal.mean()), np.finfo(np.float32).tiny)
    return np.asarray(moments + size[..., None, None] * np.eye(moments.shape[-1]))
