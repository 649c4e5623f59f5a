"""A reference and calibration samples in; a reference that computes the same with channels of like reach out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Reference, Samples
from tflite_pipeline.convert.recovery.channels import Group, Rewrite, constant_of, find_groups, scaled, summed
from tflite_pipeline.convert.recovery.extremes import largest, measure
from tflite_pipeline.convert.recovery.ties import DEPTHS
from tflite_pipeline.runtime.biases import separated
from tflite_pipeline.runtime.revision import Revision
from tflite_pipeline.runtime.sums import LEFT_OUT, SUMS

Array = npt.NDArray[Any]

ROUNDS = 60
STRENGTH = 2 / 3
"""SmoothQuant's alpha: how much of a channel's unevenness goes into the filters. A half treats both sides alike; of 0.4
to 0.8, this left the least error on three small convolutional networks under full_int8."""
SETTLED = 1e-3
"""Largest change of the logarithm of a factor at which the rounds end."""
MOST = 1e6
"""Largest factor, and the inverse of the smallest."""
SHARE = 0.01
"""Of the largest value that its weights allow, what a channel is taken to reach at least: silence may be chance."""
CAP_SHARE = 0.1
"""The same where a cap is near: there more than precision is at stake."""
ROOM = 0.5
"""Of a cap, what a scaled channel may reach on the samples: on others it may reach farther."""
_TINY = 1e-30


def equalize(reference: Reference, samples: Samples, threads: int, out: Path) -> Rewrite:
    """Write `reference.tflite` below `out`, its channels scaled so that the range of each fits the others' better.

    The outputs stay, up to float rounding: each factor of a channel goes into the kernels that make it, its inverse
    into those that read it. Cross-layer equalization (Nagel et al. 2019, "Data-Free Quantization Through Weight
    Equalization and Bias Correction", section 4.1), over all tensors that share a factor instead of pairs of layers.
    Unlike there, the filters of a kernel have a scale each, so what counts is a channel's share of what is rounded
    together: of the range of an activation, as the samples reach it, and of the range of each filter that reads it. The
    two are evened out as by Xiao et al. 2023, "SmoothQuant", section 4, equation 4. Where only depthwise filters read
    channels, all reach as far as each other.
    """
    revision, (groups, left) = Revision(separated(reference.path)), find_groups(reference.path)
    tensors = {tensor for group in groups for tensor in group.tensors}
    tensors.update(read for op, read, _ in _sums(revision) if int(op.outputs[0]) in tensors)
    highs = largest(measure(reference, samples, threads, sorted(tensors), out))
    allowed = _allowed(revision, highs)
    reach, tall = (
        {tensor: np.maximum(row, share * allowed.get(tensor, 0.0)) for tensor, row in highs.items()}
        for share in (SHARE, CAP_SHARE)
    )
    factors, held = dict[Group, Array](), 0
    for group in groups:
        ranges = np.stack([_folded(reach[tensor], group.size) for tensor in group.tensors])
        factors[group], near = _within_caps(group, _factors(ranges, _filters(revision, group)), highs, tall)
        held += near
    if held:
        count = sum(group.size for group in groups if group.caps)
        left += (f"{held} of {count} channels with a RELU6 keep their scale: the samples come near to its cap.",)
    return Rewrite(scaled(reference, factors, out), len(factors), left)


def _sums(revision: Revision) -> list[tuple[Any, int, int]]:
    """List the ops with a kernel of their own that reads all of an activation, with what they read and the kernel."""
    graph = revision.graph
    made = {int(tensor) for op in graph.operators for tensor in op.outputs}.union(map(int, graph.inputs))
    found = []
    for op in graph.operators:
        if (name := revision.name(op)) in SUMS:
            read, kernel, _ = SUMS[name].inputs_of(op.inputs)
            if read in made and revision.is_own(kernel):
                # In a grouped convolution each filter reads a part of the channels.
                whole = revision.shape(kernel)[DEPTHS[name]] % revision.shape(read)[-1] == 0
                found += [(op, read, kernel)] if whole else []
    return found


def _allowed(revision: Revision, highs: Mapping[int, Array]) -> dict[int, Array]:
    """Give the largest value that weights allow to each channel they make, from what they read on the samples."""
    found = {}
    for op, read, kernel in _sums(revision):
        output = int(op.outputs[0])
        if output in highs and read in highs:
            found[output] = summed(revision.name(op), np.abs(constant_of(revision, kernel)), highs[read])
    return found


def _folded(values: Array, size: int) -> Array:
    """Give the largest value [size] of each channel where they lie over and over."""
    return np.asarray(values.reshape(-1, size).max(axis=0))


def _filters(revision: Revision, group: Group) -> list[Array]:
    """List the kernels that read the channels: the largest weight [filters, size] of each filter for each channel."""
    found = []
    for part in group.read:
        if part.filters != LEFT_OUT:
            weights = np.abs(constant_of(revision, part.tensor))
            rows = np.moveaxis(weights, (part.filters, part.axis), (0, -1))
            found.append(rows.reshape(len(rows), -1, group.size).max(axis=1))
    return found


def _factors(ranges: Array, filters: Sequence[Array]) -> Array:
    """Find factors [size] that balance a channel's shares of ranges [tensors, size] and of filters [filters, size]."""
    factors = np.ones(ranges.shape[1])
    if not ranges.any():
        return factors
    for _ in range(ROUNDS):
        wanted = [_weight(rows / factors) for rows in filters] or [np.ones_like(factors)]
        balanced = _filled(np.max(wanted, axis=0)) ** (1 / STRENGTH - 1)
        step = np.sqrt(balanced / _filled(_shares(ranges * factors).max(axis=0)))
        factors *= step
        # A factor that all channels share changes nothing. So wherever they come from, they reach 1: far from where
        # interpreters refuse the ratio of two scales.
        factors /= max((ranges * factors).max(), _TINY)
        if np.ptp(np.log(step)) < SETTLED:
            break
    return np.clip(factors, 1 / MOST, MOST)


def _weight(rows: Array) -> Array:
    """Give each channel's share [size] of the filters' ranges: the root of the mean square over filters."""
    means = np.sqrt(np.square(_shares(rows)).mean(axis=0))
    return np.asarray(_shares(means[None])[0])


def _shares(rows: Array) -> Array:
    """Divide each row [rows, size] by its largest value."""
    return np.asarray(rows / np.maximum(rows.max(axis=1, keepdims=True), _TINY))


def _filled(shares: Array) -> Array:
    """Let channels that take no part in anything count as the least of the others."""
    return np.where(shares > 0, shares, np.min(shares, where=shares > 0, initial=1.0))


def _within_caps(
    group: Group, factors: Array, highs: Mapping[int, Array], tall: Mapping[int, Array]
) -> tuple[Array, int]:
    """Keep channels away from caps; tell how many are so near to one on the samples that they stay as they are."""
    if not group.caps:
        return factors, 0
    filled, likely = (
        np.max([_folded(reach[tensor], group.size) / cap for tensor, cap in group.caps], axis=0)
        for reach in (highs, tall)
    )
    near = filled > ROOM
    if near.any():
        factors = factors / np.exp(np.log(factors[near]).mean())
    free = np.clip(np.minimum(factors, ROOM / np.maximum(likely, _TINY)), 1 / MOST, MOST)
    return np.where(near, 1.0, free), int(near.sum())
