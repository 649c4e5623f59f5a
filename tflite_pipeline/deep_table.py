"""What a deep check shows: one row a layer, then what will fail and why, one line that sums it up."""

from __future__ import annotations

import os
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tflite_pipeline.deep import Foresight
from tflite_pipeline.runtime.layers import short_name
from tflite_pipeline.train.tune.verdict import (
    FLOAT,
    INTEGER,
    OPEN,
    RANGE_ONLY,
    REFUSED,
    UNTOUCHED,
    WEIGHTS_ONLY,
    LayerVerdict,
)

_STYLES = {INTEGER: "green", RANGE_ONLY: "green", WEIGHTS_ONLY: "green", REFUSED: "bold red", OPEN: "dim"}
_AGAINST = "bold red"
_UNBOUNDED = 1000
"""Characters a line in a pipe, where no terminal says how wide it may be."""
_LABEL, _GAP = 11, 2
_LEAST_NAME = 12
_COUNT = re.compile(r"\b(\d+) ")
"""A number and the op that is counted stay on one line."""
_TOLD = 12
"""Layers that are named of those that are in no row."""
_INTEGER_VERDICTS = frozenset({INTEGER, RANGE_ONLY, UNTOUCHED})


def show(foresight: Foresight) -> None:
    """Print what will become of each layer, what will fail, and the sum of it."""
    console = Console(highlight=False, soft_wrap=True)
    width = console.width if console.is_terminal or os.environ.get("COLUMNS") else _UNBOUNDED
    console.print(f"\n[bold]{escape(foresight.name)}[/]")
    rows = foresight.outlook.rows if foresight.outlook else ()
    if any(row.verdict != OPEN for row in rows):
        Console(width=width, highlight=False).print(_table([row for row in rows if row.verdict != OPEN], width))
    for title, text in _lines(foresight):
        lines = textwrap.wrap(text, width, initial_indent=f"  {title:{_LABEL}} ", subsequent_indent=" " * (_LABEL + 3))
        console.print(escape("\n".join(lines)))
    style = "green" if foresight.works else "bold red"
    verdict = "will work" if foresight.works else "will fail"
    console.print(f"  [{style}]{verdict:{_LABEL}}[/] {escape(summary(foresight))}")


def _table(rows: Sequence[LayerVerdict], width: int) -> Table:
    """Lay out the rows; where the terminal is narrow ops are wrapped at their words, then names anywhere."""
    columns = {title: cells for title, cells in _columns(rows).items() if any(cells)}
    fixed = sum(
        max(map(len, (title, *cells))) + _GAP for title, cells in columns.items() if title not in ("layer", "ops")
    )
    longest = max(len(word) for cell in columns["ops"] for word in cell.split(" "))
    names, ops = (max(map(len, (title, *columns[title]))) for title in ("layer", "ops"))
    ops = min(ops, max(longest, width - fixed - names - _GAP))
    names = min(names, max(_LEAST_NAME, width - fixed - ops - _GAP))
    table = Table(box=None, padding=(0, _GAP, 0, 0), show_edge=False, pad_edge=False)
    for title in columns:
        size = {"layer": names, "ops": ops}.get(title)
        table.add_column(title, width=size, no_wrap=size is None, overflow="fold")
    for row, *cells in zip(rows, *columns.values(), strict=True):
        texts = [Text(cell) for cell in cells]
        texts[2].stylize(_AGAINST if row.against else _STYLES.get(row.verdict, ""))
        table.add_row(*texts)
    return table


def _columns(rows: Sequence[LayerVerdict]) -> dict[str, list[str]]:
    return {
        "layer": [short_name(row.layer) for row in rows],
        "ops": [_COUNT.sub("\\1\u00a0", row.ops) for row in rows],
        "verdict": [row.verdict for row in rows],
        "weights": [row.weights.replace(" per ", "/") for row in rows],
        "activations": [row.activations for row in rows] if _throughout(rows) is None else [],
        "trains": ["yes" if row.trains else "" for row in rows],
    }


def _throughout(rows: Sequence[LayerVerdict]) -> str | None:
    """Give the dtype of the activations where all layers have the same."""
    dtypes = {row.activations for row in rows if row.activations}
    return dtypes.pop() if len(dtypes) == 1 else None


def _lines(foresight: Foresight) -> Iterator[tuple[str, str]]:
    if foresight.engine is not None:
        yield "engine", f"{foresight.engine.name}: {foresight.engine.why}"
    if foresight.outlook is not None:
        if dtype := _throughout(foresight.outlook.rows):
            yield "activations", f"{dtype} in all layers"
        yield from _left(foresight.outlook.folded, foresight.outlook.gone)
        yield from _reasons(foresight.outlook.rows)
    for note in foresight.notes:
        yield "note", note
    for failure in foresight.failures:
        place = failure["stage"] if failure["stage"].startswith("gate") else f"stage {failure['stage']}"
        yield "fails", f"{place}: {failure['what']} {failure['remedy']}".rstrip()


def _left(folded: Sequence[str], gone: Sequence[str]) -> Iterator[tuple[str, str]]:
    for title, what, names in (("folded", "became part of others", folded), ("gone", "left no op of that name", gone)):
        if names:
            more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
            yield title, f"{_count(len(names), 'layer')} {what}: {', '.join(names[:_TOLD])}{more}"


def _reasons(rows: Sequence[LayerVerdict]) -> Iterator[tuple[str, str]]:
    """Give each reason once, with the layers that have it."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row.reason:
            groups.setdefault((row.verdict, row.reason, row.remedy), []).append(short_name(row.layer))
    for (verdict, reason, remedy), layers in groups.items():
        yield verdict, f"{', '.join(layers)}: {reason}. {remedy}".rstrip()


def summary(foresight: Foresight) -> str:
    """Sum up in one line what will become of the layers, or how many things will fail."""
    if foresight.outlook is None:
        return f"{foresight.name}: the model cannot be converted"
    rows = foresight.outlook.rows
    count = len(rows) + len(foresight.outlook.folded) + len(foresight.outlook.gone)
    parts = [f"{foresight.name}: {_count(count, 'layer')}, {_kinds(rows)}"]
    trained = sum(row.trains for row in rows)
    if trained:
        parts.append(f"{trained} train" if trained > 1 else "1 trains")
    if foresight.failures:
        parts.append(_count(len(foresight.failures), "failure"))
    return "; ".join(parts)


def _kinds(rows: Sequence[LayerVerdict]) -> str:
    verdicts = Counter(row.verdict for row in rows)
    if set(verdicts) <= _INTEGER_VERDICTS and set(verdicts) != {UNTOUCHED}:
        return "all integer"
    if set(verdicts) <= {FLOAT, UNTOUCHED}:
        return "all float"
    order = (REFUSED, FLOAT, INTEGER, RANGE_ONLY, WEIGHTS_ONLY, UNTOUCHED, OPEN)
    return ", ".join(f"{verdicts[name]} {_WORDS.get(name, name)}" for name in order if verdicts[name])


_WORDS = {WEIGHTS_ONLY: "with weights packed", OPEN: "not known"}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
