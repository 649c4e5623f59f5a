"""What `list` shows: each kind with its names, each name with its line, as wide as the terminal is."""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.markup import escape

from tflite_pipeline.columns import width_of

LEAST_TEXT = 24
"""Characters of help a line; where the terminal has no room for so many beside the names, they stand below."""


def show(tables: dict[str, dict[str, str]]) -> None:
    """Print the tables."""
    console = Console(highlight=False, soft_wrap=True)
    width = width_of(console)
    names = 2 + max(len(name) for rows in tables.values() for name in rows)
    for number, (title, rows) in enumerate(tables.items()):
        console.print(f"{'' if number == 0 else chr(10)}[bold]{title}[/]")
        for name, text in rows.items():
            console.print(_row(name, text, names, width))


def _row(name: str, text: str, names: int, width: int) -> str:
    if width - names - 2 < LEAST_TEXT:
        below = textwrap.fill(
            text, max(width, LEAST_TEXT), initial_indent=" " * 4, subsequent_indent=" " * 4, break_on_hyphens=False
        )
        return f"  [cyan]{escape(name)}[/]\n{escape(below)}"
    told = textwrap.fill(
        text, width, initial_indent=" " * (names + 2), subsequent_indent=" " * (names + 2), break_on_hyphens=False
    )
    return f"  [cyan]{escape(name)}[/]{escape(told[2 + len(name) :])}"
