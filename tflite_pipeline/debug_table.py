"""What a debug shows: the worst ops with their figures, then why each one loses and what helps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from tflite_pipeline.columns import Column, print_lines, print_table, width_of
from tflite_pipeline.debug import worst
from tflite_pipeline.report.words import NONE, share_text
from tflite_pipeline.runtime.layers import short_name

_LONGEST = 32
"""Letters of a name in the table; the lines below have all of it."""
Row = dict[str, Any]


def show(told: dict[str, Any]) -> None:
    """Print the worst ops, what was not measured, and where everything is; `told` is the content of `debug.json`."""
    console = Console(highlight=False, soft_wrap=True)
    width = width_of(console)
    rows, counts = worst(told["rows"]), told["samples"]
    what = "op that costs" if len(rows) == 1 else f"{len(rows)} ops that cost"
    name = escape(told["recipe"]["name"])
    console.print(f"\n[bold]{name}[/]: {told['scheme']}, the {what} the outputs most, of {len(told['rows'])}")
    left_out = print_table(list(_columns(rows)), [("", "")] * len(rows), width)
    if left_out:
        print_lines(console, "left out", f"{', '.join(left_out)}: the terminal is too narrow", width)
    for numbers, group in _by_cause(rows):
        names = ", ".join(map(_name, group))
        print_lines(console, f"{numbers:>10}", f"{names}: {group[0]['cause']['text']}", width)
        print_lines(console, "", f"→ {group[0]['remedy']}", width)
    for note in told["notes"]:
        print_lines(console, "note", note, width)
    text = f"errors on {counts['errors']} samples, effects of one op alone on {counts['effects']}"
    print_lines(console, "measured", text, width)
    files = f"{told['folder']}/debug.json has every op, {told['overlay']} colours {told['model']['file']}"
    console.print(escape(f"  {'files':10} {files} in Model Explorer"))


def _by_cause(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Give rows that follow each other and have one cause and remedy together, with their numbers."""
    numbered = enumerate(rows, 1)
    for _, group in itertools.groupby(numbered, lambda pair: (pair[1]["cause"]["text"], pair[1]["remedy"])):
        numbers, alike = zip(*group, strict=True)
        yield f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}", list(alike)


def _columns(rows: Sequence[Row]) -> Iterator[Column]:
    """Give the columns that have a figure in some row."""
    yield Column("", tuple(str(number) for number, _ in enumerate(rows, 1)))
    names = map(_name, rows)
    cut = (name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}" for name in names)
    yield Column("layer", tuple(cut), left=True)
    for title, rank, left, cell in _CELLS:
        cells = tuple(map(cell, rows))
        if set(cells) - {NONE, ""}:
            yield Column(title, cells, rank, left)


def _name(row: Row) -> str:
    """Name the layer, of several that were fused the first that computes, or else the end of its tensor's name."""
    if row["layer"]:
        return str(row["layer"].split(", ")[-1])
    return short_name(row["tensor"])


def _figure(part: str, key: str, form: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        value = row[part][key] if row[part] else None
        return NONE if value is None else format(value, form)

    return cell


def _share(part: str, key: str) -> Callable[[Row], str]:
    return lambda row: share_text(row[part][key]) if row[part] else NONE


_CELLS: tuple[tuple[str, int, bool, Callable[[Row], str]], ...] = (
    ("op", 7, True, lambda row: str(row["op"])),
    ("scheme", 5, True, lambda row: str(row["effect"]["scheme"]) if row["effect"] else ""),
    ("alone\n(dB)", 0, False, _figure("effect", "sqnr_db", ".1f")),
    ("same\nclass", 8, False, _share("effect", "agreement")),
    ("KL", 3, False, _figure("effect", "divergence", ".2g")),
    ("in the file\n(dB)", 9, False, _figure("errors", "sqnr_db", ".1f")),
    ("mean\n(LSB)", 6, False, _figure("errors", "mean_lsb", "+.2f")),
    ("max\n(LSB)", 6, False, _figure("errors", "max_lsb", ".0f")),
    ("clipped", 4, False, _share("errors", "clipped")),
    ("saturated", 2, False, _share("errors", "saturated")),
    ("channel\nratio", 1, False, _figure("errors", "channels_largest_to_median", ".1f")),
)
"""Title, rank, whether it is text, and what stands in it."""
