"""A graph, its constants and what they are rounded to in; how the kernels of LiteRT come to each integer out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tflite_pipeline.runtime.grids import Grids, kernel_scales, scale_of
from tflite_pipeline.runtime.sums import SUMS
from tflite_pipeline.train.tune.graph import FloatGraph
from tflite_pipeline.train.tune.node import Node

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Kernel:
    """How a kernel rounds; arrays have one number for each channel, the last axis of the output, or one for all.

    - `once`: what is exact is rounded, a half to the even integer.
    - `away`: likewise, a half away from the integer 0, as kernels that average do.
    - `multiplied`: XNNPACK multiplies a sum of integers, of which one stands for `unit`, by `factor` in float32, and
      rounds a half to the even integer.
    - `twice`: LiteRT's own kernels multiply a sum by a number of 31 bits and round; then they shift it right by `shift`
      bits and round again, a half up both times, like the instructions SQRDMULH and SRSHL of Arm.
    """

    way: Literal["once", "away", "multiplied", "twice"] = "once"
    unit: Array = field(default_factory=lambda: np.ones(1))
    factor: Array = field(default_factory=lambda: np.ones(1, np.float32))
    shift: Array = field(default_factory=lambda: np.zeros(1))


def kernels_of(graph: FloatGraph, constants: Mapping[int, Array], grids: Grids) -> dict[int, Kernel]:
    """Give the kernel that makes each activation of 8 bits whose own rounding shows, by number of the tensor."""
    found: dict[int, Kernel] = {}
    for node in graph.nodes:
        if node.name == "AVERAGE_POOL_2D":
            found[node.outputs[0]] = Kernel("away")
        elif node.name in SUMS and (kernel := _of_sums(node, constants, grids)):
            found[node.outputs[0]] = kernel
    return found


def _of_sums(node: Node, constants: Mapping[int, Array], grids: Grids) -> Kernel | None:
    read, weights, _ = SUMS[node.name].inputs_of(node.inputs)
    steps, before, after = grids.constants.get(weights), grids.ranges.get(read), grids.ranges.get(node.outputs[0])
    if steps is None or before is None or after is None or not steps.symmetric:
        return None
    if (before.bits, after.bits) != (8, 8):
        return None
    scales = np.atleast_1d(kernel_scales(constants[weights], steps))
    unit = scale_of(before) * scales
    if steps.bits == 8:
        product = np.float32(scale_of(before)) * scales.astype(np.float32)
        return Kernel("multiplied", unit, product / np.float32(scale_of(after)))
    # Of the kernels of 4 bits XNNPACK has that of dense layers, which rounds once.
    _, exponents = np.frexp(unit / scale_of(after))
    return Kernel("twice", shift=np.maximum(-exponents, 0)) if node.name == "CONV_2D" else None
