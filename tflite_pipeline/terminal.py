"""What commands show while they work: bars on a terminal, one line for what is done."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from typing_extensions import Self


STYLES = {"passed": "green", "failed": "bold red", "undecided": "yellow"}


class Watcher:
    """Shows on stderr which stage runs and how far it is; one line a finished stage, so that a log reads well too."""

    def __init__(self, name: str, verbose: bool = False) -> None:
        """`name` is the recipe's; `verbose` gives cached stages a line each, too."""
        self._verbose = verbose
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._name = name
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[what]}"),
            console=self._console,
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._cached: list[str] = []
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Watcher:
        """Start the display."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the display."""
        self._tell_cached()
        self._progress.stop()

    def begin(self, stage: str) -> None:
        """Show the stage."""
        self._tasks[stage] = self._progress.add_task(f"{self._name}: {stage}", total=None, what="")

    def progress(self, stage: str, done: int, total: int, what: str) -> None:
        """Move the stage's bar."""
        self._progress.update(self._tasks[stage], completed=done, total=total, what=what)

    def end(self, stage: str, seconds: float, cached: bool) -> None:
        """Leave one line for a stage that worked; cached ones share a line."""
        self._progress.remove_task(self._tasks.pop(stage))
        if cached and not self._verbose:
            self._cached.append(stage)
            return
        self._tell_cached()
        self._console.print(f"  {stage:20} {seconds:7.1f} s{', cached' if cached else ''}")

    def echo(self, line: str) -> None:
        """Show a line of the log."""
        self._console.print(f"  [dim]| {escape(line)}[/]")

    def _tell_cached(self) -> None:
        if self._cached:
            self._console.print(f"  cached: {', '.join(self._cached)}")
            self._cached = []


class Bars:
    """Two bars on stderr for work of many runs: one for all of it, one for the stage that runs."""

    def __init__(self, total: float, *columns: ProgressColumn) -> None:
        """`columns` stand between the first bar and what it says."""
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            *columns,
            TextColumn("{task.fields[what]}"),
            console=self._console,
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._whole = self._bars.add_task("", total=total, what="")
        self._stage = self._bars.add_task("", total=None, what="", visible=False)

    def __enter__(self) -> Self:
        """Start the display."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the display."""
        self._bars.stop()

    def echo(self, line: str) -> None:
        """Show a line of the log."""
        self._console.print(f"  [dim]| {escape(line)}[/]")

    def leave(self, line: str) -> None:
        """Leave a line for a run that is over."""
        self._bars.update(self._stage, visible=False)
        self._console.print(line)

    def begin(self, stage: str) -> None:
        """Show the stage; of two that run at a time, the later one."""
        self._bars.update(self._stage, description=f"  {stage}", total=None, completed=0, what="", visible=True)

    def progress(self, stage: str, done: int, total: int, what: str) -> None:
        """Move the stage's bar."""
        self._bars.update(self._stage, description=f"  {stage}", completed=done, total=total, what=what)

    def end(self, stage: str, seconds: float, cached: bool) -> None:
        """Leave the stage to the next one."""
