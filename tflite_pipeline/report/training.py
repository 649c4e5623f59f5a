"""The steps of a training in; the figure to look at, and which epoch was kept, in words, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

History = Sequence[dict[str, float]]

_SHARES = ("accuracy", "agreement")
"""Figures that read as a percentage."""


@dataclass(frozen=True)
class Step:
    """One step of the report's training.

    Where its first row of figures is from before the training it lacks those of the training samples, and is epoch 0.
    """

    history: History
    best: int

    @classmethod
    def of(cls, row: dict[str, Any]) -> Step:
        """Read a row of `training.steps`."""
        return cls(row["history"], row["best_epoch"])

    @property
    def first(self) -> int:
        """Number of the first row's epoch."""
        return 0 if self.history and "loss" not in self.history[0] else 1

    @property
    def figure(self) -> str | None:
        """Name of the figure to show: of held-out samples rather than trained ones, an accuracy rather than a loss."""
        names = self.history[-1] if self.history else {}
        ranks = [(kind, held) for held in (True, False) for kind in (*_SHARES, "loss")]
        found = (n for kind, held in ranks for n in names if n.endswith(kind) and n.startswith("val_") == held)
        return next(found, None)

    def series(self, figure: str) -> list[tuple[int, float]]:
        """Give the figure by epoch; epochs that lack it are left out."""
        return [(number + self.first, row[figure]) for number, row in enumerate(self.history) if figure in row]


def kept_text(row: dict[str, Any]) -> str:
    """Tell which epoch's weights were kept, the figure of that epoch, and what it was before training."""
    step = Step.of(row)
    epoch, last = step.best + step.first, len(step.history) - 1 + step.first
    which = f"kept epoch {epoch} of {last}" if epoch else f"no epoch of {last} was better, kept the weights from before"
    values = dict(step.series(step.figure)) if step.figure else {}
    if step.figure is None or epoch not in values:
        return which
    after = figure_text(step.figure, values[epoch])
    if step.first or not epoch or 0 not in values:
        return f"{which} ({step.figure} {after})"
    return f"{which} ({step.figure} {after}, before training {figure_text(step.figure, values[0])})"


def is_training_share(figure: str) -> bool:
    """Tell whether a figure of a training reads as a percentage."""
    return figure.endswith(_SHARES)


def figure_text(figure: str, value: float) -> str:
    """Give a figure of a training: shares in percent, a loss as a number."""
    return f"{value:.2%}" if is_training_share(figure) else f"{value:.4g}"
