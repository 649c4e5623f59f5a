"""The report of a run in; its charts, each None where it has nothing to show, out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from tflite_pipeline.report.charts import BAD, FLOAT, GOOD, INK, LINE, QUANTIZED, SOFT, draw
from tflite_pipeline.report.training import Step, figure_text, is_training_share
from tflite_pipeline.report.words import FORMS, bytes_text, drop_form, is_share, milliseconds

NARROW, WIDE = 340, 720
"""Pixels: what a phone shows whole, and what a page beside its contents does."""
MOST_BINS = 360
"""Ops that are drawn one by one; of more, each mark stands for some that follow each other, and shows the worst."""

Report = dict[str, Any]


def drop_chart(report: Report) -> Markup | None:
    """Draw by metric how much it drops, with its interval and the limit of its gate."""
    rows = report["metrics"]
    if not rows:
        return None
    limits = {gate["name"].partition(":")[2]: gate for gate in report["gates"] if gate["name"].startswith("max_drop:")}

    def paint(figure: Any) -> None:
        for axes, (name, row) in zip(figure.subplots(len(rows), squeeze=False)[:, 0], rows.items(), strict=True):
            limit = limits[name]["limit"] if name in limits else None
            _paint_drop(axes, name, row, limit)

    told = "; ".join(_drop_told(name, row, limits.get(name)) for name, row in rows.items())
    return draw("drops", f"Drop from float to quantized. {told}.", (NARROW, 84 * len(rows)), paint)


def _drop_told(name: str, row: Report, gate: Report | None) -> str:
    form = drop_form(name)
    text = f"{name}: {FORMS[form](row['drop'])}, between {FORMS[f'{form}_between'](row['interval'])}"
    return f"{text}, the limit is {FORMS[form](gate['limit'])}" if gate else text


def _paint_drop(axes: Any, name: str, row: Report, limit: float | None) -> None:
    factor = 100 if is_share(name) else 1
    drop, low, high = (factor * value for value in (row["drop"], *row["interval"]))
    ends = [0.0, low, high, *([] if limit is None else [factor * limit])]
    margin = 0.12 * (max(ends) - min(ends) or 1.0)
    axes.set_xlim(min(ends) - margin, max(ends) + margin)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=LINE, linewidth=1.5)
    if limit is not None:
        axes.axvspan(factor * limit, max(ends) + margin, color=BAD, alpha=0.16, linewidth=0)
        axes.axvline(factor * limit, color=BAD, linewidth=1.5)
    axes.plot([low, high], [0, 0], color=QUANTIZED, linewidth=2)
    axes.plot([low, high], [0, 0], "|", color=QUANTIZED, markersize=12, markeredgewidth=2)
    axes.plot([drop], [0], "o", color=QUANTIZED, markersize=8)
    axes.locator_params(axis="x", nbins=5)
    axes.set_title(f"Drop of {name}{' in points' if is_share(name) else ''}")


def cost_chart(report: Report) -> Markup:
    """Draw size, latency and memory of the float file and of the quantized one."""
    latency, memory = report["latency"], report["memory"]
    panels = [
        ("Size", report["reference"]["bytes"], report["model"]["bytes"], bytes_text),
        ("Latency on this host, median", latency["reference_ms"], latency["quantized_ms"], milliseconds),
        ("Memory while it runs", memory["reference_bytes"], memory["quantized_bytes"], bytes_text),
    ]

    def paint(figure: Any) -> None:
        for axes, (title, before, after, form) in zip(figure.subplots(len(panels), 1), panels, strict=True):
            axes.barh([1, 0], [before, after], color=[FLOAT, QUANTIZED], height=0.7)
            axes.set_xlim(0, 1.35 * max(before, after, 1e-9))
            for y, value in ((1, before), (0, after)):
                axes.annotate(form(value), (value, y), (6, 0), textcoords="offset pixels", va="center", color=INK)
            axes.set_yticks([1, 0], ["float", "quantized"])
            axes.tick_params(left=False, bottom=False, labelbottom=False)
            axes.spines[:].set_visible(False)
            axes.set_title(title)

    told = "; ".join(f"{title}: float {form(before)}, quantized {form(after)}" for title, before, after, form in panels)
    return draw("costs", f"{told}.", (NARROW, 76 * len(panels)), paint)


def layer_chart(rows: Sequence[Report], worst: Sequence[Report]) -> Markup | None:
    """Draw the SQNR of each op in the order of the graph, the worst ones with their number in the table."""
    known = [(number, row["sqnr_db"]) for number, row in enumerate(rows, 1) if row["sqnr_db"] is not None]
    if len(known) < 2:
        return None
    step = -(-len(known) // MOST_BINS)
    marks = [min(known[start : start + step], key=lambda pair: pair[1]) for start in range(0, len(known), step)]
    places = {row["index"]: number for number, row in enumerate(rows, 1)}
    ranked = [(rank, places[row["index"]], row["sqnr_db"]) for rank, row in enumerate(worst, 1)]

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        xs, ys = zip(*marks, strict=True)
        axes.plot(xs, ys, color=QUANTIZED, linewidth=1.25)
        if len(marks) <= 120:
            axes.plot(xs, ys, "o", color=QUANTIZED, markersize=4)
        for rank, x, y in ranked:
            axes.plot([x], [y], "o", color=BAD, markersize=7)
            axes.annotate(str(rank), (x, y), (0, -9), textcoords="offset pixels", ha="center", va="top", color=BAD)
        axes.margins(x=0.02, y=0.18)
        axes.grid(axis="y")
        axes.set_ylabel("SQNR, dB")
        axes.set_xlabel("number of the op, in the order of the graph")

    low = min(known, key=lambda pair: pair[1])
    told = f"SQNR of {len(known)} ops in the order of the graph: from {known[0][1]:.1f} dB at the first to "
    told += f"{known[-1][1]:.1f} dB at the last, the lowest is {low[1]:.1f} dB at op {low[0]}."
    return draw("layers", told, (WIDE, 270), paint)


def training_chart(row: Report, number: int) -> Markup | None:
    """Draw the monitored figure of one step of a training by epoch; None where fewer than two epochs have it."""
    step = Step.of(row)
    figure_name = step.figure
    if figure_name is None or len(step.series(figure_name)) < 2:
        return None
    names = [figure_name, *({figure_name.removeprefix("val_")} - {figure_name})]
    series = {name: step.series(name) for name in names}

    def paint(figure: Any) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        axes = figure.add_subplot()
        for name, points in series.items():
            held_out = name == figure_name
            look = {"color": QUANTIZED, "markersize": 4} if held_out else {"color": SOFT, "ls": "--", "markersize": 3}
            axes.plot(*zip(*points, strict=True), label=name, marker="o", linewidth=2 if held_out else 1.25, **look)
        kept = [point for point in series[figure_name] if point[0] == step.best + step.first]
        axes.plot(*zip(*kept, strict=True), "o", color=GOOD, markersize=9, label="kept", linestyle="none")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: figure_text(figure_name, value)))
        if is_training_share(figure_name):
            axes.set_ylim(top=min(axes.get_ylim()[1], 1.002))
        axes.grid(axis="y")
        axes.set_xlabel("epoch; 0 is before training" if step.first == 0 else "epoch")
        figure.legend(loc="outside upper left", ncols=3, borderaxespad=0)

    points = series[figure_name]
    told = f"{figure_name} by epoch: {figure_text(figure_name, points[0][1])} at epoch {points[0][0]}, "
    told += f"{figure_text(figure_name, points[-1][1])} at epoch {points[-1][0]}."
    return draw(f"training-{number}", told, (NARROW, 210), paint)
