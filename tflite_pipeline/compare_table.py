"""What a comparison of runs shows: a table with a row for each run, and the keys in which their recipes differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from tflite_pipeline.columns import Column, print_lines, print_table, width_of
from tflite_pipeline.report.compare_page import compare_verdict
from tflite_pipeline.report.sweep_verdict import names_of
from tflite_pipeline.report.words import NONE, bytes_text, change_text, interval_text, metric_text, milliseconds
from tflite_pipeline.terminal import STYLES

Told = dict[str, Any]


def show(told: Told, page: Path) -> None:
    """Print the runs side by side, what to know before comparing them, and where the page is."""
    console = Console(highlight=False, soft_wrap=True)
    width = width_of(console)
    runs = told["runs"]
    console.print(f"\n[bold]{escape(', '.join(run['name'] for run in runs))}[/]")
    left_out = print_table(list(_columns(runs)), [("", STYLES[run["verdict"]]) for run in runs], width)
    if left_out:
        print_lines(console, "left out", f"{', '.join(left_out)}: the terminal is too narrow", width)
    if told["recipe"]:
        console.print("\n[bold]keys that differ[/]")
        print_table(list(_keys(told)), [("", "")] * len(told["recipe"]), width)
    for note in told["notes"]:
        print_lines(console, "note", note, width)
    print_lines(console, "in short", " ".join(compare_verdict(told)), width)
    console.print(f"  {'page':10} {escape(str(page))}")


def _columns(runs: list[Told]) -> Iterator[Column]:
    yield Column("run", tuple(run["name"] for run in runs), left=True, wraps=True)
    yield Column("scheme", tuple(run["scheme"]["found"] for run in runs), left=True, rank=9)
    for position, name in enumerate(names_of(runs, "metrics")):
        rows = [run["metrics"].get(name) for run in runs]
        yield Column(
            name, tuple(metric_text(row["quantized"], name) if row else "" for row in rows), 6 if position else 0
        )
        yield Column("drop", tuple(change_text(row, name) if row else "" for row in rows), 6 if position else 0)
        spans = tuple(interval_text(row["interval"], name) if row else "" for row in rows)
        yield Column("drop\nbetween", spans, rank=4)
    yield Column("size", tuple(bytes_text(run["model"]["bytes"]) for run in runs))
    yield Column("latency", tuple(milliseconds(run["latency"]["quantized_ms"]) for run in runs), rank=7)
    yield Column("ops in\nfloat", tuple(str(run["float_ops"] or "") for run in runs), rank=3)
    yield Column("targets", tuple(", ".join(map(_target, run["targets"])) for run in runs), rank=2, left=True)
    yield Column("recovery", tuple(run["recovery"] or "" for run in runs), rank=1, left=True)
    yield Column("verdict", tuple(run["verdict"] for run in runs), left=True)


def _target(row: Told) -> str:
    words = {True: "", False: " failed", None: " not checked"}
    return f"{row['name']}{words[row['passed']]}"


def _keys(told: Told) -> Iterator[Column]:
    yield Column("key", tuple(row["key"] for row in told["recipe"]), left=True, wraps=True)
    for place, run in enumerate(told["runs"]):
        values = (row["values"][place] for row in told["recipe"])
        cells = tuple(NONE if value is None else value for value in values)
        yield Column(run["name"], cells, left=True, wraps=True)
