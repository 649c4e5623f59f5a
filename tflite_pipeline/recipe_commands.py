"""The commands that take recipes: run, sweep, search, debug and check; a part of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tflite_pipeline.errors import LimitError, Problem, RecipeError
from tflite_pipeline.streams import say, say_json, tell, tell_error

if TYPE_CHECKING:
    from tflite_pipeline.bench import Options
    from tflite_pipeline.recipe.load import LoadedRecipe
    from tflite_pipeline.terminal import Bars, Watcher

BUILD = "build"


def add_recipe_commands(commands: Any) -> None:
    """Add the commands to the parsers of the command line."""
    for add in (_add_run, _add_sweep, _add_search, _add_debug, _add_check):
        add(commands)


def _add_run(commands: Any) -> None:
    run = commands.add_parser("run", help="run recipes: train, convert, quantize, prove")
    run.add_argument("recipes", nargs="+", metavar="RECIPE", help="path of a recipe")
    _add_recipe_arguments(run)
    _add_result_arguments(run)
    run.add_argument("--json", action="store_true", help="print the reports as JSON")
    run.set_defaults(command=_run)


def _add_sweep(commands: Any) -> None:
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
    sweep.set_defaults(command=_sweep)


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
    search.set_defaults(command=_search)


def _add_debug(commands: Any) -> None:
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
    debug.set_defaults(command=_debug)


def _add_check(commands: Any) -> None:
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
    _add_verbose(check)
    check.set_defaults(command=_check, out=Path(BUILD), force=False)


def _add_recipe_arguments(parser: argparse.ArgumentParser, overriding: str = "override a value, e.g. seed=1") -> None:
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help=overriding)
    parser.add_argument("--allow-code", action="store_true", help="let recipes and models run Python code of their own")


def _add_result_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path(BUILD), help=f"folder of the results (default: {BUILD})")
    parser.add_argument("--force", action="store_true", help="make everything anew, whatever the cache holds")
    _add_verbose(parser)


def _add_verbose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", help="also show each cached stage and the log")


def _run(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.recipe.load import load_recipe

    # All recipes are checked before the first one runs, so that no mistake shows up after an hour.
    loaded = [load_recipe(path, arguments.overrides, arguments.allow_code) for path in arguments.recipes]
    _refuse_equal_names([(recipe.recipe.name, str(recipe.path)) for recipe in loaded])

    from tflite_pipeline.store import refuse_foreign_folders

    refuse_foreign_folders(arguments.out, [recipe.recipe.name for recipe in loaded])

    from tflite_pipeline.pipeline import run
    from tflite_pipeline.run_table import summary
    from tflite_pipeline.terminal import Watcher

    codes, reports = [], []
    for recipe in loaded:
        with Watcher(recipe.recipe.name, arguments.verbose) as watcher:
            result = run(recipe, _options(arguments, watcher), watcher)
        _list_results(arguments.out)
        codes.append(0 if result.report["passed"] else LimitError.exit_code)
        reports.append(result.report)
        if not arguments.json:
            summary(result)
    if arguments.json:
        say_json(reports[0] if len(reports) == 1 else reports)
    return max(codes)


def _list_results(out: Path) -> None:
    """Write the list of all results anew; where it cannot be, that is told, for the result is there all the same."""
    from tflite_pipeline.report.index import INDEX, write_index

    try:
        if not write_index(out):
            tell(f"{out / INDEX} is not of tflite-pipeline, so no list of results was written")
    except OSError as error:
        tell(f"{out / INDEX}: the list of results was not written: {error.strerror}")


def _options(arguments: argparse.Namespace, watcher: Watcher | Bars) -> Options:
    from tflite_pipeline.bench import Options

    return Options(arguments.out, arguments.force, arguments.allow_code, watcher.echo if arguments.verbose else None)


def _refuse_equal_names(recipes: Sequence[tuple[str, str]]) -> None:
    first: dict[str, str] = {}
    problems = []
    for name, path in recipes:
        if name in first:
            problems.append(Problem(path, "name", f"must differ from that of {first[name]}. Got '{name}'."))
        first.setdefault(name, path)
    if problems:
        raise RecipeError(problems)


def _sweep(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.search.variants import plan_variants

    variants = plan_variants(arguments.recipe, arguments.schemes, arguments.overrides, arguments.allow_code)

    from tflite_pipeline.search.sweep import exit_code, sweep
    from tflite_pipeline.sweep_table import SweepWatcher, show

    with SweepWatcher([variant.name for variant in variants]) as watcher:
        table = sweep(arguments.recipe, variants, _options(arguments, watcher), watcher)
    _list_results(arguments.out)
    if arguments.json:
        say_json(table)
    else:
        out = [] if arguments.out == Path(BUILD) else ["--out", str(arguments.out)]
        code = ["--allow-code"] if arguments.allow_code else []
        show(table, ["tflite-pipeline", "run", arguments.recipe, *out, *code])
    return exit_code(table)


def _debug(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.recipe.load import load_recipe

    loaded = load_recipe(arguments.recipe, arguments.overrides, arguments.allow_code)

    from tflite_pipeline.debug import debug
    from tflite_pipeline.debug_table import show
    from tflite_pipeline.terminal import Watcher

    with Watcher(loaded.recipe.name, arguments.verbose) as watcher:
        found = debug(loaded, _options(arguments, watcher), watcher)
    _list_results(arguments.out)
    if arguments.json:
        say_json(found)
    else:
        show(found)
    return 0


def _search(arguments: argparse.Namespace) -> int:
    from tflite_pipeline.search.request import Request, read_budget, read_drop

    words = (arguments.recipe, tuple(arguments.overrides), arguments.allow_code)
    drop, budget = read_drop(arguments.max_drop), read_budget(arguments.budget)
    request = Request(*words, drop, arguments.objective, budget)

    from tflite_pipeline.search.search import exit_code, search
    from tflite_pipeline.search_table import SearchWatcher, show

    with SearchWatcher(budget) as watcher:
        table = search(request, _options(arguments, watcher), watcher)
    _list_results(arguments.out)
    if arguments.json:
        say_json(table)
    else:
        show(table)
    return exit_code(table)


def _check(arguments: argparse.Namespace) -> int:
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
            say(f"{path}: sound")
            for decision in sound[-1].decisions:
                say(f"  {decision}")
    mistakes = [vars(problem) for problem in problems]
    told, code = _look_deep(sound, arguments) if arguments.deep else ([], 0)
    if arguments.json:
        say_json({"mistakes": mistakes, "recipes": told} if arguments.deep else mistakes)
    elif problems:
        tell_error(RecipeError(problems))
    return max(code, RecipeError.exit_code if problems else 0)


def _look_deep(recipes: Sequence[LoadedRecipe], arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], int]:
    """Tell what will become of each recipe's model; give all of it for JSON, and the worst exit code."""
    from tflite_pipeline.deep import foresee
    from tflite_pipeline.deep_table import show
    from tflite_pipeline.terminal import Watcher

    told, code = [], 0
    for recipe in recipes:
        with Watcher(recipe.recipe.name, arguments.verbose) as watcher:
            foresight = foresee(recipe, _options(arguments, watcher), watcher)
        code = max(code, foresight.exit_code)
        told.append(foresight.to_json())
        if not arguments.json:
            show(foresight)
    return told, code
