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
from typing import Literal

Topic = Literal["", "gates", "recipe", "extra", "crash", "memory", "disk", "bug"]
HELP = "docs/troubleshooting.md"
"""Has a section for each code."""

STAGE_CODES = {
    "": "file",
    "model": "model",
    "dataset": "dataset",
    "probe": "dataset",
    "hygiene": "calibration",
    "train": "training",
    "training": "training",
    "tune": "training",
    "rounded": "training",
    "verdict": "training",
    "export": "export",
    "calibrate": "calibration",
    "spread": "calibration",
    "engine": "quantization",
    "quantize": "quantization",
    "draft": "quantization",
    "assign": "quantization",
    "equalize": "recovery",
    "absorb": "recovery",
    "obstacle": "recovery",
    "recover": "recovery",
    "recovery": "recovery",
    "parity": "evaluation",
    "predict": "evaluation",
    "compare": "evaluation",
    "errors": "evaluation",
    "kernels": "evaluation",
    "sensitivity": "evaluation",
    "profile": "evaluation",
    "targets": "targets",
    "describe": "handoff",
    "handoff": "handoff",
}
"""Where more is told of an error, by the first word of the stage's label."""


class PipelineError(Exception):
    """What a user can cause or mend; anything else that is raised is a bug of the project."""

    exit_code = 3
    topic: Topic = ""
    """The code of an error that does not go by its stage."""


class LimitError(PipelineError):
    """At least one gate did not pass."""

    exit_code = 1
    topic: Topic = "gates"


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
    topic: Topic = "recipe"

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

    def __init__(self, what: str, remedy: str = "", stage: str = "", log: str = "", topic: Topic = "") -> None:
        """`log` holds the last lines of the log where they say more than `what` does.

        `topic` is the code of an error that may come up in any stage.
        """
        self.what, self.remedy, self.stage, self.log, self.topic = what, remedy, stage, log, topic
        super().__init__(what, remedy, stage, log, topic)

    def __str__(self) -> str:
        """Give what happened, the last log lines and the remedy, each on lines of its own."""
        head = f"stage {self.stage}: {self.what}" if self.stage else self.what
        log = "\n".join(f"  | {line}" for line in self.log.splitlines())
        return "\n".join(part for part in (head, log, self.remedy) if part)


class MissingExtraError(PipelineError):
    """An optional package is not installed."""

    exit_code = 4
    topic: Topic = "extra"

    def __init__(self, package: str, extra: str) -> None:
        """`extra` is the name in `pip install 'tflite-pipeline[extra]'`."""
        self.package, self.extra = package, extra
        super().__init__(package, extra)

    def __str__(self) -> str:
        """Name the command that installs it."""
        return f"needs the package {self.package}. Run: pip install 'tflite-pipeline[{self.extra}]'"


def gate_code(gate: str) -> str:
    """Name the section of the troubleshooting page for a gate such as `max_drop:top1`."""
    return f"gate-{gate.partition(':')[0]}"


def section(code: str) -> str:
    """Say where to read more."""
    return f"{HELP}#{code}"


def help_line(error: PipelineError) -> str:
    """Give the line that says where to read more about an error."""
    stage = error.stage if isinstance(error, StageError) else ""
    return f"help: {section(error.topic or STAGE_CODES.get(stage.partition(' ')[0], 'stage'))}"


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """Give ` Did you mean 'x'?` where one of the choices is close to the word, else nothing."""
    close = difflib.get_close_matches(str(word), list(choices), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
