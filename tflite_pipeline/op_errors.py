"""A quantized file and samples in; the error of every op in the file as it is, with its cause and a remedy, out."""

from __future__ import annotations

from typing import Any

from tflite_pipeline.artifacts import Samples, to_json
from tflite_pipeline.causes import Suspect, diagnose
from tflite_pipeline.convert.spec import RECOVERY_SUMMARIES, Quantization
from tflite_pipeline.dataset.probe import take_probe
from tflite_pipeline.errors import StageError
from tflite_pipeline.quantizing import CORES, Made
from tflite_pipeline.recipe.schema import Recipe
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.stage import Runner
from tflite_pipeline.store import Entry
from tflite_pipeline.train.spec import Tune, steps_of
from tflite_pipeline.validate.layer_errors import LayerErrors, measure_errors

SAMPLES = 32
"""Of a run: the order of the ops changes little with more, and `debug` takes more."""


def report_errors(recipe: Recipe, runner: Runner, made: Made, samples: Entry[Samples] | None) -> dict[str, Any]:
    """Give `{samples, rows, note}` for the report: a row an op, in the order of the graph; `note` says why none is.

    A row is an `OpErrors` with `cause: {name, text}` and `remedy`.
    """
    if recipe.quantization.scheme == "float32":
        return _none("Nothing to measure: the file is the float file.")
    if samples is None:
        return _none("Not measured: the recipe has no dataset, so there are no samples to run the ops on.")
    try:
        found = measure(runner, made, fewer(runner, samples, SAMPLES, "samples of layers"))
    except StageError as error:
        return _none(f"Not measured: {error.what} {error.remedy}".rstrip())
    passes = open_passes(recipe, made)
    suspects = (Suspect(None, errors, recovery=passes) for errors in found.rows)
    rows = [{**to_json(suspect.errors), **judged(suspect)} for suspect in suspects]
    return {"samples": found.samples, "rows": rows, "note": "" if rows else "Not measured: no op computes anything."}


def measure(runner: Runner, made: Made, samples: Entry[Samples]) -> LayerErrors:
    """Measure every op of the file as it is. Raises StageError where its ops are not those of the reference."""
    return runner.run("errors", LayerErrors, measure_errors, made.reference, made.file, samples, CORES).artifact


def fewer(runner: Runner, samples: Entry[Samples], most: int, label: str) -> Entry[Samples]:
    """Give the samples, or of many some from all over."""
    if samples.artifact.count <= most:
        return samples
    return runner.run("probe", Samples, take_probe, samples, most, label=label)


def judged(suspect: Suspect) -> dict[str, Any]:
    """Give cause and remedy as the report tells them."""
    name, cause, remedy = diagnose(suspect)
    return {"cause": {"name": name, "text": cause}, "remedy": remedy}


def open_passes(recipe: Recipe, made: Made) -> frozenset[str]:
    """List the passes of recovery that the recipe could ask for and does not."""
    spec: Quantization = recipe.quantization
    fixed = spec.recovery == "auto" or any(isinstance(step, Tune) for step in steps_of(recipe.training))
    row = SCHEMES[spec.scheme]
    if fixed or made.engine.artifact.name == "converter" or row.block or row.weights.startswith("float"):
        return frozenset()
    return frozenset(RECOVERY_SUMMARIES) - frozenset(spec.recovery)


def _none(note: str) -> dict[str, Any]:
    return {"samples": 0, "rows": [], "note": note}
