"""What was seen of a model and of data: frozen, small, and readable as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int | None, ...]
Steps = tuple[dict[str, Any], ...]
"""Preprocessing steps as a recipe writes them."""


@dataclass(frozen=True)
class Port:
    """An input or an output; `shape` is without the batch dimension, None where a size is open."""

    name: str
    shape: Shape
    dtype: str
    ending: str = ""
    """Of an output: the function that it ends with, such as softmax; empty where that is not known."""

    @property
    def scores(self) -> int | None:
        """How many numbers a sample has where they stand in one row; None for other shapes and open sizes."""
        wide = [size for size in self.shape if size != 1]
        if None in wide or len(wide) > 1:
            return None
        return wide[0] if wide else 1


@dataclass(frozen=True)
class ModelLook:
    """What a model takes and gives, and what in it matters to a recipe.

    `layers` counts types of layers or ops, `scaling` tells of layers that scale the input, `wanted` is the
    preprocessing that the architecture's authors give (None: not known).
    """

    kind: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: dict[str, int] = field(default_factory=dict)
    parameters: int | None = None
    scaling: tuple[str, ...] = ()
    wanted: Steps | None = None
    signature: str = ""

    @property
    def classifies(self) -> bool:
        """Whether the one output surely gives class scores."""
        only = self.outputs[0]
        several = (only.scores or 0) > 1
        return (
            len(self.outputs) == 1
            and ((only.ending == "softmax" and several) or only.ending == "sigmoid")
            and bool(only.scores)
        )

    @property
    def rebuilds(self) -> bool:
        """Whether the one output looks like the one input, as that of an autoencoder does."""
        return len(self.inputs) == len(self.outputs) == 1 and self.inputs[0].shape == self.outputs[0].shape


@dataclass(frozen=True)
class DataLook:
    """What data hold.

    `section` is the dataset section as far as the data decide it. `shapes` are those of raw samples by input name,
    sizes None where they vary; `dtype`, `low` and `high` are those of the first input's values, of `seen` samples.
    `truth` is `classes` (a class number a sample), `values` or `none`; `labels` says it in words.
    `counts` are the rows of the splits train and test.
    """

    section: dict[str, Any]
    what: str
    shapes: dict[str, Shape]
    dtype: str
    low: float
    high: float
    seen: int
    truth: str
    labels: str
    classes: tuple[str, ...]
    highest: int | None
    spread: float | None
    counts: tuple[int, int]


@dataclass(frozen=True)
class Scaling:
    """One way to scale the samples, what to call it, and what the float model scores with it (None: not tried)."""

    name: str
    steps: Steps
    score: float | None = None


@dataclass(frozen=True)
class Preprocessing:
    """The steps to begin with, why these, and whether that is only a guess."""

    steps: Steps
    reasons: tuple[str, ...]
    sure: bool
    tried: tuple[Scaling, ...] = ()
    metric: str = ""
    rows: int = 0
    spread: float | None = None
    """How much the outputs of the float model vary, where it was run."""


@dataclass(frozen=True)
class Memory:
    """What a BatchNormalization kept of its training: the scaling of the samples that fits its means best.

    `unexplained` is the share of the means that this scaling does not explain, `others` that of other scalings.
    """

    factor: float
    offset: float
    unexplained: float
    others: tuple[float, ...]
