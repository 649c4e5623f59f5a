"""Columns of text and a width go in; a table of those that fit, printed, and the titles of the others come out."""

from __future__ import annotations

import itertools
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

UNBOUNDED = 1000
"""Characters a line in a pipe, where no terminal says how wide it may be."""
NARROW_GAP, GAP = 1, 2
LESS_THAN_NAMES = 2
"""Columns up to this rank give way before the names of rows are wrapped."""


@dataclass(frozen=True)
class Column:
    """A column; where the terminal is narrow the lowest `rank` goes first, 0 never."""

    title: str
    cells: tuple[str, ...]
    rank: int = 0
    left: bool = False
    wraps: bool = False

    @property
    def width(self) -> int:
        """The characters that it takes."""
        return max(map(len, (*self.title.split("\n"), *self.cells)))

    @property
    def least(self) -> int:
        """The width below which a word would be cut."""
        return (
            max(len(word) for cell in (self.title, *self.cells) for word in cell.split()) if self.wraps else self.width
        )


def width_of(console: Console) -> int:
    """Give the characters that a line may have."""
    return console.width if console.is_terminal or os.environ.get("COLUMNS") else UNBOUNDED


def print_lines(console: Console, title: str, text: str, width: int) -> None:
    """Print a title and a text that is wrapped beside it."""
    lines = textwrap.wrap(text, width, initial_indent=f"  {title:10} ", subsequent_indent=" " * 13)
    console.print(escape("\n".join(lines)))


def print_table(columns: Sequence[Column], rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Print the columns that fit, `rows` being the styles of each row and of its last cell; give the others' titles."""
    filled = [column for column in columns if any(column.cells)]
    kept, gap = _fit(filled, width)
    spare = width - _total(kept, gap)
    grid = Table(box=None, padding=(0, gap, 0, 0), show_edge=False, pad_edge=False)
    for column in kept:
        span = min(column.width, column.least + max(0, spare)) if column.wraps else column.width
        grid.add_column(column.title, justify="left" if column.left else "right", width=span)
    for position, (style, last) in enumerate(rows):
        cells = [Text(column.cells[position]) for column in kept]
        cells[-1].stylize(last)
        grid.add_row(*cells, style=style)
    Console(width=max(width, _total(kept, gap)), highlight=False).print(grid)
    return [column.title.replace("\n", " ") for column in filled if column not in kept]


def _fit(columns: Sequence[Column], width: int) -> tuple[list[Column], int]:
    """Leave out columns by rank until the others fit, with a wide gap where that is possible; give both."""
    kept = list(columns)
    while True:
        ranks = sorted({column.rank for column in kept if column.rank})
        wrapped = (False, True) if not ranks or ranks[0] > LESS_THAN_NAMES else (False,)
        for wrap, gap in itertools.product(wrapped, (GAP, NARROW_GAP)):
            if _total(kept, gap, wrap) <= width:
                return kept, gap
        if not ranks:
            return kept, NARROW_GAP
        kept = [column for column in kept if column.rank != ranks[0]]


def _total(columns: Sequence[Column], gap: int, wrap: bool = True) -> int:
    return sum(column.least if wrap else column.width for column in columns) + gap * (len(columns) - 1)
