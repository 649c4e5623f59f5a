"""The folder of a search: what is known so far goes in, files that are whole at any moment come out."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tflite_pipeline.bench import Options
from tflite_pipeline.errors import Problem, RecipeError
from tflite_pipeline.recipe.load import LoadedRecipe
from tflite_pipeline.report.build import write_json
from tflite_pipeline.report.search_page import PAGE, search_page
from tflite_pipeline.report.search_summary import SUMMARY, search_summary
from tflite_pipeline.runtime.disk import put
from tflite_pipeline.search.pareto import draw, front, point
from tflite_pipeline.search.trial import Trial
from tflite_pipeline.store import refuse_foreign_folders

SEARCH_MARK = "search.json"
"""All that was tried, and the file by which the folder of a search is known."""
MODEL, FAILED, WINNER, BEST = "model.tflite", "model.FAILED.tflite", "winner.yaml", "best"


@dataclass(frozen=True)
class Shelf:
    """The folder; every file in it is replaced as a whole."""

    folder: Path

    @classmethod
    def of(cls, name: str, options: Options) -> Shelf:
        """Take `<out>/<name>-search`. Raises RecipeError where something else is in its place."""
        folder = options.out / f"{name}-search"
        if folder.is_dir() and any(folder.iterdir()) and not (folder / SEARCH_MARK).is_file():
            text = f"must be a folder where '{folder.name}' is free or a search. Got '{folder}', which is neither."
            raise RecipeError([Problem("", "--out", f"{text} Choose another --out, or another name in the recipe.")])
        if folder.is_dir():
            refuse_foreign_folders(folder, [BEST])
        else:
            refuse_foreign_folders(options.out, [folder.name])
        return cls(folder)

    def earlier(self, asked: str) -> dict[str, Any]:
        """Give the table of an earlier attempt at the same search; nothing where there is none."""
        with contextlib.suppress(OSError, ValueError):
            table: dict[str, Any] = json.loads((self.folder / SEARCH_MARK).read_text())
            if table.get("asked") == asked:
                return table
        return {}

    def clear(self) -> None:
        """Delete what another search has left here, and nothing else; the mark last."""
        for name in (BEST, "pareto"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in (MODEL, FAILED, WINNER, "pareto.json", "pareto.svg", SEARCH_MARK):
            (self.folder / name).unlink(missing_ok=True)

    def keep(self, table: dict[str, Any], best: Trial | None, holds: bool) -> None:
        """Write the table, and the best so far with its recipe; a file beyond the limit gets another name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._put(SEARCH_MARK, lambda path: write_json(path, table))
        if best is None or best.made is None or best.candidate is None:
            return
        made, recipe = best.made, best.candidate.loaded
        named, other = (MODEL, FAILED) if holds else (FAILED, MODEL)
        self._put(named, lambda path: shutil.copyfile(made.path, path))
        (self.folder / other).unlink(missing_ok=True)
        self._put(WINNER, lambda path: path.write_text(recipe_text(recipe, best, holds)))

    def lay_out(self, table: dict[str, Any], trials: Sequence[Trial], winner: Trial | None) -> list[dict[str, Any]]:
        """Write the front: `pareto.json`, a recipe for each point, the plot; give the points."""
        kept = front(trials, table["objective"])
        points = [point(trial, number, winner) for number, trial in enumerate(kept, 1)]
        recipes = self.folder / "pareto"
        recipes.mkdir(parents=True, exist_ok=True)
        for number, trial in enumerate(kept, 1):
            if trial.candidate is not None:
                text = recipe_text(trial.candidate.loaded, trial, trial.status == "accepted")
                self._put(f"pareto/{number}.yaml", partial(_write, text))
        for old in set(recipes.glob("*.yaml")) - {recipes / f"{number}.yaml" for number in range(1, len(kept) + 1)}:
            old.unlink()
        about = {key: table[key] for key in ("recipe", "objective", "metric", "max_drop")}
        self._put("pareto.json", lambda path: write_json(path, {"pareto": 1, **about, "points": points}))
        self._put("pareto.svg", lambda path: draw(table, points, path))
        return points

    def forget_pages(self) -> None:
        """Delete what shows an earlier attempt."""
        for name in (PAGE, SUMMARY):
            (self.folder / name).unlink(missing_ok=True)

    def show(self, table: dict[str, Any], trials: Sequence[Trial]) -> None:
        """Write the page, and the summary with the same numbers."""
        recipes = {trial.choice.name: trial.candidate.loaded.resolved for trial in trials if trial.candidate}
        self._put(PAGE, lambda path: path.write_text(search_page(table, recipes)))
        self._put(SUMMARY, lambda path: path.write_text(search_summary(table)))

    def _put(self, name: str, write: Callable[[Path], Any]) -> None:
        put(self.folder / name, write)


def _write(text: str, path: Path) -> None:
    path.write_text(text)


def recipe_text(recipe: LoadedRecipe, trial: Trial, holds: bool) -> str:
    """Give the recipe of a trial as a file, with a header that tells how to run it and what to expect."""
    size = trial.made.bytes if trial.made else 0
    lines = [f"# tflite-pipeline run THIS_FILE{' --allow-code' if _has_code(recipe) else ''}"]
    lines.append(f"# {trial.choice.name}: {size} bytes, sha256 {trial.made.sha256 if trial.made else ''}")
    if trial.search:
        row = trial.search.metric
        low, high = row["interval"]
        beyond = "" if holds else "; beyond the limit"
        lines.append(f"# drop {row['drop']:.4g}, between {low:.4g} and {high:.4g} on {row['samples']} samples{beyond}")
    lines.append("# The gates go by the values alone (confidence: 0), as the search did; the report has the intervals.")
    return "\n".join(lines) + "\n" + recipe.resolved


def _has_code(recipe: LoadedRecipe) -> bool:
    sections = recipe.recipe.model, recipe.recipe.dataset
    return any(getattr(section, "source", "") == "factory" for section in sections)
