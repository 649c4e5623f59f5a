"""A recipe and a limit go in; the smallest or fastest file within the limit, checked on unseen samples, comes out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import to_json
from tflite_pipeline.bench import Bench, Options, open_bench
from tflite_pipeline.errors import LimitError, StageError
from tflite_pipeline.pipeline import run_on
from tflite_pipeline.publish import versions
from tflite_pipeline.recipe.load import LoadedRecipe
from tflite_pipeline.search.candidates import Space
from tflite_pipeline.search.clock import Clock, OutOfTimeError
from tflite_pipeline.search.evaluate import Bed
from tflite_pipeline.search.hunt import Hunt, SearchObserver
from tflite_pipeline.search.moves import polish, try_layers, try_schemes, try_training
from tflite_pipeline.search.request import Request, load_base
from tflite_pipeline.search.shelf import BEST, Shelf
from tflite_pipeline.search.trial import Trial
from tflite_pipeline.search.untried import left_out

PHASES: tuple[tuple[str, Callable[[Hunt], None]], ...] = (
    ("schemes", try_schemes),
    ("layers", try_layers),
    ("training", try_training),
    ("polish", polish),
)
FULL = ("verdict", "model", "reference", "metrics", "agreement", "gates", "latency", "samples")
"""What the table has of the report of the full run."""
OUT_OF_TIME = "the budget was spent before all moves were tried; the same command with a larger one goes on"


def search(request: Request, options: Options, observer: SearchObserver) -> dict[str, Any]:
    """Search, check and run the winner in full; give the table, which is `search.json` too.

    The folder `<out>/<name>-search` holds the best so far at any moment. Raises RecipeError for mistakes of the recipe,
    StageError where no candidate can be made at all and where the winner does not come out as it was found.
    """
    base = load_base(request.path, request.overrides, request.allow_code)
    shelf = Shelf.of(base.recipe.name, options)
    asked = _asked(request, base)
    before = {} if options.force else shelf.earlier(asked)
    shelf.forget_pages()
    if not before:
        shelf.clear()
    with open_bench(Path(request.path), shelf.folder.name, options) as bench:
        known = {(recipe, step) for recipe, step in before.get("steps", ())}
        clock = Clock(request.budget, before.get("seconds", 0.0), known)
        metric = base.recipe.validation.metrics[0].key
        space = Space.of(request, base.recipe)

        def keep(hunt: Hunt) -> None:
            best = hunt.best or hunt.nearest()
            shelf.keep(_table(hunt, base, shelf, asked), best, hunt.best is not None)

        moments = {(row["candidate"], row["status"]): row["seconds"] for row in before.get("timeline", ())}
        hunt = Hunt(Bed(bench, observer, metric), space, clock, observer, keep, earlier=moments)
        _try_all(hunt)
        return _finish(hunt, bench, base, shelf, asked)


def exit_code(table: dict[str, Any]) -> int:
    """Give 0 where a file within the limit was found and its full run passed, else 1."""
    return 0 if table["winner"] and table["passed"] else LimitError.exit_code


def _asked(request: Request, base: LoadedRecipe) -> str:
    """Stand for all that decides what a search does, but for its budget."""
    told = [base.sha256, request.max_drop, request.objective]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _try_all(hunt: Hunt) -> None:
    try:
        for name, move in PHASES:
            hunt.observer.phase(name)
            move(hunt)
    except OutOfTimeError:
        hunt.note(OUT_OF_TIME)
    if not any(trial.made for trial in hunt.trials):
        why = "; ".join(dict.fromkeys(f"{trial.choice.name}: {trial.why}" for trial in hunt.trials))
        raise StageError(f"no candidate could be made. {why or 'None was allowed.'}", "See search.allow in the recipe.")


def _finish(hunt: Hunt, bench: Bench, base: LoadedRecipe, shelf: Shelf, asked: str) -> dict[str, Any]:
    winner = _check(hunt)
    last = winner or hunt.nearest()
    _compare(hunt, last)
    report: dict[str, Any] = {}
    if last is not None and last.candidate is not None and last.made is not None:
        hunt.observer.phase("full run")
        report = run_on(bench, last.candidate.loaded, hunt.observer, shelf.folder / BEST).report
        if report["model"]["sha256"] != last.made.sha256:
            text = (
                f"the recipe of {last.choice.name} must make the file that the search found, {last.made.sha256}. Got "
            )
            raise StageError(f"{text}{report['model']['sha256']}.", "Run with --force, and report it if it stays.")
    table = {**_table(hunt, base, shelf, asked), "finished": True}
    if report:
        table |= {"passed": report["passed"], "full": {key: report[key] for key in FULL}}
        table |= {"layers": [_layer(row) for row in report["layers"]["rows"]]}
    if winner is None and last is not None and last.search is not None:
        table |= {"nearest": last.choice.name, "gap": last.worst - hunt.space.request.max_drop}
    shelf.lay_out(table, hunt.trials, winner)
    shelf.keep(table, last, winner is not None and table["passed"])
    shelf.show(table, hunt.trials)
    return table


def _layer(row: dict[str, Any]) -> dict[str, Any]:
    """Give what an op of the winner computes in, of its row in the report."""
    return {key: row[key] for key in ("op", "layer", "tensor", "activations", "weights", "sqnr_db")}


def _check(hunt: Hunt) -> Trial | None:
    """Measure the best on the check half; where a gate fails there, search on above it, and check again."""
    while (best := hunt.best) is not None and best.made is not None:
        hunt.observer.phase("check")
        hunt.observer.candidate(best.choice.name, hunt.clock.left)
        best.check = hunt.bed.judge(best.made, "check")
        if not best.check.failed:
            return best
        told = "; ".join(best.check.failed)
        hunt.note(f"{best.choice.name} held on the search half, and not on samples it had not seen: {told}")
        hunt.disown(best)
        _try_all(hunt)
    return None


def _compare(hunt: Hunt, winner: Trial | None) -> None:
    """Tell of each candidate whether its drop, and its latency, differ from the winner's by more than chance."""
    for trial in hunt.trials:
        if winner is None or winner.made is None or trial.made is None or trial is winner:
            continue
        if trial.search and winner.search:
            trial.against = hunt.bed.against(winner.made, trial.made)
        if winner.lap and trial.lap:
            trial.against["equal_latency"] = _meet(winner.lap.interval, trial.lap.interval)


def _meet(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _table(hunt: Hunt, base: LoadedRecipe, shelf: Shelf, asked: str) -> dict[str, Any]:
    request, best = hunt.space.request, hunt.best
    return {
        "search": 1,
        "asked": asked,
        "recipe": {"name": base.recipe.name, "path": request.path, "sha256": base.sha256},
        "objective": request.objective,
        "metric": hunt.bed.metric,
        "max_drop": request.max_drop,
        "allow": list(base.recipe.search.allow),
        "budget": request.budget,
        "seconds": round(hunt.clock.spent, 3),
        "finished": False,
        "folder": str(shelf.folder),
        "winner": best.choice.name if best else None,
        "nearest": None,
        "gap": None,
        "passed": None,
        "full": {},
        "left_out": [vars(row) for row in left_out(hunt.space)],
        "timeline": list(hunt.timeline),
        "layers": [],
        "versions": versions(),
        "notes": list(hunt.notes),
        "rows": [to_json(trial.row()) for trial in hunt.trials],
        "steps": sorted(map(list, hunt.clock.done)),
    }
