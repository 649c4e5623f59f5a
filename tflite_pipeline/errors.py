"""The one exception tree; the command line turns each class into its exit code.

PipelineError
├── LimitError          1   a gate failed or could not be decided
├── RecipeError         2   the recipe or the command line is wrong
├── StageError          3   a stage could not do its work
└── MissingExtraError   4   an optional package is needed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class PipelineError(Exception):
    """What a user can cause or mend; anything else that is raised is a bug of the project."""

    exit_code = 3


class LimitError(PipelineError):
    """At least one gate did not pass."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One mistake: `where` is `file:line` (may be empty), `path` the dotted recipe key (may be empty)."""

    where: str
    path: str
    text: str

    def __str__(self) -> str:
        """Give `file:line: path: text`, leaving out what is empty."""
        return ": ".join(part for part in (self.where, self.path, self.text) if part)


class RecipeError(PipelineError):
    """All mistakes that were found in one recipe or on the command line."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep the problems in the order in which they are to be read."""
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        """Give one line a problem."""
        return "\n".join(map(str, self.problems))


class StageError(PipelineError):
    """A stage failed: what happened, in which stage, and what the user can do about it."""

    exit_code = 3

    def __init__(self, what: str, remedy: str = "", stage: str = "", log: str = "") -> None:
        """`log` holds the last lines of the log where they say more than `what` does."""
        self.what, self.remedy, self.stage, self.log = what, remedy, stage, log
        super().__init__(what, remedy, stage, log)

    def __str__(self) -> str:
        """Give what happened, the last log lines and the remedy, each on lines of its own."""
        head = f"stage {self.stage}: {self.what}" if self.stage else self.what
        log = "\n".join(f"  | {line}" for line in self.log.splitlines())
        return "\n".join(part for part in (head, log, self.remedy) if part)


class MissingExtraError(PipelineError):
    """An optional package is not installed."""

    exit_code = 4

    def __init__(self, package: str, extra: str) -> None:
        """`extra` is the name in `pip install 'tflite-pipeline[extra]'`."""
        self.package, self.extra = package, extra
        super().__init__(package, extra)

    def __str__(self) -> str:
        """Name the command that installs it."""
        return f"needs the package {self.package}. Run: pip install 'tflite-pipeline[{self.extra}]'"


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """Give ` Did you mean 'x'?` where one of the choices is close to the word, else nothing."""
    close = difflib.get_close_matches(str(word), list(choices), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
