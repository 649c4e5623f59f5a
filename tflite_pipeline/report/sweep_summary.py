"""The table of a sweep in; a short Markdown text for a pull request, with the numbers of the page, out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tflite_pipeline.report.markdown import cell, joined, marked
from tflite_pipeline.report.markdown import table as markdown_table
from tflite_pipeline.report.sweep_verdict import (
    UNLIKE,
    failures,
    names_of,
    next_steps,
    ordered,
    overall,
    sweep_verdict,
    unlike_samples,
)
from tflite_pipeline.report.words import FORMS, bytes_text, drop_form, metric_form, milliseconds

SUMMARY = "sweep.md"

Table = dict[str, Any]


def sweep_summary(table: Table) -> str:
    """Give the summary as Markdown."""
    return joined((_head(table), _variants(table), _failed(table), _next(table)))


def _head(table: Table) -> Iterator[str]:
    yield f"## {marked(overall(table)).split()[0]} {table['recipe']['name']}: sweep of {len(table['rows'])} variants"
    yield ""
    yield sweep_verdict(table)


def _variants(table: Table) -> Iterator[str]:
    metrics = names_of(table["rows"], "metrics")
    heads = ["variant", "verdict", "#size"]
    for name in metrics:
        heads += [f"#{name}", "#drop", "#drop between"]
    yield from markdown_table(
        [*heads, "#latency"], (_variant(row, metrics, table["best"]) for _, row in ordered(table["rows"]))
    )
    if unlike_samples(table["rows"]):
        yield ""
        yield f"{UNLIKE}."


def _variant(row: Table, metrics: Sequence[str], best: str | None) -> list[str]:
    name = f"**{cell(row['variant'])}**" if row["variant"] == best else cell(row["variant"])
    cells = [name, marked(row["status"]), bytes_text(row["bytes"])]
    for metric in metrics:
        form, found = drop_form(metric), row["metrics"].get(metric)
        keys = ((metric_form(metric), "quantized"), (form, "drop"), (f"{form}_between", "interval"))
        cells += [FORMS[one](found[key]) if found else "-" for one, key in keys]
    return [*cells, milliseconds(row["latency_ms"])]


def _failed(table: Table) -> Iterator[str]:
    rows = [
        (", ".join(map(cell, one["names"])), marked(one["status"]), cell(one["what"]), cell(one["remedy"]))
        for one in failures(table["rows"])
    ]
    if rows:
        yield "<details><summary>What did not pass, and why</summary>"
        yield ""
        yield from markdown_table(("variants", "verdict", "why", "what to do"), rows)
        yield ""
        yield "</details>"


def _next(table: Table) -> Iterator[str]:
    for text, command in next_steps(table):
        yield f"{text} `{command}`" if command else text
        yield ""
