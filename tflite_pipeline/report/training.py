"""The steps of a training in; which epoch was kept, in words, and the curve of the monitored figure, as points, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

History = Sequence[dict[str, float]]
Point = tuple[float, float]

WIDTH, HEIGHT = 480, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, WIDTH - 12, 14, HEIGHT - 30
_SHARES = ("accuracy", "agreement")
"""Figures that read as a percentage."""
_NEAR = 24
"""Labels nearer than this lie on each other."""


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
        """Give the figure by row; rows that lack it are left out."""
        return [(number, row[figure]) for number, row in enumerate(self.history) if figure in row]


def kept_text(row: dict[str, Any]) -> str:
    """Tell which epoch's weights were kept, the figure of that epoch, and what it was before training."""
    step = Step.of(row)
    epoch, last = step.best + step.first, len(step.history) - 1 + step.first
    which = f"kept epoch {epoch} of {last}" if epoch else f"no epoch of {last} was better, kept the weights from before"
    values = dict(step.series(step.figure)) if step.figure else {}
    if step.figure is None or step.best not in values:
        return which
    after = _value(step.figure, values[step.best])
    if step.first or not epoch or 0 not in values:
        return f"{which} ({step.figure} {after})"
    return f"{which} ({step.figure} {after}, before training {_value(step.figure, values[0])})"


def curve(row: dict[str, Any]) -> dict[str, Any] | None:
    """Give what `training.html` draws of a step; None where the figure is known of fewer than two epochs.

    `lines` are one or two `{name, kind, points}`: the figure of held-out samples, and that of the training samples.
    """
    step = Step.of(row)
    figure = step.figure
    series = {name: step.series(name) for name in (figure, figure.removeprefix("val_"))} if figure else {}
    if figure is None or len(series[figure]) < 2:
        return None
    values = [value for points in series.values() for _, value in points]
    low, high, last = min(values), max(values), len(step.history) - 1

    def place(number: int, value: float) -> Point:
        height = (value - low) / (high - low) if high > low else 0.5
        return round(_LEFT + (_RIGHT - _LEFT) * number / last, 1), round(_BOTTOM - (_BOTTOM - _TOP) * height, 1)

    dots = [(number, place(number, value), _value(figure, value)) for number, value in series[figure]]
    return {
        "size": (WIDTH, HEIGHT),
        "figure": figure,
        "from_zero": step.first == 0,
        "axis": (_LEFT, _BOTTOM + 6, _RIGHT),
        "lines": [_line(name, [place(*point) for point in points]) for name, points in series.items()],
        "dots": [
            {"at": at, "epoch": number + step.first, "value": value, "kept": number == step.best}
            for number, at, value in dots
        ],
        "epochs": [
            {"x": place(number, low)[0], "y": HEIGHT - 8, "text": number + step.first}
            for number in _labelled(step.best, last, (_RIGHT - _LEFT) / last)
        ],
        "heights": [
            {"x": _LEFT - 8, "y": place(0, value)[1] + 4, "text": _value(figure, value)}
            for value in sorted({low, high})
        ],
    }


def _line(name: str, points: list[Point]) -> dict[str, str]:
    kind = "val" if name.startswith("val_") else "train"
    return {"name": name, "kind": kind, "points": " ".join(f"{x},{y}" for x, y in points)}


def _labelled(best: int, last: int, width: float) -> list[int]:
    """Choose the rows whose epochs are written below the axis: the ends, and the kept one where there is room."""
    ends = [0, last]
    return ends if any(abs(best - end) * width < _NEAR for end in ends) else [0, best, last]


def _value(figure: str, value: float) -> str:
    return f"{value:.2%}" if figure.endswith(_SHARES) else f"{value:.4g}"
