"""A convolution or dense layer in; the same one with the factors and offsets before it in its own weights, out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tflite_pipeline.runtime.revision import Revision

Array = npt.NDArray[np.float32]

_EVEN = 4.0
"""How many times larger than the smallest the largest factor may be: the weights of a filter share a scale, and uneven
factors would cost the small ones their precision."""


class _Change(NamedTuple):
    """What happens to every channel, each [channels]: factor x + offset."""

    factor: Array
    offset: Array


def fold(revision: Revision, op: Any) -> bool:
    """Let the op read what the MUL, ADD or SUB of a constant before it reads, as often as one stands there.

    Exact up to rounding. Where the input is padded the edges would change, so the op must be without padding.
    """
    changed = False
    while _is_plain(revision, op):
        before = revision.maker(op.inputs[0])
        change = None if before is None else _change(revision, before)
        if before is None or change is None or not _absorb(revision, op, change):
            break
        op.inputs = [before.inputs[0], *op.inputs[1:]]
        revision.drop(before)
        changed = True
    if changed:
        revision.keep(op)
    return changed


def _is_plain(revision: Revision, op: Any) -> bool:
    stored = len(op.inputs) == 3 and op.inputs[2] >= 0 and all(revision.is_own(index) for index in op.inputs[1:])
    return stored and not revision.is_padded(op) and revision.readers(op.inputs[0]) == 1


def _change(revision: Revision, before: Any) -> _Change | None:
    if revision.name(before) not in ("ADD", "MUL", "SUB") or revision.is_activated(before):
        return None
    values, channels = revision.stored(before.inputs[1]), revision.shape(before.outputs[0])[-1]
    shape = revision.shape(before.inputs[1])
    if values is None or not revision.varies(before.inputs[0]) or values.size not in (1, channels):
        return None
    if (values.size > 1 and shape[-1] != channels) or revision.shape(before.inputs[0])[-1] != channels:
        return None
    whole, neutral = np.broadcast_to(values, channels), np.zeros(channels, np.float32)
    if revision.name(before) != "MUL":
        return _Change(neutral + 1, whole if revision.name(before) == "ADD" else -whole)
    sizes = np.abs(whole)
    return _Change(whole, neutral) if 0 < sizes.max() <= _EVEN * sizes.min() else None


def _absorb(revision: Revision, op: Any, change: _Change) -> bool:
    weight, bias = op.inputs[1:]
    shape, channels = revision.shape(weight), len(change.factor)
    deep = revision.name(op) == "DEPTHWISE_CONV_2D"
    if (shape[-1] % channels if deep else shape[-1] - channels) != 0:
        return False
    values, biases = (np.asarray(revision.stored(index), np.float64) for index in (weight, bias))
    values = values.reshape(shape)
    factor, offset = (np.repeat(side, shape[-1] // channels).astype(np.float64) for side in change)
    summed = tuple(range(len(shape) - 1)) if deep else tuple(range(1, len(shape)))
    revision.store(bias, biases + (values * offset).sum(axis=summed))
    revision.store(weight, values * factor)
    return True
