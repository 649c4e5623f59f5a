"""The table of a sweep in; the page that shows it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tflite_pipeline.report.render import render
from tflite_pipeline.report.sweep_verdict import (
    UNLIKE,
    failures,
    limit_of,
    names_of,
    next_steps,
    ordered,
    overall,
    run_command,
    sweep_verdict,
    unlike_samples,
)
from tflite_pipeline.report.trade import Cost, Point, trade_chart
from tflite_pipeline.report.words import bytes_text, drop_form, milliseconds

PAGE = "sweep.html"
KINDS = {"passed": "good", "failed": "bad", "undecided": "wait"}
SECTIONS = (
    ("trade", "What each variant costs"),
    ("variants", "All variants"),
    ("failed", "What did not pass, and why"),
    ("next", "How to go on"),
    ("recipes", "Recipes"),
    ("provenance", "Where it comes from"),
)

Table = dict[str, Any]


def sweep_page(table: Table, recipes: Mapping[str, str]) -> str:
    """Give the page as HTML; `recipes` are the recipes' texts by variant."""
    rows = ordered(table["rows"])
    metrics = names_of(table["rows"], "metrics")
    return render(
        "sweep.html",
        table,
        sections=SECTIONS,
        sentence=sweep_verdict(table),
        verdict=overall(table),
        rows=rows,
        tiles=list(_tiles(table)),
        metrics=metrics,
        outputs=[name for name in names_of(table["rows"], "agreement") if _is_choice(table["rows"], name)],
        settings=list(dict.fromkeys(key for row in table["rows"] for key in row["settings"])),
        charts=_charts(table, rows, metrics),
        unlike=UNLIKE if unlike_samples(table["rows"]) else "",
        failures=list(failures(table["rows"])),
        recipes=recipes,
        commands=[run_command(table["recipe"]["path"], row["overrides"]) for row in table["rows"]],
        notes=list(dict.fromkeys(note for row in table["rows"] for note in row["notes"])),
        samples=list({row["samples"]["sha256"]: row["samples"] for row in table["rows"] if row["samples"]}.values()),
        hosts=list(dict.fromkeys(row["latency"]["host"] for row in table["rows"] if row["latency"])),
        steps=list(next_steps(table)),
    )


def _tiles(table: Table) -> Iterator[Table]:
    """Give the variants that a team chooses from: the smallest, the truest and the fastest that passed."""
    passed = [(place, row) for place, row in enumerate(table["rows"]) if row["status"] == "passed"]
    choices: list[tuple[str, str, tuple[str, ...]]] = [("Smallest", "bytes", ("bytes",))]
    metric = next(iter(names_of([row for _, row in passed], "metrics")), "")
    if metric and all(metric in row["metrics"] for _, row in passed) and not unlike_samples(table["rows"]):
        choices.append(("Loses least", drop_form(metric), ("metrics", metric, "drop")))
    choices.append(("Fastest on this host", "ms", ("latency_ms",)))
    for title, form, path in choices if passed else ():
        place, row = min(passed, key=lambda pair: (_at(pair[1], path), pair[1]["bytes"]))
        cost = milliseconds(row["latency_ms"]) if path == ("bytes",) else bytes_text(row["bytes"])
        yield {"title": title, "told": f"{row['variant']}, {cost}", "form": form, "path": ("rows", place, *path)}


def _at(row: Table, path: Sequence[str]) -> float:
    """Give a number of a row."""
    found: Any = row
    for key in path:
        found = found[key]
    return float(found)


def _is_choice(rows: Sequence[Table], output: str) -> bool:
    return any(row["agreement"].get(output, {}).get("value") is not None for row in rows)


def _charts(table: Table, rows: Sequence[tuple[int, Table]], metrics: Sequence[str]) -> dict[str, Markup | None]:
    if not metrics:
        return {"size": None, "latency": None}
    metric = metrics[0]
    known = [(number, row) for number, (_, row) in enumerate(rows, 1) if metric in row["metrics"]]
    floats = {row["reference"]["bytes"] for _, row in known}
    size = Cost("size of the file, KiB", "bytes", 1024, floats.pop() if len(floats) == 1 else None)
    speeds = [row["reference"]["latency_ms"] for _, row in known]
    latency = Cost("latency on this host, ms", "ms", 1, speeds[0] if len(set(speeds)) == 1 else None)
    limits = {limit_of(row, metric) for _, row in known}
    limit = limits.pop() if len(limits) == 1 else None
    return {
        "size": trade_chart(
            "by-size", [_point(*one, metric, table["best"], "bytes") for one in known], metric, size, limit
        ),
        "latency": trade_chart(
            "by-latency", [_point(*one, metric, table["best"], "latency_ms") for one in known], metric, latency, limit
        ),
    }


def _point(number: int, row: Table, metric: str, best: str | None, key: str) -> Point:
    figures, cost = row["metrics"][metric], row[key]
    spread = row["latency"] if key == "latency_ms" else None
    return Point(
        number=number,
        name=row["variant"],
        address=f"#row-{number}",
        cost=cost,
        reach=(spread["min"], spread["p90"]) if spread else (cost, cost),
        drop=figures["drop"],
        interval=tuple(figures["interval"]),
        kind="best" if row["variant"] == best else KINDS[row["status"]],
    )
