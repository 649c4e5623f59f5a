"""Variants of a recipe go in; each is run, and one table of what came out, `sweep.json`, is left beside the files."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from tflite_pipeline.bench import Bench, Options, open_bench
from tflite_pipeline.errors import LimitError, PipelineError, Problem, RecipeError, StageError
from tflite_pipeline.pipeline import run_on
from tflite_pipeline.publish import versions
from tflite_pipeline.report.build import write_json
from tflite_pipeline.report.sweep_page import PAGE, sweep_page
from tflite_pipeline.report.sweep_summary import SUMMARY, sweep_summary
from tflite_pipeline.runtime.disk import put
from tflite_pipeline.search.rows import best_row, failed_row, judged_row, waiting_row
from tflite_pipeline.search.variants import Variant
from tflite_pipeline.stage import Observer
from tflite_pipeline.store import RESULT_MARK, refuse_foreign_folders

SWEEP_MARK = "sweep.json"
"""The table, and the file by which the folder of a sweep is known."""
BEFORE_QUANTIZATION = frozenset({"model", "dataset evaluation", "dataset training", "train", "probe", "export"})
"""Stages that know nothing of the quantization: where one fails, it fails for all variants that differ in it alone."""


class SweepObserver(Observer, Protocol):
    """Who watches a sweep."""

    def variant(self, number: int, name: str) -> None:
        """Note that a variant starts; `number` counts from 1."""

    def judged(self, row: dict[str, Any], seconds: float) -> None:
        """Note how a variant ended."""


def sweep_folder(variants: Sequence[Variant], options: Options) -> Path:
    """Give the folder of the sweep, after making sure that nothing else is in its place.

    Raises RecipeError where it, or a folder that it would replace, is something that no sweep has made.
    """
    folder = options.out / f"{variants[0].loaded.recipe.name}-sweep"
    if folder.is_dir() and any(folder.iterdir()) and not (folder / SWEEP_MARK).is_file():
        text = f"must be a folder where '{folder.name}' is free or a sweep. Got '{folder}', which is neither."
        raise RecipeError([Problem("", "--out", f"{text} Choose another --out, or another name in the recipe.")])
    if folder.is_dir():
        refuse_foreign_folders(folder, [variant.folder for variant in variants])
    else:
        refuse_foreign_folders(options.out, [folder.name])
    return folder


def sweep(path: str, variants: Sequence[Variant], options: Options, observer: SweepObserver) -> dict[str, Any]:
    """Run the variants of the recipe file one after the other on one bench, and give the table, plain JSON values.

    A variant that fails is a row with the error. The table is written after every row, so a sweep that was killed
    tells how far it came; the cache lets it go on from there. Raises StageError where the table cannot be written.
    """
    folder = sweep_folder(variants, options)
    rows = [waiting_row(variant) for variant in variants]
    failed_before: dict[str, StageError] = {}
    with open_bench(Path(path), folder.name, options) as bench:
        _clear(folder, {variant.folder for variant in variants})
        table = _write(folder, path, variants, rows)
        try:
            for position, variant in enumerate(variants):
                observer.variant(position + 1, variant.name)
                begin = time.perf_counter()
                rows[position] = _row(bench, variant, folder / variant.folder, observer, failed_before)
                table = _write(folder, path, variants, rows)
                observer.judged(rows[position], time.perf_counter() - begin)
        finally:  # one that is interrupted shows what it has
            _show(folder, table, variants)
    return table


def exit_code(table: dict[str, Any]) -> int:
    """Give 3 where a variant ended in an error, else 0 where at least one passed its gates, else 1."""
    states = {row["status"] for row in table["rows"]}
    if "error" in states:
        return StageError.exit_code
    return 0 if "passed" in states else LimitError.exit_code


def _row(
    bench: Bench, variant: Variant, folder: Path, observer: Observer, failed_before: dict[str, StageError]
) -> dict[str, Any]:
    common = _without_quantization(variant)
    failure: PipelineError | None = failed_before.get(common)
    if failure is None:
        try:
            return judged_row(variant, run_on(bench, variant.loaded, observer, folder).report)
        except PipelineError as error:
            failure = error
            if isinstance(error, StageError) and error.stage in BEFORE_QUANTIZATION:
                failed_before[common] = error
    if (folder / RESULT_MARK).is_file():  # of an earlier sweep
        shutil.rmtree(folder)
    return failed_row(variant, failure)


def _show(folder: Path, table: dict[str, Any], variants: Sequence[Variant]) -> None:
    recipes = {variant.name: variant.loaded.resolved for variant in variants}
    put(folder / PAGE, lambda path: path.write_text(sweep_page(table, recipes)))
    put(folder / SUMMARY, lambda path: path.write_text(sweep_summary(table)))


def _without_quantization(variant: Variant) -> str:
    rest = variant.loaded.recipe.model_dump(mode="json", exclude={"quantization": True, "dataset": {"calibration"}})
    return json.dumps(rest, sort_keys=True)


def _clear(folder: Path, keep: set[str]) -> None:
    """Delete the results of an earlier sweep into this folder that are none of this one's, and what shows them."""
    for name in (PAGE, SUMMARY):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        before = json.loads((folder / SWEEP_MARK).read_text())
        for name in {str(row["folder"]) for row in before["rows"]} - keep:
            if (folder / name).resolve().parent == folder.resolve() and (folder / name / RESULT_MARK).is_file():
                shutil.rmtree(folder / name)


def _write(folder: Path, path: str, variants: Sequence[Variant], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    best = best_row(rows)
    table = {
        "sweep": 1,
        "recipe": {"name": variants[0].loaded.recipe.name, "path": path},
        "folder": str(folder),
        "best": best["variant"] if best else None,
        "versions": versions(),
        "rows": list(rows),
    }
    folder.mkdir(parents=True, exist_ok=True)
    put(folder / SWEEP_MARK, lambda path: write_json(path, table))
    return table
