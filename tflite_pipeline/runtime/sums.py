"""Ops that multiply with a kernel and add a bias: which of their inputs are what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

LEFT_OUT = -1
"""Stands in the place of an optional input that an op has not."""


class Called(Protocol):
    """An op as far as its place in a graph goes; an optional input that is left out is -1."""

    @property
    def name(self) -> str:
        """The schema's name, e.g. `CONV_2D`."""

    @property
    def inputs(self) -> tuple[int, ...]:
        """Numbers of tensors."""


@dataclass(frozen=True)
class Sum:
    """An op that multiplies with a kernel and adds a bias: which of its inputs are what.

    `channels` is the axis of the kernel along which the output's channels lie.
    """

    read: int
    kernel: int
    bias: int
    channels: int

    def inputs_of(self, inputs: Sequence[int]) -> tuple[int, int, int]:
        """Give what is read, the kernel and the bias among the inputs of such an op; a bias may be left out."""
        numbers = tuple(map(int, inputs))
        return numbers[self.read], numbers[self.kernel], (*numbers, LEFT_OUT)[min(self.bias, len(numbers))]


SUMS: dict[str, Sum] = {
    "CONV_2D": Sum(0, 1, 2, 0),
    "CONV_3D": Sum(0, 1, 2, 4),
    "DEPTHWISE_CONV_2D": Sum(0, 1, 2, 3),
    "FULLY_CONNECTED": Sum(0, 1, 2, 0),
    "TRANSPOSE_CONV": Sum(2, 1, 3, 0),
}
