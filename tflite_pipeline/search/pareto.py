"""Trials go in; those that no other beats in both drop and cost come out, as JSON values, recipes and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_pipeline.report.words import is_share
from tflite_pipeline.search.request import Objective
from tflite_pipeline.search.trial import Trial

Row = dict[str, Any]


def front(trials: Sequence[Trial], objective: Objective) -> list[Trial]:
    """Give the trials that were judged and that no other beats: none costs as little and loses less, or the reverse.

    What held on the search half only is none: its drop there was luck.
    """
    judged = sorted(
        (trial for trial in trials if trial.search is not None and not (trial.check and trial.check.failed)),
        key=lambda trial: (trial.cost(objective), trial.drop),
    )
    kept: list[Trial] = []
    for trial in judged:
        if not kept or trial.drop < kept[-1].drop:
            kept.append(trial)
    return kept


def point(trial: Trial, number: int, winner: Trial | None) -> Row:
    """Give a point of the front; its recipe is `pareto/<number>.yaml`."""
    row = trial.row()
    kept = ("candidate", "plan", "bytes", "sha256", "latency", "overrides", "notes", "recipe_sha256", "against_winner")
    metric = trial.search.metric if trial.search else {}
    return {
        **{key: row[key] for key in kept},
        "drop": metric.get("drop"),
        "interval": metric.get("interval"),
        "samples": metric.get("samples"),
        "accepted": trial.status == "accepted",
        "winner": trial is winner,
        "recipe": f"pareto/{number}.yaml",
    }


def draw(table: Row, points: Sequence[Row], path: Path) -> None:
    """Draw all judged candidates by cost and drop, with intervals, the front, the limit and the winner, as SVG.

    What lies far above the limit is an arrow at the upper edge.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    by_size, metric = table["objective"] == "size", table["metric"]
    unit = 100 if is_share(metric) else 1
    judged = [row for row in table["rows"] if row["search"]]
    dots = [_dot(row, row["search"]["metric"], by_size, unit) for row in judged]
    best = [_dot(row, row, by_size, unit) for row in points]
    with rc_context({"svg.hashsalt": "pareto", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        top = _top(unit * table["max_drop"], dots, best)
        _scatter(axes, [dot for dot in dots if dot not in best and dot.drop <= top], "0.65", "judged")
        axes.plot([dot.cost for dot in best], [dot.drop for dot in best], color="tab:blue", linewidth=1)
        _scatter(axes, [dot for dot in best if dot.drop <= top], "tab:blue", "no other is better in both")
        far = [dot for dot in dots if dot.drop > top]
        if far:
            told = f"above the edge, up to {max(dot.drop for dot in far):.3g}"
            axes.plot([dot.cost for dot in far], [top] * len(far), "^", color="0.65", clip_on=False, label=told)
        for dot, row in zip(best, points, strict=True):
            if row["winner"]:
                axes.plot(dot.cost, dot.drop, "*", color="tab:green", markersize=15, zorder=4, label=_called(row))
        axes.axhline(unit * table["max_drop"], color="tab:red", linestyle="--", label="limit")
        axes.set_ylim(top=top)
        axes.set_xlabel("size of the file in KiB" if by_size else "latency in ms on this host")
        axes.set_ylabel(f"drop of {metric}{' in points' if unit == 100 else ''}, with its {_PERCENT} % interval")
        axes.set_title(f"{table['recipe']['name']}: {len(judged)} candidates on {_samples(judged)} samples")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="best")
        figure.savefig(path, format="svg", metadata={"Date": None})


_PERCENT = 95


@dataclass(frozen=True)
class _Dot:
    """A candidate in the units of the axes."""

    cost: float
    drop: float
    low: float
    high: float


def _dot(row: Row, figures: Row, by_size: bool, unit: int) -> _Dot:
    low, high = figures["interval"]
    cost = row["bytes"] / 1024 if by_size else (row["latency"] or {"p50": float("nan")})["p50"]
    return _Dot(cost, unit * figures["drop"], unit * low, unit * high)


def _top(limit: float, dots: Sequence[_Dot], best: Sequence[_Dot]) -> float:
    """Give the upper edge: all that is near the limit is seen, and the point of the front that is next above it."""
    near = [dot.high for dot in dots if dot.drop <= 4 * limit]
    above = sorted(dot.high for dot in best if dot.drop > limit)[:1]
    return 1.1 * max([2 * limit, *near, *above])


def _scatter(axes: Any, dots: Sequence[_Dot], color: str, label: str) -> None:
    if dots:
        x, y = [dot.cost for dot in dots], [dot.drop for dot in dots]
        # An interval need not hold the drop itself where there are few samples.
        spans = [[max(0.0, dot.drop - dot.low) for dot in dots], [max(0.0, dot.high - dot.drop) for dot in dots]]
        axes.errorbar(x, y, yerr=spans, fmt="o", color=color, markersize=5, elinewidth=1, capsize=2, label=label)


def _called(row: Row) -> str:
    return f"winner: {row['plan']}"


def _samples(rows: Sequence[Row]) -> int:
    return int(rows[0]["search"]["metric"]["samples"]) if rows else 0
