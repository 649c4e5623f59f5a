"""Trained biases in; biases on the grid of the integers that the file holds out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.runtime.grids import Range, Steps, kernel_scales, scale_of
from tflite_pipeline.runtime.revision import Revision
from tflite_pipeline.runtime.sums import LEFT_OUT, SUMS, Called

Array = npt.NDArray[Any]

_MAY_LACK = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
"""Ops that take a bias in every version of theirs."""


def round_biases(
    nodes: Iterable[Called], constants: Mapping[int, Array], ranges: Mapping[int, Range], steps: Mapping[int, Steps]
) -> dict[int, Array]:
    """Give the biases rounded to the product of the steps of what an op reads and of its kernel, float64 [channels].

    So the float reference has the very values of the file. A bias that two ops read with different steps is left.
    """
    found: dict[int, list[Array]] = {}
    for node in nodes:
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


def with_biases(content: bytes) -> bytes:
    """Give a file each of whose conv and dense layers has a bias, of zeros where it had none.

    The converter leaves out a bias that is zero, and then there is nothing to correct.
    """
    revision = Revision(content)
    for op in revision.ops():
        name = revision.name(op)
        if name in _MAY_LACK and SUMS[name].inputs_of(op.inputs)[2] == LEFT_OUT and revision.varies(op.outputs[0]):
            output = revision.shape(op.outputs[0])
            op.inputs = [*list(op.inputs)[:2], revision.zeros(output[-1], f"bias_of_{op.outputs[0]}")]
        revision.keep(op)
    return revision.content()


def _equal(one: Array, other: Array) -> bool:
    return bool(np.array_equal(one, other))
