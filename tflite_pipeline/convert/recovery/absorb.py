"""A reference and calibration samples in; a reference that computes the same from lower activations out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Reference, Samples
from tflite_pipeline.convert.recovery.channels import Rewrite, constant_of, summed, with_constants
from tflite_pipeline.convert.recovery.extremes import measure
from tflite_pipeline.convert.recovery.ties import DEPTHS
from tflite_pipeline.runtime.biases import separated
from tflite_pipeline.runtime.revision import Revision
from tflite_pipeline.runtime.sums import LEFT_OUT, SUMS

Array = npt.NDArray[Any]

_LAYERS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
_PASS_ON = frozenset({"AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "RESHAPE", "SQUEEZE"})
"""Ops that put out one more where they read one more everywhere; pools leave padded places out."""
_RELU = 1


def absorb(reference: Reference, samples: Samples, threads: int, out: Path) -> Rewrite:
    """Write `reference.tflite` below `out`, with what activations never fall below moved into the biases behind them.

    A channel behind a RELU whose values lie above c on all samples gets c less of bias, and what reads it gets its sum
    over c more: the outputs stay on the samples, up to float rounding, and the range that is rounded is smaller. Bias
    absorption (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section
    4.1.3), with the smallest value on the samples where the paper has three standard deviations below the mean.
    """
    revision = Revision(separated(reference.path))
    layers = {int(op.outputs[0]): op for op in revision.graph.operators if _gives(revision, op)}
    takers = {output: _takers(revision, output, revision.shape(output)[-1]) for output in layers}
    able = [output for output in layers if takers[output]]
    lows = {output: np.maximum(low, 0) for output, (low, _) in measure(reference, samples, threads, able, out).items()}
    biases: dict[int, Array] = {}
    moved = [output for output in able if lows[output].any()]
    for output in moved:
        _add(revision, biases, _bias(revision, layers[output]), -lows[output])
        for op in takers[output]:
            name = revision.name(op)
            read, kernel, bias = SUMS[name].inputs_of(op.inputs)
            times = revision.shape(read)[-1] // len(lows[output])
            _add(revision, biases, bias, summed(name, constant_of(revision, kernel), np.tile(lows[output], times)))
    left: tuple[str, ...] = ()
    if count := len(layers) - len(able):
        left = (f"{count} of {len(layers)} layers with RELU keep their biases: what reads them pads, or has no bias.",)
    return Rewrite(with_constants(reference, biases, out), len(moved), left)


def _add(revision: Revision, biases: dict[int, Array], bias: int, row: Array) -> None:
    biases[bias] = biases.get(bias, constant_of(revision, bias)) + row


def _bias(revision: Revision, op: Any) -> int:
    return SUMS[revision.name(op)].inputs_of(op.inputs)[2]


def _gives(revision: Revision, op: Any) -> bool:
    return _is_layer(revision, op) and _fused(op) == _RELU


def _fused(op: Any) -> int:
    return int(getattr(op.builtinOptions, "fusedActivationFunction", 0))


def _is_layer(revision: Revision, op: Any) -> bool:
    """Tell whether an op is a sum whose kernel and bias are its own."""
    name = revision.name(op)
    if name not in _LAYERS:
        return False
    read, kernel, bias = SUMS[name].inputs_of(op.inputs)
    return revision.varies(read) and bias != LEFT_OUT and revision.is_own(kernel) and revision.is_own(bias)


def _takers(revision: Revision, tensor: int, width: int) -> list[Any]:
    """List the layers that read a tensor with channels [width], at once or pooled; none where others read it too."""
    found: list[Any] = []
    for op in revision.graph.operators:
        if tensor in op.inputs:
            behind = _behind(revision, op, width)
            if not behind:
                return []
            found += behind
    return [] if tensor in revision.graph.outputs else found


def _behind(revision: Revision, op: Any, width: int) -> list[Any]:
    """List the layers that one op hands its input on to, or itself; none where a step of the input is not one there."""
    name = revision.name(op)
    if name in _PASS_ON and not _fused(op):
        output, rank = int(op.outputs[0]), len(revision.shape(op.inputs[0]))
        axes = revision.stored(op.inputs[1]) if name == "MEAN" else ()
        inside = axes is not None and rank - 1 not in {int(axis) % rank for axis in axes}
        kept = revision.shape(output)[-1:] and revision.shape(output)[-1] % width == 0
        return _takers(revision, output, width) if inside and kept else []
    if not _is_layer(revision, op):
        return []
    read, kernel, _ = SUMS[name].inputs_of(op.inputs)
    shape, wide = revision.shape(kernel), revision.shape(read)[-1]
    depth = shape[DEPTHS[name]]
    whole = depth == wide if name == "CONV_2D" else depth % wide == 0
    unpadded = not revision.is_padded(op) or set(shape[1:-1]) == {1}
    return [op] if whole and unpadded else []
