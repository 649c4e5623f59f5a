"""The table of a search in; what it comes to, what was not tried and what to do next, in words, out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tflite_pipeline.report.sweep_verdict import change_told
from tflite_pipeline.report.words import FORMS, bytes_text, drop_form, is_share, milliseconds

ORDER = ("accepted", "failed", "hopeless", "larger", "made", "refused")
MEANINGS = {
    "accepted": "within the limit",
    "failed": "measured, and beyond the limit",
    "hopeless": "not measured: 64 samples showed it clearly farther from float than one that lost too much",
    "larger": "not measured, or no longer of use: a better one was there already",
    "made": "made for its size only",
    "refused": "no file came of it",
}
"""What a status says."""

Table = dict[str, Any]


def search_verdict(table: Table) -> str:
    """Tell in one sentence what was found, what it costs, and how sure that is."""
    row, metric = chosen(table), table["metric"]
    if row is None:
        return f"No candidate could be measured; the limit was a drop of {limit_told(table)} of {metric}."
    superlative = "smallest" if table["objective"] == "size" else "fastest"
    within = f"keeps the drop of {metric} within {limit_told(table)}"
    if not table["winner"]:
        return f"Nothing that was tried {within}; {_cost_told(table, row)}, comes nearest."
    text = f"{_cost_told(table, row)}, is the {superlative} file found that {within}"
    if row["check"]:
        text += f"; on samples that the search had not seen, {change_told(metric, row['check']['metric'])}"
    if not table["passed"]:
        failed = [gate["name"] for gate in table["full"].get("gates", ()) if gate["verdict"] != "passed"]
        text += f"; in the full run these gates did not pass: {', '.join(failed)}"
    return f"{text}."


def doubt(table: Table) -> str:
    """Tell how large the drop could be where the samples are too few to hold the limit for sure; else nothing."""
    row, metric = chosen(table), table["metric"]
    if row is None or not row["check"] or not table["winner"]:
        return ""
    found = row["check"]["metric"]
    if found["interval"][1] <= table["max_drop"]:
        return ""
    count, worst = FORMS["count"](found["samples"]), FORMS[drop_form(metric)](found["interval"][1])
    return (
        f"Measured within the limit, but {count} samples cannot rule out a drop of up to {worst}. "
        "More evaluation samples (dataset.evaluation.samples) would tell."
    )


def overall(table: Table) -> str:
    """Give the verdict of the whole."""
    return "passed" if table["winner"] and table["passed"] else "failed"


def chosen(table: Table) -> Table | None:
    """Give the winner's row, or where there is none that of the nearest."""
    name = table["winner"] or table["nearest"]
    return next((row for row in table["rows"] if row["candidate"] == name), None)


def ordered(table: Table) -> list[tuple[int, Table]]:
    """Give rows with their places in the table: the chosen one first, then by status and cost."""
    name = table["winner"] or table["nearest"]
    return sorted(
        enumerate(table["rows"]),
        key=lambda pair: (pair[1]["candidate"] != name, ORDER.index(pair[1]["status"]), cost_of(table, pair[1])),
    )


def status_word(table: Table, status: str) -> str:
    """Name a status in words of the objective."""
    return "slower" if status == "larger" and table["objective"] == "latency" else status


def against_best(row: Table) -> str:
    """Tell how a candidate compares with the best in pairs; nothing where they were not compared."""
    found = row["against_winner"] or {}
    lost = "loses more" if found.get("drop", 0) > 0 else "loses less"
    drop = "" if "drop" not in found else "equal" if found["equal"] else lost
    return ", ".join(filter(None, [drop, "as fast" if found.get("equal_latency") else ""]))


def untried(table: Table) -> Iterator[tuple[str, str]]:
    """Give what was left out or given up, with each reason once."""
    told = [(row["what"], row["why"]) for row in table["left_out"]]
    for row in table["rows"]:
        if row["status"] in ("refused", "hopeless", "larger"):
            told.append((row["candidate"], row["why"] or MEANINGS[row["status"]]))
    for why in dict.fromkeys(why for _, why in told):
        yield ", ".join(what for what, reason in told if reason == why), why


def unheld(note: str) -> bool:
    """Tell whether a note is about a candidate that did not hold on samples that the search had not seen."""
    return "had not seen" in note


def next_steps(table: Table) -> Iterator[tuple[str, str]]:
    """Give what to do next: a text, and the command for it."""
    recipe, row = table["recipe"]["path"], chosen(table)
    words = [
        "tflite-pipeline search",
        recipe,
        "--max-drop",
        f"{table['max_drop']:g}",
        "--objective",
        table["objective"],
    ]
    if table["winner"]:
        yield "Make the winner again, beside this page:", "tflite-pipeline run winner.yaml"
        if not table["passed"]:
            yield "A gate failed in the full run; its report tells which and what to do: best/report.html.", ""
    elif row is not None and table["gap"] is not None:
        gap = FORMS[drop_form(table["metric"])](table["gap"])
        text = f"{row['candidate']} is {gap} beyond the limit, and kept as model.FAILED.tflite. "
        yield (
            f"{text}Give training rows for qat, allow more precisions, or give a wider limit D:",
            " ".join([*words[:3], "D", *words[4:]]),
        )
    if any("budget" in note for note in table["notes"]):
        more = "The budget was spent before all moves were tried; a larger one goes on:"
        yield more, " ".join([*words, "--budget", _longer(table)])


def limit_told(table: Table) -> str:
    """Give the limit with its unit."""
    if not is_share(table["metric"]):
        return f"{table['max_drop']:g}"
    points = f"{100 * table['max_drop']:g}"
    return f"{points} point{'' if points == '1' else 's'}"


def cost_of(table: Table, row: Table) -> float:
    """Give what is to be low, bytes or milliseconds; infinity where it is not known."""
    if table["objective"] == "latency":
        return float(row["latency"]["p50"]) if row["latency"] else math.inf
    return float(row["bytes"]) if row["bytes"] else math.inf


def _longer(table: Table) -> str:
    return f"{math.ceil(2 * table['budget'] / 60)}m"


def _cost_told(table: Table, row: Table) -> str:
    text = f"{row['candidate']}, with {bytes_text(row['bytes'])}"
    if "reference" in table["full"]:
        text += f" ({row['bytes'] / table['full']['reference']['bytes']:.0%} of the float file)"
    return (
        f"{text} and {milliseconds(row['latency']['p50'])}"
        if table["objective"] == "latency" and row["latency"]
        else text
    )
