"""The report as one self-contained HTML page."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from tflite_pipeline.report.training import curve, kept_text
from tflite_pipeline.report.words import (
    bytes_text,
    change_text,
    decibels,
    interval_text,
    lsb_text,
    metric_text,
    milliseconds,
    recovered_text,
    share_text,
)


def write_page(path: Path, report: dict[str, Any]) -> None:
    """Render `page.html` with the report's numbers."""
    path.write_text(_template().render(report=report))


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(bytes=bytes_text, metric=metric_text, ms=milliseconds)
    environment.filters.update(
        share=share_text, lsb=lsb_text, db=decibels, curve=curve, kept=kept_text, recovered=recovered_text
    )
    environment.globals.update(interval=interval_text, change=change_text, square=_square)
    return environment.get_template("page.html")


def _square(table: dict[str, Any], side: str) -> list[list[int]]:
    """Spread the rows of a confusion table over a square: true class by predicted class."""
    size = len(table["classes"])
    counts = [[0] * size for _ in range(size)]
    for true, taken, count in table[side]:
        counts[true][taken] = count
    return counts
