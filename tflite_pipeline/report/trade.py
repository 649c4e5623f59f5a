"""Files by what they cost and what they lose in; charts whose points lead to the files' rows out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tflite_pipeline.report.charts import BAD, FLOAT, GOOD, INK, LINE, QUANTIZED, SOFT, WAIT, draw
from tflite_pipeline.report.words import FORMS, drop_form, is_share

SIZE = (430, 330)
"""Pixels: two of them stand beside each other on a wide screen."""
COLOURS = {"good": GOOD, "bad": BAD, "wait": WAIT, "soft": SOFT, "best": QUANTIZED}
MARKERS = {"good": "o", "bad": "x", "wait": "s", "soft": "o", "best": "*"}
"""Forms, so that nobody needs the colours."""
_MOST_LABELS = 40
_NEAR = 15
"""Pixels below which two numbers would run into each other."""
_APART = 8.0
"""The ratio of costs above which an axis has steps that multiply."""
_NEAR_FLOAT = 1.6
"""How many times what a file costs the float file may cost to be on the axis: files are to be told apart."""
_FAR = 3.0
"""How many times farther than the files that count something may lie before it is drawn at the edge."""


@dataclass(frozen=True)
class Point:
    """A file.

    Attributes:
        number: That of its row.
        name: What it is called.
        address: Where the point leads.
        cost: Bytes or milliseconds.
        reach: From where to where the cost lies; the cost itself where that is not known.
        drop: How much worse than float it is, in the metric's unit.
        interval: Where the true drop lies.
        kind: `good`, `bad`, `wait`, `soft` or `best`.
    """

    number: int
    name: str
    address: str
    cost: float
    reach: tuple[float, float]
    drop: float
    interval: tuple[float, float]
    kind: str


@dataclass(frozen=True)
class Cost:
    """The lower axis: `form` is that of its numbers, `unit` what is 1 on it, `floating` the float file's cost."""

    title: str
    form: str
    unit: float
    floating: float | None


def trade_chart(
    name: str, points: Sequence[Point], metric: str, cost: Cost, limit: float | None = None
) -> Markup | None:
    """Draw files by cost and by drop, better ones to the upper left; None where there are fewer than two."""
    if len(points) < 2:
        return None
    front = unbeaten(points)

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        factor = 100 if is_share(metric) else 1
        bottom, top = (factor * value for value in _edges(points, limit))
        axes.set_ylim(bottom, top)
        axes.axhline(0, color=FLOAT, linewidth=1.25, linestyle=(0, (2, 2)))
        _scale(axes, points, cost)
        if limit is not None and factor * limit < bottom:
            axes.axhspan(factor * limit, bottom, color=BAD, alpha=0.1, linewidth=0)
            axes.axhline(factor * limit, color=BAD, linewidth=1.25)
        _paint_front(axes, front, cost, factor)
        for point in points:
            _paint_point(axes, point, cost, factor, bottom)
        axes.grid(color=LINE)
        for group in _labels(axes, points if len(points) <= _MOST_LABELS else front, cost, factor):
            axes.annotate(group[0], group[1], (7, 4), textcoords="offset pixels", color=INK, clip_on=False)
        axes.set_title(f"Drop of {metric}{' in points' if factor == 100 else ''}; up is better")

    links = {point.address: _told(point, metric, cost) for point in points}
    told = f"Drop of {metric} against {cost.title} of {len(points)} files. No other is better in both than: "
    told += "; ".join(_told(point, metric, cost) for point in front[:8])
    return draw(name, f"{told}.", SIZE, paint, links)


def unbeaten(points: Sequence[Point]) -> list[Point]:
    """Give the points that no other beats in both, the cheapest first; among those that hold, where there are any."""
    held = [point for point in points if point.kind in ("good", "best")] or points
    kept: list[Point] = []
    for point in sorted(held, key=lambda point: (point.cost, point.drop)):
        if not kept or point.drop < kept[-1].drop:
            kept.append(point)
    return kept


def timeline_chart(events: Sequence[dict[str, Any]], cost: Cost) -> Markup | None:
    """Draw what was tried by the second; an event has `seconds`, `number`, `name`, `address`, `cost`, `kind`, `best`.

    `best` is the cost of the best file so far, or None. None where nothing is known of two moments.
    """
    known = [event for event in events if event["cost"] is not None]
    if len(known) < 2:
        return None
    best = [event for event in events if event["best"] is not None]

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        if best:
            seconds = [event["seconds"] for event in best] + [max(event["seconds"] for event in events)]
            levels = [event["best"] / cost.unit for event in best]
            axes.step(seconds, [*levels, levels[-1]], where="post", color=QUANTIZED, linewidth=1.5)
        for event in known:
            dots = axes.scatter(
                [event["seconds"]],
                [event["cost"] / cost.unit],
                marker=MARKERS[event["kind"]],
                color=COLOURS[event["kind"]],
                s=42,
                zorder=3,
            )
            dots.set_urls([event["address"]])
        axes.margins(x=0.06, y=0.12)
        axes.grid(color=LINE)
        axes.set_xlabel("seconds of work, over all attempts")
        axes.set_title(f"{cost.title}; the line is the best so far")

    links = {e["address"]: f"{e['name']}: {FORMS[cost.form](e['cost'])}" for e in known}
    told = f"{cost.title} of {len(known)} candidates by the second at which they were judged"
    if best:
        told += (
            f"; the best so far goes from {FORMS[cost.form](best[0]['best'])} to {FORMS[cost.form](best[-1]['best'])}"
        )
    return draw("timeline", f"{told}.", (2 * SIZE[0], 260), paint, links)


def _scale(axes: Any, points: Sequence[Point], cost: Cost) -> None:
    """Set the lower axis, in steps that multiply where costs are far apart; mark the float file where it is near."""
    floating, title, costs = cost.floating, cost.title, [point.cost for point in points]
    if floating is not None and not min(costs) / _NEAR_FLOAT < floating < max(costs) * _NEAR_FLOAT:
        floating, title = None, f"{title} (float: {FORMS[cost.form](floating)})"
    reached = [min(max(end, min(costs) / 2), 2 * max(costs)) for point in points for end in point.reach]
    known = [value / cost.unit for value in (*reached, *([] if floating is None else [floating]))]
    low, high = min(known), max(known)
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if low > 0 and high / low > _APART:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlim(low / 1.4, high * 1.6)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlim(low - 0.1 * (high - low or low), high + 0.15 * (high - low or high))
    axes.set_xlabel(title)
    if floating is not None:
        axes.axvline(floating / cost.unit, color=FLOAT, linewidth=1.25, linestyle=(0, (2, 2)))
        where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset pixels"}
        axes.annotate("float", (floating / cost.unit, 0.0), (-4, 5), ha="right", color=SOFT, **where)


def _paint_front(axes: Any, front: Sequence[Point], cost: Cost, factor: int) -> None:
    xs, ys = [point.cost / cost.unit for point in front], [factor * point.drop for point in front]
    axes.step(xs, ys, where="post", color=QUANTIZED, linewidth=1.25, alpha=0.7)


def _paint_point(axes: Any, point: Point, cost: Cost, factor: int, bottom: float) -> None:
    colour, x, y = COLOURS[point.kind], point.cost / cost.unit, factor * point.drop
    beyond = y > bottom
    if not beyond:
        low, high = (factor * value for value in point.interval)
        axes.plot([x, x], [low, min(high, bottom)], color=colour, linewidth=1.25)
        axes.plot([value / cost.unit for value in point.reach], [y, y], color=colour, linewidth=1.25)
    size = 150 if point.kind == "best" else 48
    marker = "v" if beyond else MARKERS[point.kind]
    dots = axes.scatter(
        [x],
        [min(y, bottom)],
        marker=marker,
        color=colour,
        s=size,
        zorder=4 if point.kind == "best" else 3,
        clip_on=False,
    )
    dots.set_urls([point.address])


def _edges(points: Sequence[Point], limit: float | None) -> tuple[float, float]:
    """Give the lower edge and the upper one, as drops: what counts is seen with its interval, what is far is not."""
    held = [point for point in points if point.kind in ("good", "best")]
    drops = sorted(point.drop for point in points)
    usual = max((point.interval[1] for point in held), default=drops[len(drops) // 2])
    near = _FAR * max(usual, limit or 0.0, 1e-9)
    seen = [point for point in points if point.drop <= near] or list(points)
    ends = [0.0, *(value for point in seen for value in point.interval), *([1.3 * limit] if limit is not None else [])]
    low, high = min(ends), min(max(ends), 3 * near) if held else max(ends)
    margin = 0.08 * (high - low or 1.0)
    return high + margin, low - margin


def _labels(axes: Any, points: Sequence[Point], cost: Cost, factor: int) -> Iterator[tuple[str, tuple[float, float]]]:
    """Give the numbers of points with their places; those of points that lie on each other stand together."""
    bottom = axes.get_ylim()[0]
    groups: list[tuple[tuple[float, float], list[int]]] = []
    for point in sorted(points, key=lambda point: point.cost):
        place = point.cost / cost.unit, min(factor * point.drop, bottom)
        for where, numbers in groups:
            if max(map(abs, axes.transData.transform(place) - axes.transData.transform(where))) < _NEAR:
                numbers.append(point.number)
                break
        else:
            groups.append((place, [point.number]))
    for where, numbers in groups:
        yield _ranges(sorted(numbers)), where


def _ranges(numbers: Sequence[int]) -> str:
    """Write numbers, those that follow each other as a range."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]  # noqa: RUF001
    return ", ".join(parts[:3]) + (" …" if len(parts) > 3 else "")


def _told(point: Point, metric: str, cost: Cost) -> str:
    form = drop_form(metric)
    return (
        f"{point.number}, {point.name}: {FORMS[cost.form](point.cost)}, a drop of {FORMS[form](point.drop)}, "
        f"between {FORMS[f'{form}_between'](list(point.interval))}"
    )
