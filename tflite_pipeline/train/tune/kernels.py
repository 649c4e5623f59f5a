"""Trained ranges and constants in; the same ranges, with how kernels that round twice come to their integers, out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.train.tune.biases import kernel_scales
from tflite_pipeline.train.tune.graph import FloatGraph
from tflite_pipeline.train.tune.grids import Range, Steps, scale_of

Array = npt.NDArray[Any]


def with_shifts(
    graph: FloatGraph, constants: Mapping[int, Array], ranges: Mapping[int, Range], steps: Mapping[int, Steps]
) -> dict[int, Range]:
    """Add `shifts` to the ranges of convolutions whose weights have 4 bits.

    LiteRT computes these without XNNPACK: sums are multiplied by a number of 31 bits, rounded, and shifted right with a
    second rounding. With 8 bits the shift is so wide that both are nearly one; XNNPACK rounds once.
    """
    found = dict(ranges)
    for node in graph.nodes:
        if node.name != "CONV_2D" or node.inputs[1] not in steps or steps[node.inputs[1]].bits != 4:
            continue
        read, kernel, made = node.inputs[0], node.inputs[1], node.outputs[0]
        if read in ranges and made in ranges and ranges[read].bits == 8:
            factors = scale_of(ranges[read]) * kernel_scales(constants[kernel], steps[kernel]) / scale_of(ranges[made])
            _, exponents = np.frexp(np.atleast_1d(factors))
            found[made] = replace(ranges[made], shifts=tuple(int(bits) for bits in np.maximum(-exponents, 0)))
    return found
