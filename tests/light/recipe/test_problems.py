"""Junk of every type is put into every key of every section; what is told must be the project's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest

from tflite_pipeline.recipe.load import judge
from tflite_pipeline.recipe.schema import Recipe
from tflite_pipeline.recipe.yaml_text import dotted
from tflite_pipeline.spec import Section

JUNK: list[Any] = [
    None, True, False, 0, -1, 5, 10**400, 1.5, -0.5, float("inf"), float("nan"), "", "junk", "yes", "200", "1e-3",
    "a" * 300, [], [1], ["x"], [None, [True]], {}, {"": 1}, {"junk": "x"}, {"junk": {"junk": [1]}},
]  # fmt: skip
KINDS = ("source", "method")


def sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from sections(part)


def holder(annotation: Any, inner: dict[str, Any]) -> list[Any]:
    """Wrap a section's raw mapping in the lists and mappings that the annotation puts around it."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [inner]
    wrapped = [item for part in get_args(annotation) for item in holder(part, inner)]
    if get_origin(annotation) is tuple:
        return [[item] for item in wrapped]
    return [{"train": item} for item in wrapped] if get_origin(annotation) is dict else wrapped


def start(section: type[Section]) -> dict[str, Any]:
    kinds = {key: section.model_fields[key].annotation for key in KINDS if key in section.model_fields}
    return {key: get_args(kind)[0] for key, kind in kinds.items() if get_origin(kind) is Literal}


def spots(section: type[Section], wrap: Any) -> Iterator[tuple[str, Any]]:
    """Yield each key of a section and below with a function that builds a recipe with a value there."""
    for key, field in section.model_fields.items():
        yield (
            f"{section.__module__}.{section.__name__}.{key}",
            lambda value, key=key: wrap(start(section) | {key: value}),
        )
        for inner in dict.fromkeys(sections(field.annotation)):
            for shape in range(len(holder(field.annotation, {}))):
                yield from spots(
                    inner,
                    lambda raw, key=key, note=field.annotation, shape=shape: wrap(
                        start(section) | {key: holder(note, raw)[shape]}
                    ),
                )


SPOTS = dict(spots(Recipe, lambda raw: {"recipe": 1, "name": "demo"} | raw))
CLASSES = sorted({name.split(".")[-2] for name in SPOTS})
FOREIGN = re.compile(r"Input should|[Vv]alidation error|pydantic|valid (integer|string|dict|number)|Value error")


def test_walk_finds_the_keys_of_every_section() -> None:
    found = {name.split(".", 1)[1] for name in SPOTS}
    assert {
        "recipe.schema.Recipe.seed",
        "model.spec.Application.weights",
        "dataset.steps.Normalize.mean",
        "dataset.spec.SplitRule.rows",
        "train.spec.EarlyStopping.patience",
        "train.spec.Augment.crop",
        "train.spec.Qat.weight_bits",
        "validate.spec.MetricRow.output",
        "convert.spec.Calibration.method",
        "profile.spec.Latency.runs",
    } <= found


@pytest.mark.parametrize("spot", SPOTS)
def test_junk_is_told_in_own_words(spot: str) -> None:
    for value in JUNK:
        _, mistakes = judge(SPOTS[spot](value), allow_code=False)
        for path, text in mistakes:
            without_junk = text.replace("junk", "")
            assert not FOREIGN.search(without_junk), text
            assert text.startswith("must "), text
            assert "another value" not in text, text
            assert not [name for name in CLASSES if re.search(rf"\b{name}\b", text)], text
            assert not re.search(r"\[|\]|tagged|constrained|function-|tuple|dict", dotted(path)), dotted(path)


def test_tags_of_unions_do_not_show_in_paths() -> None:
    model = {"source": "keras_file", "path": 5, "batch": 0}
    dataset = {
        "source": "digits",
        "splits": {"train": [0, -1]},
        "preprocessing": [{"normalize": {"mean": ["x"], "std": "x"}}, "resize"],
    }
    _, mistakes = judge({"recipe": 1, "name": "a", "model": model, "dataset": dataset, "quantization": {}}, False)
    assert {dotted(path): text for path, text in mistakes} == {
        "model.batch": "must be a whole number above 0, or 'dynamic'. Got 0.",
        "model.path": "must be a path. Got 5.",
        "dataset.splits.train.1": "must be at least 0. Got -1.",
        "dataset.preprocessing.0.normalize.mean.0": "must be a number. Got 'x'.",
        "dataset.preprocessing.0.normalize.std": "must be a list or a number. Got 'x'.",
        "dataset.preprocessing.1.resize.height": "must be given. Got nothing.",
        "dataset.preprocessing.1.resize.width": "must be given. Got nothing.",
        "quantization.scheme": "must be given. Got nothing.",
    }
