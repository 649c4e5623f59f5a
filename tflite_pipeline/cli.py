"""The command line: words in, work started, an exit code out. Nothing slow is imported before it is needed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from tflite_pipeline import __version__
from tflite_pipeline.errors import PipelineError
from tflite_pipeline.file_commands import add_file_commands
from tflite_pipeline.recipe_commands import add_recipe_commands
from tflite_pipeline.setup_commands import add_setup_commands
from tflite_pipeline.streams import tell, tell_error

INTERRUPTED = 130


def main() -> None:
    """Run the console script under absl."""
    try:
        from absl import app
        from absl.flags import argparse_flags

        app.run(_run, flags_parser=lambda argv: build_parser(argparse_flags.ArgumentParser).parse_args(argv[1:]))
    except KeyboardInterrupt:
        tell("\ninterrupted. What was finished is kept: run the same command again to go on.")
        _leave(INTERRUPTED)


def _run(arguments: argparse.Namespace) -> int:
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except PipelineError as error:
        tell_error(error)
        return error.exit_code
    except BrokenPipeError:
        _leave(0)
    return 0


def _leave(code: int) -> None:
    """End at once, without waiting for threads or exit handlers."""
    os._exit(code)


def build_parser(kind: type[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Give the parser of all commands; each one leaves its function as `command`."""
    parser = kind(
        prog="tflite-pipeline",
        description="From a YAML recipe to a proven .tflite file.",
        epilog="exit codes: 0 all gates passed, 1 a gate did not pass, 2 recipe or usage, 3 a stage failed, "
        "4 an extra is missing",
    )
    parser.add_argument("--version", action="version", version=f"tflite-pipeline {__version__}")
    # Flags of absl, of which one is called -v, stand before the command.
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=argparse.ArgumentParser)
    add_recipe_commands(commands)
    add_file_commands(commands)
    add_setup_commands(commands, lambda: build_parser(argparse.ArgumentParser))
    return parser
