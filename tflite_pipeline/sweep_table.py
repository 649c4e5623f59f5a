"""What a sweep shows: how far it is while it works, one table when it is done."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import TimeElapsedColumn

from tflite_pipeline.columns import Column, print_lines, print_table, width_of
from tflite_pipeline.report.sweep_verdict import advice_where_none_passed, names_of
from tflite_pipeline.report.words import bytes_text, change_text, interval_text, is_share, metric_text, milliseconds
from tflite_pipeline.terminal import STYLES, Bars

STATUS_STYLES = STYLES | {"error": "bold red", "refused": "dim", "waiting": "dim"}
POINTS = " points"


class SweepWatcher(Bars):
    """Shows on stderr which variant runs and which of its stages; leaves one line a variant."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names` are the variants', in their order."""
        super().__init__(len(names), TimeElapsedColumn())
        self._width, self._total, self._number = max(map(len, names)), len(names), 0

    def variant(self, number: int, name: str) -> None:
        """Show the variant."""
        self._number = number
        self._bars.update(self._whole, description=f"{number} of {self._total}: {name}", completed=number - 1)

    def judged(self, row: dict[str, Any], seconds: float) -> None:
        """Leave one line for the variant."""
        status = f"[{STATUS_STYLES[row['status']]}]{row['status']:9}[/]"
        count = f"{self._number:{len(str(self._total))}} of {self._total}"
        self.leave(f"  {count}  {escape(row['variant']):{self._width}}  {status} {seconds:7.1f} s")


def show(table: dict[str, Any], command: Sequence[str]) -> None:
    """Print the table, what is to be known about its rows, and what to do next.

    `command` is the words that run the recipe by itself, without the overrides of a variant.
    """
    console = Console(highlight=False, soft_wrap=True)
    rows = table["rows"]
    passed = sum(row["status"] == "passed" for row in rows)
    console.print(f"\n[bold]{escape(table['recipe']['name'])}[/]: {passed} of {len(rows)} variants passed")
    width = width_of(console)
    styles = [("bold" if row["variant"] == table["best"] else "", STATUS_STYLES[row["status"]]) for row in rows]
    left_out = print_table(list(_columns(rows, table["best"])), styles, width)
    if left_out:
        print_lines(console, "left out", f"{', '.join(left_out)}: the terminal is too narrow", width)
    for title, text in _about(rows):
        print_lines(console, title, text, width)
    for title, text in _next(table, command):  # on one line, to be copied
        console.print(f"  {title:10} {escape(text)}")


def _columns(rows: Sequence[dict[str, Any]], best: str | None) -> Iterator[Column]:
    """Give all columns in their order."""
    yield Column("", tuple("*" if row["variant"] == best else "" for row in rows), left=True)
    yield Column("variant", tuple(row["variant"] for row in rows), left=True, wraps=True)
    yield Column("io", tuple(row["io"] for row in rows), rank=5, left=True)
    for position, name in enumerate(names_of(rows, "metrics")):
        yield from _metric_columns([row["metrics"].get(name) for row in rows], name, rank=6 if position else 0)
    outputs = names_of(rows, "agreement")
    for name in outputs:
        yield from _agreement_columns([row["agreement"].get(name) for row in rows], name if len(outputs) > 1 else "")
    yield Column("size", tuple(bytes_text(row["bytes"]) if row["file"] else "" for row in rows))
    yield Column("latency", tuple(milliseconds(row["latency_ms"]) if row["file"] else "" for row in rows), rank=7)
    yield Column("engine", tuple(row["engine"]["name"] if row["file"] else "" for row in rows), rank=1, left=True)
    yield Column("verdict", tuple(row["status"] for row in rows), left=True)


def _metric_columns(figures: Sequence[dict[str, Any] | None], name: str, rank: int) -> Iterator[Column]:
    floats = tuple(metric_text(row["reference"], name) if row else "" for row in figures)
    if len(set(filter(None, floats))) > 1:
        yield Column(f"float\n{name}", floats, rank=3)
    yield Column(name, tuple(metric_text(row["quantized"], name) if row else "" for row in figures), rank)
    drops = tuple(change_text(row, name).removesuffix(POINTS) if row else "" for row in figures)
    yield Column("drop\n(points)" if is_share(name) else "drop", drops, rank)
    spans = tuple(interval_text(row["interval"], name) if row else "" for row in figures)
    yield Column("drop\nbetween", spans, rank=4)


def _agreement_columns(figures: Sequence[dict[str, Any] | None], output: str) -> Iterator[Column]:
    """Give the share of samples of the same class, where the output is a class."""
    known = [row if row and row["value"] is not None else None for row in figures]
    yield Column(
        f"same class\n{output}" if output else "same\nclass",
        tuple(f"{row['value']:.2%}" if row else "" for row in known),
        rank=8,
    )
    spans = (f"{row['interval'][0]:.2%} … {row['interval'][1]:.2%}" if row else "" for row in known)
    yield Column("same class\nbetween", tuple(spans), rank=2)


def _about(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Tell what the rows have in common, once: the float file, what gave way, the gates and the errors."""
    floats = {_float_text(row) for row in rows if row["file"]}
    if len(floats) == 1:
        yield "float", floats.pop()
    for note in dict.fromkeys(note for row in rows for note in row["notes"]):
        yield "note", note
    for status in ("failed", "undecided"):
        told = ((", ".join(_gates(row, status)), row) for row in rows if row["status"] == status)
        for gates, names in _grouped(told):
            yield status, f"{gates} ({names})"
    for status in ("error", "refused"):
        for error, names in _grouped((_error_text(row), row) for row in rows if row["status"] == status):
            yield status, f"{names}: {error}"


def _float_text(row: dict[str, Any]) -> str:
    metrics = [f"{name} {metric_text(figures['reference'], name)}" for name, figures in row["metrics"].items()]
    return ", ".join([*metrics, bytes_text(row["reference"]["bytes"]), milliseconds(row["reference"]["latency_ms"])])


def _gates(row: dict[str, Any], verdict: str) -> list[str]:
    return [gate["name"] for gate in row["gates"] if gate["verdict"] == verdict]


def _error_text(row: dict[str, Any]) -> str:
    error = row["error"]
    if row["status"] == "refused":  # why is often the same for many schemes
        return str(error["what"]).replace(row["scheme"], "it")
    stage = f"stage {error['stage']}: " if error["stage"] else ""
    return f"{stage}{error['what']} {error['remedy']}".rstrip()


def _grouped(told: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, str]]:
    """Give each text once, with the names of all variants that have it."""
    groups: dict[str, list[str]] = {}
    for text, row in told:
        groups.setdefault(text, []).append(row["variant"])
    for text, names in groups.items():
        yield text, ", ".join(names)


def _next(table: dict[str, Any], command: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield "files", f"{table['folder']}/<variant>/, the page that compares them is {table['folder']}/sweep.html"
    best = next((row for row in table["rows"] if row["variant"] == table["best"]), None)
    if best is None:
        yield "next", advice_where_none_passed(table["rows"])
        return
    share = best["bytes"] / best["reference"]["bytes"]
    yield "smallest", f"{best['variant']}, {bytes_text(best['bytes'])}, {share:.0%} of the float file"
    words = [*command, *(word for text in best["overrides"] for word in ("--set", text))]
    yield "run alone", shlex.join(words)
