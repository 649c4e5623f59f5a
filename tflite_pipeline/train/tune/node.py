"""One op of the float reference, and where the batch lies in a tensor: what the graph, its rules and its ops share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """An op of subgraph 0; `inputs` and `outputs` are numbers of tensors, -1 where an optional one is left out.

    `options` is the schema's object (`Conv2DOptionsT`...) or None; shapes and dtypes are those in the reference, of an
    input that is left out () and "". A custom op goes by its own name.
    """

    index: int
    name: str
    custom: bool
    options: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    output_dtypes: tuple[str, ...]

    def option(self, name: str, default: Any = 0) -> Any:
        """Give a field of the options; files may leave out options whose fields are all the default."""
        return getattr(self.options, name, default)


@dataclass(frozen=True)
class Place:
    """Where the samples of a batch lie in a tensor: along `axis`, which has 1 in the reference, or is merged.

    Of a merged axis, as a reshape of (1, 5, 8) to (5, 8) makes it, the samples are the middle part: it holds `outer`
    times the batch times the rest.
    """

    axis: int
    outer: int = 1

    def before(self, shape: Sequence[int]) -> int:
        """Count the values of one sample that lie before the batch in memory, by the stride of the batch."""
        return math.prod(shape[: self.axis]) * self.outer


def axes_of(values: Any, rank: int) -> list[int]:
    """Give axes as a list of numbers from 0 on; `values` may count from the end, and may be one number."""
    return [int(axis) % rank for axis in getattr(values, "flat", [values])]
