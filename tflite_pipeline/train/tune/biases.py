"""Trained biases in; biases on the grid of the integers that the file holds out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.runtime.revision import Revision
from tflite_pipeline.train.tune.graph import FloatGraph
from tflite_pipeline.train.tune.grids import Range, Steps, scale_of
from tflite_pipeline.train.tune.node import LEFT_OUT, SUMS

Array = npt.NDArray[Any]


def round_biases(
    graph: FloatGraph, constants: Mapping[int, Array], ranges: Mapping[int, Range], steps: Mapping[int, Steps]
) -> dict[int, Array]:
    """Give the biases rounded to the product of the steps of what an op reads and of its kernel, float64 [channels].

    So the float reference has the very values of the file. A bias that two ops read with different steps is left.
    """
    found: dict[int, list[Array]] = {}
    for node in graph.nodes:
        if node.name not in SUMS:
            continue
        read, kernel, bias = SUMS[node.name].inputs_of(node.inputs)
        if bias not in constants or read not in ranges or kernel not in steps or not steps[kernel].symmetric:
            continue
        step = scale_of(ranges[read]) * kernel_scales(constants[kernel], steps[kernel])
        found.setdefault(bias, []).append(np.rint(constants[bias].astype(np.float64) / step) * step)
    return {bias: rows[0] for bias, rows in found.items() if all(_equal(rows[0], other) for other in rows)}


def separated(reference: Path) -> bytes:
    """Give the file with a bias of its own for each kernel; numbers and names of the tensors that it has stay.

    The converter makes one tensor of all constants that are equal, such as biases that are zero before training.
    """
    revision = Revision(reference)
    owners: dict[int, int] = {}
    for op in revision.ops():
        name = revision.name(op)
        _, kernel, bias = SUMS[name].inputs_of(op.inputs) if name in SUMS else (LEFT_OUT,) * 3
        if bias != LEFT_OUT and owners.setdefault(bias, kernel) != kernel:
            op.inputs = [revision.beside(bias, f"of_{kernel}") if one == bias else one for one in op.inputs]
        revision.keep(op)
    return revision.content()


def kernel_scales(values: Array, steps: Steps) -> Array:
    """Give the steps of a kernel on its grid as the file stores them, one for each channel or for all."""
    axes = tuple(axis for axis in range(values.ndim) if axis != steps.axis)
    peak = np.maximum(np.abs(values.astype(np.float64)).max(axes), np.finfo(np.float32).tiny)
    return np.asarray((peak / steps.most).astype(np.float32), np.float64)


def on_grid(values: Array, steps: Steps) -> Array:
    """Give a symmetric constant that was rounded before as exact multiples of the steps of the file, float64."""
    scales = kernel_scales(values, steps)
    if steps.axis is not None:
        scales = scales.reshape([-1 if axis == steps.axis else 1 for axis in range(values.ndim)])
    return np.asarray(np.rint(values / scales) * scales)


def _equal(one: Array, other: Array) -> bool:
    return bool(np.array_equal(one, other))
