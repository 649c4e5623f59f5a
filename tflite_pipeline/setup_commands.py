"""The commands that help to begin: init, list, schema, doctor and completion; a part of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tflite_pipeline.errors import MissingExtraError, RecipeError
from tflite_pipeline.streams import say, say_json, tell_error

SHELLS = ("bash", "zsh", "fish")


def add_setup_commands(commands: Any, whole: Callable[[], argparse.ArgumentParser]) -> None:
    """Add the commands to the parsers of the command line; `whole` builds the parser of all of it."""
    _add_init(commands)

    listing = commands.add_parser("list", help="list what a recipe can name, with one line of help each")
    listing.add_argument("kind", nargs="?", metavar="KIND", help="e.g. schemes, metrics, targets; all when left out")
    listing.add_argument("--json", action="store_true", help="print as JSON")
    listing.set_defaults(command=_list)

    schema = commands.add_parser("schema", help="print the JSON Schema of recipes, for editors")
    schema.set_defaults(command=_schema)

    doctor = commands.add_parser(
        "doctor",
        help="tell whether Python, packages, memory and disk are as they must be",
        description="Look at Python, the packages, what gets in their way, the machine and the cache; without "
        "TensorFlow, in a fraction of a second.",
        epilog="exit codes: 0 sound, 2 something must be mended, 4 an extra that was named is missing",
    )
    doctor.add_argument("extras", nargs="*", metavar="EXTRA", help="extras that must be there, e.g. vela")
    doctor.add_argument("--out", type=Path, default=Path("build"), help="folder of the results (default: build)")
    doctor.add_argument("--json", action="store_true", help="print as JSON")
    doctor.set_defaults(command=_doctor)

    completion = commands.add_parser(
        "completion",
        help="print a script that completes words in a shell",
        description="Print the script. bash: put 'source <(tflite-pipeline completion bash)' into ~/.bashrc. zsh: "
        "write it to a file _tflite-pipeline in a folder of $fpath. fish: to "
        "~/.config/fish/completions/tflite-pipeline.fish.",
    )
    completion.add_argument("shell", choices=SHELLS, help="the shell")
    completion.set_defaults(command=_completion, whole=whole)


def _add_init(commands: Any) -> None:
    init = commands.add_parser(
        "init",
        help="look at a model, and data, and write a recipe to begin with",
        description="Look at a model, and at data if there are any, and write a recipe that runs, with a comment on "
        "each choice. What is a guess is marked CHECK, what only you know FILL IN.",
        epilog="exit codes: 0 written, 2 a wrong path or a file that is there already, 3 the model or the data cannot "
        "be read",
    )
    init.add_argument(
        "model", metavar="MODEL", help="a .keras, .h5 or .tflite, a SavedModel folder, or a name such as MobileNetV2"
    )
    init.add_argument(
        "--data", metavar="DATA", help="an .npz, a folder with one sub-folder of images a class, or digits"
    )
    init.add_argument("--out", type=Path, metavar="RECIPE", help="the recipe (default: the model's name, here)")
    init.add_argument("--allow-code", action="store_true", help="let models run Python code of their own")
    init.add_argument("--json", action="store_true", help="print what was found as JSON")
    init.set_defaults(command=_init)


def _init(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.starter.init import Wish, init
    from tflite_pipeline.starter_table import show
    from tflite_pipeline.terminal import Watcher

    with Watcher("init") as watcher:
        started = init(Wish(arguments.model, arguments.data, arguments.out, arguments.allow_code), watcher)
    if arguments.json:
        say_json(started.to_json())
    else:
        show(started)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.listing import choose, listing
    from tflite_pipeline.listing_table import show

    tables = choose(listing(), arguments.kind)
    if arguments.json:
        say_json(tables)
    else:
        show(tables)
    return 0


def _schema(_: argparse.Namespace) -> int:
    from tflite_pipeline.recipe.editor import json_schema

    say_json(json_schema())
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.doctor import examine, missing_extra
    from tflite_pipeline.doctor_table import show

    found = examine(arguments.out)
    missing = missing_extra(found, arguments.extras)
    if arguments.json:
        say_json(found)
    else:
        show(found)
    if not found["sound"]:
        return RecipeError.exit_code
    if missing is not None:
        tell_error(missing)
        return MissingExtraError.exit_code
    return 0


def _completion(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.completion import script

    say(script(arguments.whole(), arguments.shell))
    return 0
