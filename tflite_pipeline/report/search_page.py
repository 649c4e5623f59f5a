"""The table of a search in; the page that shows it out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tflite_pipeline.report.render import render
from tflite_pipeline.report.search_verdict import (
    MEANINGS,
    ORDER,
    against_best,
    chosen,
    cost_of,
    doubt,
    limit_told,
    next_steps,
    ordered,
    overall,
    search_verdict,
    status_word,
    unheld,
    untried,
)
from tflite_pipeline.report.sweep_verdict import run_command
from tflite_pipeline.report.trade import Cost, Point, timeline_chart, trade_chart

PAGE = "search.html"
KINDS = {"accepted": "good", "failed": "bad"}
MOST_LAYERS = 400
"""Ops with weights that the page lists; the table of the search has all."""
SECTIONS = (
    ("trade", "What each candidate costs"),
    ("time", "What was tried when"),
    ("candidates", "All candidates"),
    ("sure", "How sure it is"),
    ("layers", "Precision by layer"),
    ("untried", "What was not tried, and why"),
    ("next", "How to go on"),
    ("recipes", "Recipes"),
    ("provenance", "Where it comes from"),
)

Table = dict[str, Any]


def search_page(table: Table, recipes: Mapping[str, str]) -> str:
    """Give the page as HTML; `recipes` are the recipes' texts by candidate."""
    rows = ordered(table)
    layers = [(place, row) for place, row in enumerate(table["layers"]) if row["weights"]]
    shown = chosen(table)
    return render(
        "search.html",
        table,
        sections=SECTIONS,
        sentence=search_verdict(table),
        doubt=doubt(table),
        verdict=overall(table),
        rows=rows,
        last=None if shown is None else table["rows"].index(shown),
        charts=_charts(table, rows),
        meanings=MEANINGS,
        states=[(name, count) for name in ORDER if (count := _count(table, name))],
        layers=layers[:MOST_LAYERS],
        more_layers=max(0, len(layers) - MOST_LAYERS),
        precisions=_precisions(layers),
        untried=list(untried(table)),
        unheld=unheld,
        status=status_word,
        against=against_best,
        recipes=recipes,
        commands=[run_command(table["recipe"]["path"], row["overrides"]) for row in table["rows"]],
        steps=list(next_steps(table)),
        limit=limit_told(table),
    )


def _count(table: Table, status: str) -> int:
    return sum(row["status"] == status for row in table["rows"])


def _precisions(layers: Sequence[tuple[int, Table]]) -> list[tuple[str, int]]:
    names = [f"{row['weights']} weights, {row['activations']} activations" for _, row in layers]
    return [(name, names.count(name)) for name in dict.fromkeys(names)]


def _charts(table: Table, rows: Sequence[tuple[int, Table]]) -> dict[str, Markup | None]:
    name = table["winner"] or table["nearest"]
    judged = [(number, row) for number, (_, row) in enumerate(rows, 1) if row["search"]]
    full = table["full"]
    floats = (full["reference"]["bytes"], full["latency"]["reference_ms"]) if "reference" in full else (None, None)
    size = Cost("size of the file, KiB", "bytes", 1024, floats[0])
    latency = Cost("latency on this host, ms", "ms", 1, floats[1])
    limit, metric = table["max_drop"], table["metric"]
    by_size = [_point(*one, name, (one[1]["bytes"],) * 3) for one in judged]
    by_latency = [
        _point(*one, name, (one[1]["latency"]["p50"], *one[1]["latency"]["interval"]))
        for one in judged
        if one[1]["latency"]
    ]
    events = list(_events(table, rows))
    return {
        "size": trade_chart("by-size", by_size, metric, size, limit),
        "latency": trade_chart("by-latency", by_latency, metric, latency, limit),
        "time": timeline_chart(events, size if table["objective"] == "size" else latency),
    }


def _point(number: int, row: Table, best: str | None, cost: tuple[float, float, float]) -> Point:
    figures = row["search"]["metric"]
    low, high = figures["interval"]
    kind = "best" if row["candidate"] == best and row["status"] == "accepted" else KINDS.get(row["status"], "soft")
    name, address = row["candidate"], f"#row-{number}"
    return Point(number, name, address, cost[0], cost[1:], figures["drop"], (low, high), kind)


def _events(table: Table, rows: Sequence[tuple[int, Table]]) -> Iterator[Table]:
    known = {row["candidate"]: (number, row) for number, (_, row) in enumerate(rows, 1)}
    for event in table["timeline"]:
        number, row = known[event["candidate"]]
        cost, best = cost_of(table, row), known[event["best"]][1] if event["best"] else None
        yield {
            "seconds": event["seconds"],
            "name": row["candidate"],
            "address": f"#row-{number}",
            "cost": None if math.isinf(cost) else cost,
            "kind": KINDS.get(event["status"], "soft"),
            "best": cost_of(table, best) if best else None,
        }
