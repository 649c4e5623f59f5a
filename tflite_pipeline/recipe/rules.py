"""The sections of a recipe that are sound go in; what does not fit between them comes out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from tflite_pipeline.convert.spec import Quantization, passes_text
from tflite_pipeline.dataset import spec as dataset_spec
from tflite_pipeline.dataset.mistakes import overlap_mistakes, role_mistakes
from tflite_pipeline.dataset.spec import Dataset, Rows
from tflite_pipeline.model import spec as model_spec
from tflite_pipeline.model.spec import Model
from tflite_pipeline.recipe.samples import after, lacks_labels, raw_shapes, unlabelled
from tflite_pipeline.recipe.target_rules import TARGET_RULES
from tflite_pipeline.recipe.training_rules import TRAINING_RULES
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.spec import Mistake
from tflite_pipeline.train.spec import Training, Tune, steps_of
from tflite_pipeline.validate.spec import NEED_LABELS, Validation

Rule = Callable[..., Iterator[Mistake]]
"""A function whose parameters are the sections that it looks at, and `allow_code`."""


def cross_mistakes(sound: Mapping[str, Any]) -> Iterator[Mistake]:
    """Run every rule whose sections are all in `sound`; the others wait until their sections are mended."""
    for rule in RULES:
        names = _sections(rule)
        if all(name in sound for name in names):
            yield from rule(**{name: sound[name] for name in names})


@cache
def _sections(rule: Rule) -> tuple[str, ...]:
    return tuple(inspect.signature(rule).parameters)


def _calibration_needs_samples(quantization: Quantization, dataset: Dataset | None) -> Iterator[Mistake]:
    if dataset is None and quantization.calibrated:
        free = ", ".join(name for name, scheme in SCHEMES.items() if not scheme.calibrated)
        text = f"must be one of {free} without a dataset. Got '{quantization.scheme}', which is calibrated on samples."
        yield ("quantization", "scheme"), f"{text} Add the section dataset."


def _recovery_needs_samples(quantization: Quantization, dataset: Dataset | None) -> Iterator[Mistake]:
    if dataset is None and quantization.recovery and not quantization.calibrated:
        text = "must be left out without a dataset: its passes look at calibration samples."
        yield ("quantization", "recovery"), f"{text} Got {passes_text(quantization.recovery)}. Add the section dataset."


def _recovery_or_training(quantization: Quantization, training: Training | None) -> Iterator[Mistake]:
    """Refuse to round anew what was trained: zeros, clusters and the trained rounding would be lost."""
    steps = [step.method for step in steps_of(training) if isinstance(step, Tune)]
    if quantization.recovery and steps:
        text = f"must be left out with training {', '.join(steps)}, whose weights it would change."
        yield ("quantization", "recovery"), f"{text} Got {passes_text(quantization.recovery)}."


def _metrics_need_samples(validation: Validation, dataset: Dataset | None) -> Iterator[Mistake]:
    if dataset is not None:
        return
    if validation.metrics:
        names = ", ".join(row.key for row in validation.metrics)
        yield ("validation", "metrics"), f"must be empty without a dataset. Got {names}. Add the section dataset."
    for gate in ("max_drop", "max_training_drop", "max_conversion_drop", "min", "min_agreement", "min_fidelity"):
        if value := getattr(validation.gates, gate):
            got = ", ".join(value) if isinstance(value, dict) else f"{value:g}"
            text = f"must be left out without a dataset. Got {got}. Add the section dataset."
            yield ("validation", "gates", gate), text


def _metrics_need_labels(validation: Validation, dataset: Dataset | None) -> Iterator[Mistake]:
    if dataset is None or not lacks_labels(dataset, "evaluation"):
        return
    for position, row in enumerate(validation.metrics):
        if row.metric in NEED_LABELS:
            text = f"must be a metric without labels. Got {row.metric} with dataset {unlabelled(dataset)}."
            yield ("validation", "metrics", position), text


def _top5_needs_classes(validation: Validation, model: Model) -> Iterator[Mistake]:
    if isinstance(model, model_spec.Application) and model.classes <= 5:
        for position, row in enumerate(validation.metrics):
            if row.metric == "top5":
                text = f"must be another metric: with model.classes: {model.classes} top5 is always 1. Got top5."
                yield ("validation", "metrics", position), f"{text} Did you mean top1?"


def _finished_files_stay(quantization: Quantization, model: Model) -> Iterator[Mistake]:
    if isinstance(model, model_spec.TfliteFile) and quantization.engine == "converter":
        text = (
            "must be mlir or ai_edge with model.source: tflite. Got 'converter', and a finished file cannot go through"
        )
        yield ("quantization", "engine"), f"{text} the converter again. Leave it out, or use the Keras model."


def _code_is_allowed(model: Model, allow_code: bool) -> Iterator[Mistake]:
    if isinstance(model, model_spec.Factory) and not allow_code:
        yield ("model", "function"), _code_text(model.function)


def _data_code_is_allowed(dataset: Dataset | None, allow_code: bool) -> Iterator[Mistake]:
    if isinstance(dataset, dataset_spec.Factory) and not allow_code:
        yield ("dataset", "function"), _code_text(dataset.function)


def _code_text(function: str) -> str:
    return f"must not run code without --allow-code. Got function: {function}. Add --allow-code if you trust it."


def _default_rows(training: Training | None, quantization: Quantization, dataset: Dataset | None) -> Iterator[Mistake]:
    """Check the rows that the recipe does not name but uses; those that it names, the dataset checks itself."""
    for role, used in (("training", training is not None), ("calibration", quantization.needs_samples)):
        if dataset is not None and used and role not in dataset.model_fields_set:
            rows: Rows = getattr(dataset, role)
            yield from (
                (("dataset", *path), text)
                for path, text in (
                    *role_mistakes(role, rows, dataset.splits, None),
                    *overlap_mistakes(role, rows, dataset.evaluation),
                )
            )


def _preprocessing_fits(model: Model, dataset: Dataset | None) -> Iterator[Mistake]:
    if not isinstance(model, model_spec.Application) or model.input_shape is None or dataset is None:
        return
    if len(dataset.preprocessing) > 1:
        return
    name, steps = next(iter(dataset.preprocessing.items()), ("", ()))
    shapes = list(raw_shapes(dataset).values())
    shape = shapes[0] if len(shapes) == 1 else (None, None, None)
    made_by: dict[int, tuple[str | int, ...]] = {}
    for position, step in enumerate(steps):
        changed = after(shape, step)
        changes = [axis for axis, size in enumerate(changed) if step.reshape or shape[axis : axis + 1] != (size,)]
        made_by |= dict.fromkeys(changes, (name, position))
        shape = changed
    wanted = model.input_shape
    wrong = [axis for axis in range(3) if len(shape) != 3 or shape[axis] not in (None, wanted[axis])]
    if wrong:
        got = ", ".join("?" if size is None else str(size) for size in shape)
        text = f"must give samples of model.input_shape ({', '.join(map(str, wanted))}). Got ({got})."
        yield ("dataset", "preprocessing", *made_by.get(wrong[0], ())), text


RULES: tuple[Rule, ...] = (
    _calibration_needs_samples,
    _recovery_needs_samples,
    _recovery_or_training,
    *TRAINING_RULES,
    _metrics_need_samples,
    _metrics_need_labels,
    _top5_needs_classes,
    _finished_files_stay,
    _code_is_allowed,
    _data_code_is_allowed,
    *TARGET_RULES,
    _default_rows,
    _preprocessing_fits,
)
