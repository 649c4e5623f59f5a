"""The commands that take files and no recipe: `inspect`, `diff` and `compare`; a part of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tflite_pipeline.errors import LimitError
from tflite_pipeline.streams import say_json

PAGE = Path("build") / "compare.html"


def add_file_commands(commands: Any) -> None:
    """Add the commands to the parsers of the command line."""
    inspect = commands.add_parser(
        "inspect",
        help="tell what a .tflite file holds",
        description="Tell what a .tflite file of any origin, or the one in a hand-off bundle, really holds.",
        epilog="exit codes: 0 told, 2 no such file, 3 it is damaged or too large",
    )
    inspect.add_argument("file", type=Path, metavar="FILE", help="a .tflite or handoff.zip")
    inspect.add_argument("--json", action="store_true", help="print all of it as JSON")
    inspect.set_defaults(command=_inspect)

    diff = commands.add_parser(
        "diff",
        help="tell what changed between two .tflite files, and whether the app has to change",
        description="Compare two .tflite files or hand-off bundles: what the app relies on first.",
        epilog="exit codes: 0 the app can take either, 1 the app must change, 2 no such file, 3 one is damaged",
    )
    diff.add_argument("before", type=Path, metavar="A", help="what the app has: a .tflite or handoff.zip")
    diff.add_argument("after", type=Path, metavar="B", help="what it is to get")
    diff.add_argument("--json", action="store_true", help="print all changes as JSON")
    diff.set_defaults(command=_diff)
    _add_compare(commands)


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="put the results of several runs side by side",
        description="Put results side by side: metrics with intervals, size, latency, gates, and the keys in which "
        "their recipes differ. A sweep or a search stands for its results.",
        epilog="exit codes: 0 told, 2 one of them holds no report",
    )
    compare.add_argument("results", nargs="+", type=Path, metavar="RESULT", help="a result folder, or its report.json")
    compare.add_argument("--out", type=Path, default=PAGE, metavar="FILE", help=f"the page (default: {PAGE})")
    compare.add_argument("--json", action="store_true", help="print all of it as JSON")
    compare.set_defaults(command=_compare)


def _inspect(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.inspect_table import show
    from tflite_pipeline.inspecting import inspect

    (look,) = inspect(arguments.file)
    if arguments.json:
        say_json(look.told)
    else:
        show(look.told)
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.changes import compare
    from tflite_pipeline.inspect_table import show_changes
    from tflite_pipeline.inspecting import inspect

    told = compare(*inspect(arguments.before, arguments.after))
    if arguments.json:
        say_json(told)
    else:
        show_changes(told)
    return LimitError.exit_code if told["app"] else 0


def _compare(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.compare_table import show
    from tflite_pipeline.comparing import compare, write_comparison

    told = compare(arguments.results)
    write_comparison(told, arguments.out)
    if arguments.json:
        say_json(told)
    else:
        show(told, arguments.out)
    return 0
