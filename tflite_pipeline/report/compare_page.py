"""Results side by side in; the page that shows them out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from tflite_pipeline.report.render import render
from tflite_pipeline.report.sweep_page import KINDS
from tflite_pipeline.report.sweep_verdict import names_of
from tflite_pipeline.report.trade import Cost, Point, trade_chart
from tflite_pipeline.report.words import FORMS, bytes_text, drop_form, milliseconds

SECTIONS = (
    ("runs", "Side by side"),
    ("trade", "What each file costs"),
    ("gates", "Gates and targets"),
    ("keys", "What their recipes differ in"),
    ("provenance", "Where they come from"),
)
WORDS = {True: "passed", False: "failed", None: "undecided"}
"""What is said of a target."""

Table = dict[str, Any]


def compare_page(told: Table, links: Sequence[str]) -> str:
    """Give the page as HTML; `links` lead to the runs' own pages, and are empty where there is none."""
    runs = told["runs"]
    return render(
        "compare.html",
        told,
        sections=SECTIONS,
        sentence=" ".join(compare_verdict(told)),
        links=links,
        metrics=names_of(runs, "metrics"),
        number_heads=[f"#{name}" for name in names_of(runs, "metrics")],
        outputs=[name for name in names_of(runs, "agreement") if _is_choice(runs, name)],
        charts=_charts(told),
        gates=_by_name(runs, "gates", lambda gate: gate["verdict"]),
        targets=_by_name(runs, "targets", lambda target: WORDS[target["passed"]]),
    )


def compare_verdict(told: Table) -> Iterator[str]:
    """Tell in a few sentences which run is the smallest, the truest and the fastest, as far as that can be said."""
    runs = told["runs"]
    passed = [run for run in runs if run["verdict"] == "passed"]
    among = passed or runs
    yield f"{len(passed)} of {len(runs)} passed their gates." if passed else f"None of {len(runs)} passed its gates."
    small = min(among, key=lambda run: run["model"]["bytes"])
    yield f"Smallest{' of them' if passed else ''}: {small['name']}, {bytes_text(small['model']['bytes'])}."
    metric = _metric(among)
    if told["metrics_compare"] and metric:
        true = min(among, key=lambda run: (run["metrics"][metric]["drop"], run["model"]["bytes"]))
        form, row = drop_form(metric), true["metrics"][metric]
        text = f"Loses least: {true['name']}, a drop of {metric} of {FORMS[form](row['drop'])} "
        yield f"{text}(95 % interval {FORMS[f'{form}_between'](row['interval'])}).{_chance(true, small, metric)}"
    if told["latency_compares"]:
        fast = min(among, key=lambda run: run["latency"]["quantized_ms"])
        yield f"Fastest on this host: {fast['name']}, {milliseconds(fast['latency']['quantized_ms'])}."


def _chance(true: Table, small: Table, metric: str) -> str:
    one, other = (run["metrics"][metric]["interval"] for run in (true, small))
    if true is small or one[1] < other[0] or other[1] < one[0]:
        return ""
    return f" The interval of {small['name']} meets it, so their difference may be chance."


def _metric(runs: Sequence[Table]) -> str:
    """Give the first metric that all runs have."""
    return next((name for name in names_of(runs, "metrics") if all(name in run["metrics"] for run in runs)), "")


def _is_choice(runs: Sequence[Table], output: str) -> bool:
    return any(run["agreement"].get(output, {}).get("value") is not None for run in runs)


def _by_name(runs: Sequence[Table], part: str, verdict: Any) -> list[tuple[str, list[str]]]:
    """Give for each gate or target the verdicts by run, empty where a run has none of the name."""
    found = [{row["name"]: verdict(row) for row in run[part]} for run in runs]
    return [(name, [one.get(name, "") for one in found]) for name in dict.fromkeys(key for one in found for key in one)]


def _charts(told: Table) -> list[Markup]:
    runs, metric = told["runs"], _metric(told["runs"])
    if not metric or not told["metrics_compare"]:
        return []
    sizes, speeds = (
        {run[side][key] for run in runs} for side, key in (("reference", "bytes"), ("latency", "reference_ms"))
    )
    size = Cost("size of the file, KiB", "bytes", 1024, sizes.pop() if len(sizes) == 1 else None)
    latency = Cost("latency on this host, ms", "ms", 1, speeds.pop() if len(speeds) == 1 else None)
    both = [trade_chart("by-size", [_point(*one, metric, "size") for one in enumerate(runs, 1)], metric, size)]
    if told["latency_compares"]:
        points = [_point(*one, metric, "latency") for one in enumerate(runs, 1)]
        both.append(trade_chart("by-latency", points, metric, latency))
    return [chart for chart in both if chart]


def _point(number: int, run: Table, metric: str, by: str) -> Point:
    figures, spread = run["metrics"][metric], run["latency"]["quantized"]
    cost = run["model"]["bytes"] if by == "size" else run["latency"]["quantized_ms"]
    reach = (cost, cost) if by == "size" else (spread["min"], spread["p90"])
    low, high = figures["interval"]
    return Point(
        number, run["name"], f"#row-{number}", cost, reach, figures["drop"], (low, high), KINDS[run["verdict"]]
    )
