"""The table of a search in; a short Markdown text for a pull request, with the numbers of the page, out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tflite_pipeline.report.markdown import cell, joined, marked
from tflite_pipeline.report.markdown import table as markdown_table
from tflite_pipeline.report.search_verdict import (
    chosen,
    doubt,
    limit_told,
    next_steps,
    ordered,
    overall,
    search_verdict,
    unheld,
    untried,
)
from tflite_pipeline.report.sweep_verdict import change_told
from tflite_pipeline.report.words import FORMS, bytes_text, drop_form, metric_form, milliseconds

SUMMARY = "search.md"

Table = dict[str, Any]


def search_summary(table: Table) -> str:
    """Give the summary as Markdown."""
    return joined((_head(table), _candidates(table), _sure(table), _untried(table), _next(table)))


def _head(table: Table) -> Iterator[str]:
    mark = marked(overall(table)).split()[0]
    yield f"## {mark} {table['recipe']['name']}: search within {limit_told(table)} of {table['metric']}"
    yield ""
    yield search_verdict(table)
    if doubt(table):
        yield ""
        yield doubt(table)


def _candidates(table: Table) -> Iterator[str]:
    metric = table["metric"]
    form = drop_form(metric)
    rows = []
    for _, row in ordered(table):
        if not row["search"]:
            continue
        found = row["search"]["metric"]
        name = f"**{cell(row['candidate'])}**" if row is chosen(table) else cell(row["candidate"])
        told = FORMS[metric_form(metric)](found["quantized"]), FORMS[form](found["drop"])
        between = FORMS[f"{form}_between"](found["interval"])
        latency = milliseconds(row["latency"]["p50"] if row["latency"] else None)
        rows.append((name, marked(row["status"]), bytes_text(row["bytes"]), *told, between, latency))
    yield from markdown_table(("candidate", "", "#size", f"#{metric}", "#drop", "#drop between", "#latency"), rows)


def _sure(table: Table) -> Iterator[str]:
    row, metric = chosen(table), table["metric"]
    if row is None:
        return
    for title, half in (("The search saw", row["search"]), ("Samples it had not seen", row["check"])):
        if half:
            yield f"- {title}: {change_told(metric, half['metric'])}."
    if metric in table["full"].get("metrics", {}):
        yield f"- All samples: {change_told(metric, table['full']['metrics'][metric])}."
    for note in filter(unheld, table["notes"]):
        yield f"- {cell(note)}"


def _untried(table: Table) -> Iterator[str]:
    rows = [(cell(what), cell(why)) for what, why in untried(table)]
    notes = [f"- {cell(note)}" for note in table["notes"] if not unheld(note)]
    if rows or notes:
        yield "<details><summary>What was not tried, and why</summary>"
        yield ""
        yield from notes
        if rows:
            yield ""
            yield from markdown_table(("what", "why"), rows)
        yield ""
        yield "</details>"


def _next(table: Table) -> Iterator[str]:
    for text, command in next_steps(table):
        yield f"{text} `{command}`" if command else text
        yield ""
