"""What a search shows: phase, best so far and time left while it works, a table when it is done."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from tflite_pipeline.columns import Column, print_lines, print_table, width_of
from tflite_pipeline.report.search_verdict import against_best, status_word
from tflite_pipeline.report.words import (
    bytes_text,
    change_text,
    decibels,
    interval_text,
    is_share,
    metric_text,
    milliseconds,
)
from tflite_pipeline.search.clock import SEARCHING
from tflite_pipeline.terminal import Bars

STATUS_STYLES = {
    "accepted": "green",
    "failed": "red",
    "hopeless": "dim",
    "larger": "dim",
    "made": "dim",
    "refused": "dim",
}
POINTS = " points"
_TOLD_REFUSED = 3


class SearchWatcher(Bars):
    """Shows on stderr the phase, the candidate and its stage, the best so far and the time left; leaves a line each."""

    def __init__(self, budget: float) -> None:
        """`budget` is in seconds."""
        super().__init__(budget)
        self._budget, self._tried = budget, 0
        self._phase, self._best = "", "no file within the limit yet"

    def phase(self, name: str) -> None:
        """Leave a line for the phase."""
        self._phase = name
        self.leave(f"[bold]{name}[/]")

    def candidate(self, name: str, left: float) -> None:
        """Show what is worked on, and the time left."""
        self._bars.update(
            self._whole,
            description=f"{self._phase}, {self._tried} done: {escape(name)}",
            completed=self._budget * SEARCHING - max(0.0, left),
            total=self._budget * SEARCHING,
            what=f"{max(0.0, left):.0f} s left; {self._best}",
        )

    def tried(self, row: dict[str, Any], best: dict[str, Any] | None) -> None:
        """Leave one line for the candidate."""
        self._tried += 1
        if best:
            self._best = f"best {bytes_text(best['bytes'])}, drop {best['search']['metric']['drop']:.4g}"
        drops = [f"{row[half]['metric']['drop']:+.3g}" for half in ("search", "check") if row[half]]
        drop = f"drop {' then '.join(drops)}" if drops else ""
        size = bytes_text(row["bytes"]) if row["bytes"] else ""
        status = f"[{STATUS_STYLES[row['status']]}]{row['status']:9}[/]"
        self.leave(f"  {status} {size:>10}  {drop:15}  {escape(row['candidate'])}")


def show(table: dict[str, Any]) -> None:
    """Print what was tried, what was found, how sure that is, and what to do next."""
    console = Console(highlight=False, soft_wrap=True)
    width = width_of(console)
    rows = [row for row in table["rows"] if row["search"] or row["latency"]]
    found = f"[green]{escape(table['winner'])}[/]" if table["winner"] else "[bold red]nothing within the limit[/]"
    console.print(f"\n[bold]{escape(table['recipe']['name'])}[/]: {found}")
    best = table["winner"] or table["nearest"]
    rows.sort(key=lambda row: _cost(table, row))
    styles = [("bold" if row["candidate"] == best else "", STATUS_STYLES[row["status"]]) for row in rows]
    left_out = print_table(list(_columns(table, rows, best)), styles, width) if rows else []
    if left_out:
        print_lines(console, "left out", f"{', '.join(left_out)}: the terminal is too narrow", width)
    for title, text in _about(table):
        print_lines(console, title, text, width)
    for title, text in _next(table):  # on one line, to be copied
        console.print(f"  {title:10} {escape(text)}")


def _cost(table: dict[str, Any], row: dict[str, Any]) -> float:
    if table["objective"] == "size":
        return float(row["bytes"])
    return float(row["latency"]["p50"]) if row["latency"] else float("inf")


def _columns(table: dict[str, Any], rows: Sequence[dict[str, Any]], best: str | None) -> Iterator[Column]:
    metric = table["metric"]
    figures = [row["search"]["metric"] if row["search"] else None for row in rows]
    yield Column("", tuple("*" if row["candidate"] == best else "" for row in rows), left=True)
    yield Column("scheme", tuple(row["plan"] for row in rows), left=True, wraps=True)
    yield Column("with", tuple(map(_with, rows)), left=True, wraps=True)
    yield Column("size", tuple(bytes_text(row["bytes"]) for row in rows))
    yield Column("latency", tuple(milliseconds(row["latency"]["p50"]) if row["latency"] else "" for row in rows))
    yield Column(metric, tuple(metric_text(row["quantized"], metric) if row else "" for row in figures), rank=3)
    drops = tuple(change_text(row, metric).removesuffix(POINTS) if row else "" for row in figures)
    yield Column("drop\n(points)" if is_share(metric) else "drop", drops)
    spans = tuple(interval_text(row["interval"], metric) if row else "" for row in figures)
    yield Column("drop\nbetween", spans, rank=4)
    yield Column("against\nthe best", tuple(map(against_best, rows)), rank=2, left=True)
    looks = tuple(decibels(row["look"]["sqnr_db"]) if row["look"] else "" for row in rows)
    yield Column("to float", looks, rank=1)
    yield Column("", tuple(status_word(table, row["status"]) for row in rows), left=True)


def _with(row: dict[str, Any]) -> str:
    """Name what makes the best of the scheme, in words that can be wrapped."""
    return str(row["candidate"]).removeprefix(row["plan"]).replace("with ", "").replace("+", " ").strip()


def _about(table: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Tell how sure the result is, and what was not done."""
    metric, best = table["metric"], table["winner"] or table["nearest"]
    row = next((row for row in table["rows"] if row["candidate"] == best), None)
    if row and row["search"]:
        yield "search", _measured(row["search"]["metric"], metric)
    if row and row["check"]:
        yield "check", f"{_measured(row['check']['metric'], metric)} that the search had not seen"
        yield from _doubt(row["check"]["metric"], table["max_drop"], metric)
    if table["full"].get("metrics"):
        full = table["full"]["metrics"][metric]
        yield "full run", _measured(full, metric)
    for note in table["notes"]:
        yield "note", note
    kinds = [row["status"] for row in table["rows"]]
    yield "tried", f"{len(kinds)} candidates, {_counted(kinds)}; {table['seconds']:.0f} s of {table['budget']:.0f} s"
    refused = {row["plan"]: row["why"] for row in table["rows"] if row["status"] == "refused"}
    for plan, why in list(refused.items())[:_TOLD_REFUSED]:
        yield "refused", f"{plan}: {why}"


def _counted(kinds: Sequence[str]) -> str:
    words = {"made": "made only", "larger": "no better than the best", "refused": "impossible"}
    return ", ".join(f"{kinds.count(kind)} {words.get(kind, kind)}" for kind in dict.fromkeys(kinds))


def _measured(row: dict[str, Any], metric: str) -> str:
    return (
        f"{metric} {metric_text(row['quantized'], metric)}, float {metric_text(row['reference'], metric)}: a drop of "
        f"{change_text(row, metric)}, between {interval_text(row['interval'], metric)}, on {row['samples']} samples"
    )


def _doubt(row: dict[str, Any], limit: float, metric: str) -> Iterator[tuple[str, str]]:
    if row["interval"][1] > limit >= row["drop"]:
        worst = change_text({"drop": row["interval"][1]}, metric)
        yield (
            "unsure",
            (
                f"measured within the limit; {row['samples']} samples cannot rule out a drop of up to {worst}. "
                "More evaluation samples would tell"
            ),
        )


def _next(table: dict[str, Any]) -> Iterator[tuple[str, str]]:
    folder = table["folder"]
    yield "files", f"{folder}/, the page is {folder}/search.html, the full result {folder}/best/"
    if table["winner"]:
        yield "run alone", f"{shlex.join(['tflite-pipeline', 'run', f'{folder}/winner.yaml'])}"
        if not table["passed"]:
            yield "next", f"a gate failed in the full run, see {folder}/best/report.html"
        return
    if table["gap"] is not None:
        gap = change_text({"drop": table["gap"]}, table["metric"])
        yield "nearest", f"{table['nearest']}, {gap} beyond the limit, kept as {folder}/model.FAILED.tflite"
    yield "next", "give a wider --max-drop, more --budget, training rows for qat, or allow more precisions"
