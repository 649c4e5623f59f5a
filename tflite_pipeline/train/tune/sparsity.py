"""Weights and a training step in; masks that say which of them are zero out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tflite_pipeline.runtime.tensorflow import tensorflow
from tflite_pipeline.runtime.tfmot import pruning_masks, tfmot
from tflite_pipeline.train.spec import Pattern

Array = npt.NDArray[Any]

LEAST_PRUNED = 256
"""Weights with fewer elements are left: their zeros save some bytes of a file and cost as much accuracy as any."""
_GROUP, _ZEROS = 4, 2
_CHANGING = 0.7
"""Share of the training in which masks change; the rest lets the weights that are left make up for the others."""
_UPDATES = 50
"""How often masks change at most: choosing them costs about as much as a training step of a small network."""


@dataclass(frozen=True)
class Sparsity:
    """Which weights are zero, and when they become so, in a training of `steps` steps.

    Masks (float32, 1 where a weight stays and 0 where it is zero) belong to the caller, as variables of a checkpoint.
    Weights under a mask keep their values and get no gradient, so that a later choice can take them back: the method of
    Zhu and Gupta, "To prune, or not to prune" (2017), section 3. `polynomial` follows their cubic curve.
    """

    share: float
    """Of zeros at the end, in each tensor, rounded up to whole elements; `2:4` has its own."""
    pattern: Pattern
    ramp: Literal["constant", "polynomial"]
    steps: int

    def fits(self, shape: Sequence[int]) -> bool:
        """Tell whether a weight is pruned: not the small ones, and none whose depth is no whole group of `2:4`."""
        whole = self.pattern == "unstructured" or shape[-1] % _GROUP == 0
        return whole and math.prod(shape) >= LEAST_PRUNED

    def update(self, step: int, pairs: Iterable[tuple[Any, Any]]) -> bool:
        """Choose new masks where this step (from 0, before it is trained) is due, and tell whether it was.

        `pairs` are variables: a weight in TFLite's layout, and its mask, which is assigned.
        """
        due, share = self._schedule(step)
        if not bool(due):
            return False
        # The schedule computes in float32, which may end a little below what was asked.
        wanted = self.share if step >= self.last or self.ramp == "constant" else float(share)
        for weight, mask in pairs:
            mask.assign(self._mask(weight.numpy(), wanted))
        return True

    def _mask(self, values: Array, share: float) -> Array:
        return groups_mask(values) if self.pattern == "2:4" else largest_mask(values, share)

    @property
    def last(self) -> int:
        """The step of the last choice: weights saved before it have too few zeros."""
        # Groups are chosen once, as TFMOT does: between none and half of a group nothing is to be climbed.
        return 0 if self.pattern == "2:4" else self._every * (int(self.steps * _CHANGING) // self._every)

    @property
    def _every(self) -> int:
        return max(1, int(self.steps * _CHANGING) // _UPDATES)

    def _schedule(self, step: int) -> tuple[Any, Any]:
        schedules = tfmot().sparsity.keras
        if self.pattern == "2:4" or self.ramp == "constant" or self.last == 0:
            chosen = schedules.ConstantSparsity(self.share, 0, self.last, self._every)
        else:
            chosen = schedules.PolynomialDecay(0.0, self.share, 0, self.last, power=3, frequency=self._every)
        due, share = chosen(step)
        return due, share


def largest_mask(values: Array, share: float) -> Array:
    """Mask all but the largest magnitudes of a tensor: at least this share of its elements, rounded up."""
    # TFMOT's own choice by a threshold keeps what is as large as it, and rounds: the zeros may be too few.
    zeros = math.ceil(values.size * share)
    mask = np.ones(values.size, np.float32)
    if zeros:
        mask[np.argpartition(np.abs(values), zeros - 1, axis=None)[:zeros]] = 0
    return mask.reshape(values.shape)


def groups_mask(values: Array) -> Array:
    """Mask the two smallest magnitudes of every four neighbours along the last axis, TFLite's input channels."""
    tf = tensorflow()
    rows = tf.reshape(tf.constant(values), (-1, values.shape[-1]))
    mask = pruning_masks().generate_m_by_n_mask(rows, (_ZEROS, _GROUP))
    return np.asarray(mask, np.float32).reshape(values.shape)


def zeros_mask(values: Array) -> Array:
    """Mask the zeros that an earlier pruning made, so that training keeps them."""
    return np.asarray(values != 0, np.float32)


def masked(weight: Any, mask: Any) -> Any:
    """Give the weight with exact zeros under its mask, as a TensorFlow tensor; these get no gradient."""
    tf = tensorflow()
    # A product would turn negative weights to -0.0: another value in the file, which would not compress as well.
    return tf.where(mask > 0, weight, tf.zeros_like(weight))
