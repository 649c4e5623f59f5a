"""What `doctor` shows."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from tflite_pipeline.columns import Column, print_lines, print_table, width_of
from tflite_pipeline.report.words import bytes_text


def show(found: dict[str, Any]) -> None:
    """Print what was looked at, what is not as it must be, and how to mend it."""
    console = Console(highlight=False, soft_wrap=True)
    width = width_of(console)
    verdict = "[green]SOUND[/]" if found["sound"] else "[bold red]NOT SOUND[/]"
    console.print(f"[bold]tflite-pipeline {escape(found['version'])}[/]: {verdict}")
    python, machine = found["python"], found["machine"]
    print_lines(console, "python", f"{python['version']} (supported: {python['wanted']})", width)
    _show_packages(found["packages"], width)
    for row in found["extras"]:
        state = f"lacks {', '.join(row['missing'])}" if row["missing"] else "is there"
        print_lines(console, "extra", f"[{row['name']}] {state}: {row['what']}", width)
    print_lines(console, "machine", f"{machine['system']}, {machine['cores']} cores{_memory_text(machine)}", width)
    print_lines(console, "cache", _cache_text(found["cache"]), width)
    temporary = found["temporary"]
    print_lines(console, "temporary", f"{temporary['folder']}: {bytes_text(temporary['free'])} free", width)
    for text in found["notes"]:
        print_lines(console, "note", text, width)
    for problem in found["problems"]:
        print_lines(console, "problem", f"{problem['what']} {problem['remedy']}", width)


def _show_packages(rows: list[dict[str, Any]], width: int) -> None:
    columns = [
        Column("  package", tuple(f"  {row['name']}" for row in rows), left=True),
        Column("version", tuple(row["version"] or "missing" for row in rows), left=True),
        Column("supported", tuple(row["wanted"] or "any" for row in rows), left=True),
    ]
    print_table(columns, [("", "") if row["fits"] else ("bold red", "") for row in rows], width)


def _memory_text(machine: dict[str, Any]) -> str:
    memory = machine["memory"]
    return f", {bytes_text(memory['available'])} of {bytes_text(memory['total'])} memory free" if memory else ""


def _cache_text(cache: dict[str, Any]) -> str:
    state = "can be written" if cache["writable"] else "cannot be written"
    if not cache["exists"]:
        return f"{cache['folder']} is not there yet and {state}, {bytes_text(cache['free'])} free"
    size = bytes_text(cache["bytes"]) if cache["counted"] else f"over {bytes_text(cache['bytes'])}"
    return (
        f"{cache['folder']} holds {size} and {state}, {bytes_text(cache['free'])} free; it may be removed at any time"
    )
