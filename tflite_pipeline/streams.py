"""What the command line says goes to stdout, or to stderr where it is no result."""

from __future__ import annotations

import json
import sys
from typing import Any

from tflite_pipeline.errors import PipelineError, help_line


def say(text: str) -> None:
    """Print a result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """Print a result as JSON."""
    say(json.dumps(value, indent=2))


def tell(text: str) -> None:
    """Print what is no result, such as a mistake."""
    sys.stderr.write(f"{text}\n")


def tell_error(error: PipelineError) -> None:
    """Print what went wrong, how to mend it, and where more is to be read."""
    tell(f"{error}\n{help_line(error)}")
