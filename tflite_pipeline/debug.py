"""A checked recipe in; what every op loses, why and what helps, worst first, and an overlay of the graph out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from tflite_pipeline.artifacts import Ranges, Samples, to_json
from tflite_pipeline.bench import Options, open_bench
from tflite_pipeline.causes import Suspect, finer_scheme
from tflite_pipeline.convert.calibrate import calibrate
from tflite_pipeline.convert.sensitivity import Sensitivity, measure_sensitivity
from tflite_pipeline.convert.spec import BEFORE_CALIBRATION, as_made
from tflite_pipeline.course import Course
from tflite_pipeline.errors import Problem, RecipeError, StageError
from tflite_pipeline.op_errors import fewer, judged, measure, open_passes
from tflite_pipeline.overlay import overlay
from tflite_pipeline.quantizing import CORES, Made
from tflite_pipeline.recipe.load import LoadedRecipe
from tflite_pipeline.recipe.schema import Recipe
from tflite_pipeline.report.build import write_json
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.stage import Observer, Runner
from tflite_pipeline.store import Entry, refuse_foreign_folders
from tflite_pipeline.train.spec import Qat, steps_of
from tflite_pipeline.validate.layer_errors import LayerErrors, OpErrors

T = TypeVar("T")

MOST_SAMPLES = 200
"""More change the figures of an op little."""
WORST = 10
DEBUG_MARK = "debug.json"
"""The file by which the folder of a debug is known."""
OVERLAY, MODEL = "model_explorer.json", "quantized.tflite"


def debug(loaded: LoadedRecipe, options: Options, observer: Observer) -> dict[str, Any]:
    """Quantize as the recipe says, measure each op, and write the findings below `<out>/<name>-debug`.

    Gives the content of `debug.json`. Raises RecipeError where there is nothing to measure, StageError where a stage
    fails.
    """
    recipe = loaded.recipe
    _refuse(loaded)
    folder = debug_folder(options.out, recipe.name)
    with open_bench(loaded.path, folder.name, options) as bench:
        course = Course(loaded, bench, Runner(bench.store, bench.workers, observer))
        made, samples = course.quantized()
        found = _Measuring(
            recipe, course.runner, made, fewer(course.runner, samples, MOST_SAMPLES, "samples to debug")
        ).all()
    told = {
        "debug": 1,
        "recipe": {"name": recipe.name, "path": str(loaded.path), "sha256": loaded.sha256},
        "scheme": recipe.quantization.scheme,
        "engine": to_json(made.engine.artifact),
        "recovery": made.recovery,
        "folder": str(folder),
        "model": {"file": MODEL, "sha256": made.file.artifact.sha256, "bytes": made.file.artifact.path.stat().st_size},
        "overlay": OVERLAY,
        "samples": found.samples,
        "notes": list(found.notes),
        "rows": found.rows,
    }
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made.file.artifact.path, folder / MODEL)
    _write(folder / OVERLAY, overlay(made.file.artifact.path, found.rows))
    _write(folder / DEBUG_MARK, told)
    return told


def debug_folder(out: Path, name: str) -> Path:
    """Give the folder of the findings. Raises RecipeError where something else is in its place."""
    folder = out / f"{name}-debug"
    if not (folder / DEBUG_MARK).is_file():
        refuse_foreign_folders(out, [folder.name])
    return folder


def _refuse(loaded: LoadedRecipe) -> None:
    recipe, where = loaded.recipe, str(loaded.path)
    if recipe.quantization.scheme == "float32":
        text = "must quantize something to debug. Got 'float32'. Try --set quantization.scheme=full_int8."
        raise RecipeError([Problem(where, "quantization.scheme", text)])
    if recipe.dataset is None:
        text = "must be given to debug: the ops are measured on samples. Got none."
        raise RecipeError([Problem(where, "dataset", text)])


def _write(path: Path, content: dict[str, Any]) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    write_json(fresh, content)
    fresh.replace(path)


@dataclass(frozen=True)
class _Found:
    rows: list[dict[str, Any]]
    samples: dict[str, int]
    notes: tuple[str, ...]


@dataclass
class _Measuring:
    """Both measurements of one file; where one of them cannot be made, a note says why."""

    recipe: Recipe
    runner: Runner
    made: Made
    samples: Entry[Samples]

    def all(self) -> _Found:
        """Measure what can be measured. Raises StageError where nothing can."""
        errors, why_not = self._attempt(lambda: measure(self.runner, self.made, self.samples))
        effects, why_not_alone = self._attempt(lambda: self._effects({}, "sensitivity"))
        if why_not and why_not_alone:
            raise why_not
        texts = (("the error of each op", why_not), ("the effect of each op alone", why_not_alone))
        notes = [f"{what} was not measured: {error.what} {error.remedy}".rstrip() for what, error in texts if error]
        notes += [
            f"the effect of {row.op} '{row.tensor}' alone was not measured: {row.refused.split(';')[0]}"
            for row in (effects.rows if effects else ())
            if row.refused
        ]
        notes += self._told_apart()
        counts = {"errors": errors.samples if errors else 0, "effects": effects.samples if effects else 0}
        suspects = self._suspects(errors, effects)
        return _Found([_told(suspect) for suspect in suspects], counts, tuple(notes))

    def _suspects(self, errors: LayerErrors | None, effects: Sensitivity | None) -> list[Suspect]:
        """Bring both together, the op that costs most first; for the first ones try what would cost less."""
        by_op: dict[int, OpErrors] = {row.index: row for row in errors.rows} if errors else {}
        measured = {row.index: row for row in effects.rows if not row.refused} if effects else {}
        passes = open_passes(self.recipe, self.made)
        suspects = [Suspect(measured.get(i), by_op.get(i), recovery=passes) for i in sorted({*by_op, *measured})]
        suspects.sort(key=_order)
        finer: dict[str, list[int]] = {}
        for effect in (suspect.effect for suspect in suspects[:WORST]):
            if effect is not None and (scheme := finer_scheme(effect.scheme)):
                finer.setdefault(scheme, []).append(effect.index)
        tried = {row.index: row for row in self._effects(finer, "finer").rows if not row.refused} if finer else {}
        return [
            replace(suspect, finer=tried.get(suspect.effect.index)) if suspect.effect else suspect
            for suspect in suspects
        ]

    def _attempt(self, measure: Callable[[], T]) -> tuple[T | None, StageError | None]:
        try:
            return measure(), None
        except StageError as error:
            return None, error

    def _effects(self, schemes: dict[str, list[int]], label: str) -> Sensitivity:
        spec, spread = self.recipe.quantization, self.made.spread
        if self._is_made():
            spec = as_made(spec)
        if spread[0] is None and (spec.calibrated or any(SCHEMES[scheme].calibrated for scheme in schemes)):
            missing = (self.made.reference, self.samples, CORES)
            spread = self.runner.run("calibrate", Ranges, calibrate, *missing), None
        args = (spec, schemes, self.made.reference, spread, (self.samples, CORES))
        return self.runner.run("sensitivity", Sensitivity, measure_sensitivity, *args, label=label).artifact

    def _is_made(self) -> bool:
        """Whether the ranges of the file are not those that the recipe's method chooses."""
        return self.made.engine.artifact.name == "converter" or any(
            isinstance(step, Qat) for step in steps_of(self.recipe.training)
        )

    def _told_apart(self) -> Iterator[str]:
        """Tell of what the measurements do not have in them."""
        if rounding := [name for name in self.made.recovery.get("used", ()) if name not in BEFORE_CALIBRATION]:
            yield f"the effect of an op alone is that without {', '.join(rounding)}, the error of an op that with it"
        inner = read_graphs(self.made.reference.artifact.path)[1:]
        count = sum(bool(graph.weights_of(op)) for graph in inner for op in graph.ops)
        if count:
            yield f"{count} ops with weights lie inside of loops or other calls, and were not measured"


def _order(suspect: Suspect) -> tuple[bool, float, float]:
    own = suspect.errors.sqnr_db if suspect.errors else None
    return suspect.effect is None, suspect.alone_db, float("inf") if own is None else own


def _told(suspect: Suspect) -> dict[str, Any]:
    one = suspect.effect or suspect.errors
    shared = {key: getattr(one, key) for key in ("index", "op", "tensor", "layer")}
    parts = {"effect": suspect.effect, "errors": suspect.errors, "finer": suspect.finer}
    told = {
        part: {key: value for key, value in to_json(found).items() if key not in shared} if found else None
        for part, found in parts.items()
    }
    return {**shared, **told, **judged(suspect)}


def worst(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the first rows, of ops with an effect or with weights; where there are none, of any."""
    ranked = [row for row in rows if row["effect"] or row["errors"]["weights"] not in ("", "float32")]
    return (ranked or list(rows))[:WORST]
