"""Texts in; pieces of Markdown, as GitHub shows it, out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

MARKS = {
    "passed": "✅",
    "failed": "❌",
    "undecided": "❔",
    "error": "❌",
    "accepted": "✅",
}
"""Read aloud as what they are."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lay out a table; the head of a column of numbers begins with #."""
    yield f"| {' | '.join(head.removeprefix('#') for head in heads)} |"
    yield f"|{'|'.join('---:' if head.startswith('#') else '---' for head in heads)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def cell(text: str) -> str:
    """Keep a text in its cell."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def marked(verdict: str) -> str:
    """Give a verdict with its mark."""
    return f"{MARKS[verdict]} {verdict}" if verdict in MARKS else verdict


def joined(parts: Iterable[Iterable[str]]) -> str:
    """Make one text of parts, each of lines; those without any are left out."""
    filled = (list(part) for part in parts)
    return "\n\n".join("\n".join(lines) for lines in filled if lines) + "\n"
