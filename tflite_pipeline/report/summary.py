"""The report of a run in; a short Markdown text for a pull request out, with the numbers of the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tflite_pipeline.report.advice import advice_on
from tflite_pipeline.report.layers import worst_layers
from tflite_pipeline.report.markdown import MARKS, cell, joined, table
from tflite_pipeline.report.verdict import urgent_first, verdict_text
from tflite_pipeline.report.words import FORMS, drop_form, layer_name, metric_form

WORST = 5
AGAIN = "tflite-pipeline run recipe.resolved.yaml --out again"

Report = dict[str, Any]


def write_summary(path: Path, report: Report) -> None:
    """Write the summary of a run, as GitHub shows it."""
    path.write_text(summary(report))


def summary(report: Report) -> str:
    """Give the summary of a run as Markdown."""
    parts = (_head, _gates, _accuracy, _cost, _targets, _layers, _again)
    return joined(part(report) for part in parts)


def _head(report: Report) -> Iterator[str]:
    yield f"## {MARKS[report['verdict']]} {report['recipe']['name']}: {report['verdict']}"
    yield ""
    yield verdict_text(report)


def _gates(report: Report) -> Iterator[str]:
    rows = []
    for gate in urgent_first(report["gates"]):
        advice = f" **What to do:** {cell(advice_on(gate))}." if advice_on(gate) else ""
        rows.append((cell(gate["name"]), f"{MARKS[gate['verdict']]} {gate['verdict']}", cell(gate["text"]) + advice))
    yield from table(("gate", "verdict", "what was found"), rows)


def _accuracy(report: Report) -> Iterator[str]:
    rows = []
    for name, row in report["metrics"].items():
        value, drop, between = FORMS[metric_form(name)], drop_form(name), f"{drop_form(name)}_between"
        found = value(row["reference"]), value(row["quantized"]), FORMS[drop](row["drop"])
        rows.append((cell(name), *found, FORMS[between](row["interval"]), FORMS["count"](row["samples"])))
    if not rows:
        yield "Accuracy was not measured."
        return
    yield from table(("metric", "#float", "#quantized", "#drop", "#interval of the drop", "#samples"), rows)


def _cost(report: Report) -> Iterator[str]:
    rows = [
        ("size", FORMS["bytes"](report["reference"]["bytes"]), FORMS["bytes"](report["model"]["bytes"])),
        ("latency, median", *(FORMS["ms"](report["latency"][f"{side}_ms"]) for side in ("reference", "quantized"))),
        ("memory", *(FORMS["bytes"](report["memory"][f"{side}_bytes"]) for side in ("reference", "quantized"))),
    ]
    yield from table(("", "#float", "#quantized"), rows)
    yield ""
    latency = report["latency"]
    yield f"Latency and memory are those of {latency['host']}, {latency['threads']} thread(s): {latency['note']}."


def _targets(report: Report) -> Iterator[str]:
    words = {True: "passed", False: "failed", None: "undecided"}
    rows = []
    for target in report["targets"]:
        verdict = words[target["passed"]]
        told = "; ".join(target["findings"][:2]) or target["told"]
        rows.append((target["name"], f"{MARKS[verdict]} {verdict}", cell(target["checked_by"]), cell(told)))
    if rows:
        yield from table(("target", "verdict", "checked by", "what was found"), rows)


def _layers(report: Report) -> Iterator[str]:
    worst = worst_layers(report["layers"]["rows"], WORST)
    if not worst:
        return
    rows = [
        (f"`{cell(layer_name(row))}`", row["op"], FORMS["db"](row["sqnr_db"]), cell(row["cause"]["text"]))
        for row in worst
    ]
    yield "<details><summary>Ops that add most error</summary>"
    yield ""
    yield from table(("layer", "op", "#SQNR", "cause"), rows)
    yield ""
    yield "</details>"


def _again(report: Report) -> Iterator[str]:
    yield f"Made of `{report['recipe']['path']}`; to make it again, beside this: `{AGAIN}`."
    yield f"`{report['model']['file']}` has the SHA-256 `{report['model']['sha256']}`."
