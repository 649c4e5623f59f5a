"""What can be named in a recipe, with a line of help each; read off the tables and the classes themselves."""

from __future__ import annotations

from typing import Any, get_args

from tflite_pipeline.convert.spec import ENGINE_SUMMARIES, METHOD_SUMMARIES, RECOVERY_SUMMARIES
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.dataset.steps import Step
from tflite_pipeline.errors import Problem, RecipeError, did_you_mean
from tflite_pipeline.model.spec import Model
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.targets.names import TARGET_SUMMARIES
from tflite_pipeline.train.spec import METHODS
from tflite_pipeline.validate.spec import METRIC_SUMMARIES


def listing() -> dict[str, dict[str, str]]:
    """Give, by kind, the names and what they are."""
    return {
        "schemes": {name: f"{row.summary} (io {', '.join(row.io)})" for name, row in SCHEMES.items()},
        "calibration methods": METHOD_SUMMARIES,
        "recovery passes": {str(name): text for name, text in RECOVERY_SUMMARIES.items()},
        "engines": ENGINE_SUMMARIES,
        "model sources": _by_source(Model),
        "dataset sources": _by_source(Dataset),
        "preprocessing steps": {name: _step_summary(field.annotation) for name, field in Step.model_fields.items()},
        "training methods": {name: _first_line(section) for name, section in METHODS.items()},
        "metrics": METRIC_SUMMARIES,
        "targets": TARGET_SUMMARIES,
    }


def choose(tables: dict[str, dict[str, str]], kind: str | None) -> dict[str, dict[str, str]]:
    """Give the one kind that is named, e.g. `calibration-methods`; all without a name.

    Raises RecipeError where there is no such kind.
    """
    if kind is None:
        return tables
    by_word = {title.replace(" ", "-"): title for title in tables}
    if kind.replace(" ", "-") not in by_word:
        text = f"must be one of {', '.join(by_word)}. Got '{kind}'.{did_you_mean(kind, by_word)}"
        raise RecipeError([Problem("list", "KIND", text)])
    title = by_word[kind.replace(" ", "-")]
    return {title: tables[title]}


def _by_source(union: Any) -> dict[str, str]:
    sections = get_args(get_args(union)[0])
    return {get_args(section.model_fields["source"].annotation)[0]: _first_line(section) for section in sections}


def _step_summary(annotation: Any) -> str:
    return _first_line(get_args(annotation)[0])


def _first_line(section: type) -> str:
    return (section.__doc__ or "").strip().splitlines()[0]
