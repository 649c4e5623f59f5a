"""The command line: words in, work started, an exit code out. Nothing slow is imported before it is needed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tflite_pipeline import __version__
from tflite_pipeline.errors import LimitError, PipelineError, Problem, RecipeError
from tflite_pipeline.file_commands import add_file_commands

if TYPE_CHECKING:
    from tflite_pipeline.recipe.load import LoadedRecipe

INTERRUPTED = 130
USAGE = 2
BUILD = "build"


def main() -> None:
    """Run the console script under absl."""
    try:
        from absl import app
        from absl.flags import argparse_flags

        app.run(_run, flags_parser=lambda argv: _parser(argparse_flags.ArgumentParser).parse_args(argv[1:]))
    except KeyboardInterrupt:
        _tell("\ninterrupted. What was finished is kept: run the same command again to go on.")
        _leave(INTERRUPTED)


def _run(arguments: argparse.Namespace) -> int:
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except PipelineError as error:
        _tell(str(error))
        return error.exit_code
    except BrokenPipeError:
        _leave(0)
    return 0


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _leave(code: int) -> None:
    """End at once, without waiting for threads or exit handlers."""
    os._exit(code)


def _parser(kind: type[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    parser = kind(
        prog="tflite-pipeline",
        description="From a YAML recipe to a proven .tflite file.",
        epilog="exit codes: 0 all gates passed, 1 a gate did not pass, 2 recipe or usage, 3 a stage failed, "
        "4 an extra is missing",
    )
    parser.add_argument("--version", action="version", version=f"tflite-pipeline {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run recipes: train, convert, quantize, prove")
    run.add_argument("recipes", nargs="+", metavar="RECIPE", help="path of a recipe")
    _add_recipe_arguments(run)
    _add_result_arguments(run)
    run.add_argument("--json", action="store_true", help="print the reports as JSON")
    run.set_defaults(command=_command_run)

    sweep = commands.add_parser(
        "sweep",
        help="run a recipe under many schemes and settings, and compare",
        description="Run a recipe under many schemes and settings; one table tells what came out. What variants have "
        "in common is done once. The same command goes on after an interruption.",
        epilog="exit codes: 0 all variants ran and at least one passed its gates, 1 none passed, 2 recipe or usage, "
        "3 a variant ended in an error (the others are shown)",
    )
    sweep.add_argument("recipe", metavar="RECIPE", help="path of a recipe")
    sweep.add_argument("--schemes", metavar="A,B,…", help="schemes to try (default: all that the recipe's data allow)")
    _add_recipe_arguments(sweep, "override a value; each item of a list is tried, e.g. seed=[0,1]; [[a,b]] is one list")
    _add_result_arguments(sweep)
    sweep.add_argument("--json", action="store_true", help="print the table as JSON")
    sweep.set_defaults(command=_command_sweep)

    debug = commands.add_parser(
        "debug",
        help="tell which layers lose accuracy, why, and what helps",
        description="Quantize as the recipe says, measure what every op loses, and tell of the worst ten the likely "
        "cause and the remedy.",
        epilog="exit codes: 0 measured, 2 recipe or usage, 3 a stage failed",
    )
    debug.add_argument("recipe", metavar="RECIPE", help="path of a recipe")
    _add_recipe_arguments(debug)
    _add_result_arguments(debug)
    debug.add_argument("--json", action="store_true", help="print the findings as JSON")
    debug.set_defaults(command=_command_debug)

    _add_search(commands)
    add_file_commands(commands)

    check = commands.add_parser(
        "check",
        help="tell all mistakes of recipes, without TensorFlow; --deep: what becomes of each layer",
        epilog="exit codes: 0 sound, 2 mistakes, 3 with --deep where a stage or the gate of the scheme would fail",
    )
    check.add_argument("recipes", nargs="+", metavar="RECIPE", help="path of a recipe")
    _add_recipe_arguments(check)
    check.add_argument(
        "--deep",
        action="store_true",
        help="also build the model, and tell what will become of each layer and all that will fail; takes no data",
    )
    check.add_argument("--json", action="store_true", help="print the mistakes, or with --deep all of it, as JSON")
    check.set_defaults(command=_command_check)

    listing = commands.add_parser("list", help="list schemes, sources, metrics, preprocessing steps, targets")
    listing.add_argument("--json", action="store_true", help="print as JSON")
    listing.set_defaults(command=_command_list)

    schema = commands.add_parser("schema", help="print the JSON Schema of recipes, for editors")
    schema.set_defaults(command=_command_schema)
    return parser


def _add_search(commands: Any) -> None:
    search = commands.add_parser(
        "search",
        help="find the smallest or fastest file that loses little enough",
        description="Try schemes, calibration methods, recovery, precisions by layer and training; keep the "
        "smallest (or fastest) file whose drop is within the limit, and check it on samples that the search has not "
        "seen. The best so far is always in OUT/NAME-search; the same command goes on after an interruption.",
        epilog="exit codes: 0 found, 1 nothing is within the limit (the nearest file is kept), 2 recipe or usage, "
        "3 a stage failed",
    )
    search.add_argument("recipe", metavar="RECIPE", help="path of a recipe")
    search.add_argument(
        "--max-drop",
        required=True,
        metavar="D",
        help="how much worse than float the recipe's first metric may be, e.g. 0.005 for half a point of top1",
    )
    search.add_argument("--objective", choices=("size", "latency"), default="size", help="what is to be low")
    search.add_argument("--budget", default="20m", metavar="TIME", help="e.g. 90s, 20m, 1h, over all attempts (20m)")
    _add_recipe_arguments(search)
    _add_result_arguments(search)
    search.add_argument("--json", action="store_true", help="print all that was tried as JSON")
    search.set_defaults(command=_command_search)


def _add_recipe_arguments(parser: argparse.ArgumentParser, overriding: str = "override a value, e.g. seed=1") -> None:
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help=overriding)
    parser.add_argument("--allow-code", action="store_true", help="let recipes and models run Python code of their own")


def _add_result_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path(BUILD), help=f"folder of the results (default: {BUILD})")
    parser.add_argument("--force", action="store_true", help="make everything anew, whatever the cache holds")


def _command_run(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.recipe.load import load_recipe

    # All recipes are checked before the first one runs, so that no mistake shows up after an hour.
    loaded = [load_recipe(path, arguments.overrides, arguments.allow_code) for path in arguments.recipes]
    _refuse_equal_names([(recipe.recipe.name, str(recipe.path)) for recipe in loaded])

    from tflite_pipeline.store import refuse_foreign_folders

    refuse_foreign_folders(arguments.out, [recipe.recipe.name for recipe in loaded])

    from tflite_pipeline.bench import Options
    from tflite_pipeline.pipeline import run
    from tflite_pipeline.terminal import Watcher, summary

    options = Options(arguments.out, arguments.force, arguments.allow_code)
    codes, reports = [], []
    for recipe in loaded:
        watcher = Watcher(recipe.recipe.name)
        with watcher:
            result = run(recipe, options, watcher)
        codes.append(0 if result.report["passed"] else LimitError.exit_code)
        reports.append(result.report)
        if not arguments.json:
            summary(result)
    if arguments.json:
        _print(json.dumps(reports[0] if len(reports) == 1 else reports, indent=2))
    return max(codes)


def _refuse_equal_names(recipes: Sequence[tuple[str, str]]) -> None:
    first: dict[str, str] = {}
    problems = []
    for name, path in recipes:
        if name in first:
            problems.append(Problem(path, "name", f"must differ from that of {first[name]}. Got '{name}'."))
        first.setdefault(name, path)
    if problems:
        raise RecipeError(problems)


def _command_sweep(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.search.variants import plan_variants

    variants = plan_variants(arguments.recipe, arguments.schemes, arguments.overrides, arguments.allow_code)

    from tflite_pipeline.bench import Options
    from tflite_pipeline.search.sweep import exit_code, sweep
    from tflite_pipeline.sweep_table import SweepWatcher, show

    options = Options(arguments.out, arguments.force, arguments.allow_code)
    with SweepWatcher([variant.name for variant in variants]) as watcher:
        table = sweep(arguments.recipe, variants, options, watcher)
    if arguments.json:
        _print(json.dumps(table, indent=2))
    else:
        out = [] if arguments.out == Path(BUILD) else ["--out", str(arguments.out)]
        code = ["--allow-code"] if arguments.allow_code else []
        show(table, ["tflite-pipeline", "run", arguments.recipe, *out, *code])
    return exit_code(table)


def _command_debug(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.recipe.load import load_recipe

    loaded = load_recipe(arguments.recipe, arguments.overrides, arguments.allow_code)

    from tflite_pipeline.bench import Options
    from tflite_pipeline.debug import debug
    from tflite_pipeline.debug_table import show
    from tflite_pipeline.terminal import Watcher

    with Watcher(loaded.recipe.name) as watcher:
        found = debug(loaded, Options(arguments.out, arguments.force, arguments.allow_code), watcher)
    if arguments.json:
        _print(json.dumps(found, indent=2))
    else:
        show(found)
    return 0


def _command_search(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.search.request import Request, read_budget, read_drop

    words = (arguments.recipe, tuple(arguments.overrides), arguments.allow_code)
    drop, budget = read_drop(arguments.max_drop), read_budget(arguments.budget)
    request = Request(*words, drop, arguments.objective, budget)

    from tflite_pipeline.bench import Options
    from tflite_pipeline.search.search import exit_code, search
    from tflite_pipeline.search_table import SearchWatcher, show

    options = Options(arguments.out, arguments.force, arguments.allow_code)
    with SearchWatcher(budget) as watcher:
        table = search(request, options, watcher)
    if arguments.json:
        _print(json.dumps(table, indent=2))
    else:
        show(table)
    return exit_code(table)


def _command_check(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.recipe.load import load_recipe

    problems: list[Problem] = []
    sound: list[LoadedRecipe] = []
    for path in arguments.recipes:
        try:
            sound.append(load_recipe(path, arguments.overrides, arguments.allow_code))
        except RecipeError as error:
            problems += error.problems
            continue
        if not arguments.json:
            _print(f"{path}: sound")
    mistakes = [vars(problem) for problem in problems]
    told, code = _look_deep(sound, arguments) if arguments.deep else ([], 0)
    if arguments.json:
        _print(json.dumps({"mistakes": mistakes, "recipes": told} if arguments.deep else mistakes, indent=2))
    elif problems:
        _tell(str(RecipeError(problems)))
    return max(code, USAGE if problems else 0)


def _look_deep(recipes: Sequence[LoadedRecipe], arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], int]:
    """Tell what will become of each recipe's model; give all of it for JSON, and the worst exit code."""
    from tflite_pipeline.bench import Options
    from tflite_pipeline.deep import foresee
    from tflite_pipeline.deep_table import show
    from tflite_pipeline.terminal import Watcher

    options = Options(Path(BUILD), allow_code=arguments.allow_code)
    told, code = [], 0
    for recipe in recipes:
        with Watcher(recipe.recipe.name) as watcher:
            foresight = foresee(recipe, options, watcher)
        code = max(code, foresight.exit_code)
        told.append(foresight.to_json())
        if not arguments.json:
            show(foresight)
    return told, code


def _command_list(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.listing import listing

    tables = listing()
    if arguments.json:
        _print(json.dumps(tables, indent=2))
        return 0
    for title, rows in tables.items():
        _print(title)
        width = max(map(len, rows))
        _print("".join(f"  {name:{width}}  {text}\n" for name, text in rows.items()))
    return 0


def _command_schema(_: argparse.Namespace) -> int:
    from tflite_pipeline.recipe.schema import json_schema

    _print(json.dumps(json_schema(), indent=2))
    return 0


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
