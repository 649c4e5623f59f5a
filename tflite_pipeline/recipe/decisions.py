"""A sound recipe goes in; the same with what it leaves open set as its targets demand, and what was set, come out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tflite_pipeline.model.spec import TfliteFile
from tflite_pipeline.recipe.schema import Recipe
from tflite_pipeline.targets.demands import choose_io, demands_of


@dataclass(frozen=True)
class Decision:
    """A key that the recipe leaves open, its value, and the targets that demand it."""

    key: str
    value: Any
    by: tuple[str, ...]

    def __str__(self) -> str:
        """Tell it in a line."""
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{self.key}: {value}, as {', '.join(self.by)} demand{'s' if len(self.by) == 1 else ''}"


def decide(recipe: Recipe) -> tuple[Recipe, tuple[Decision, ...]]:
    """Set what is left open and a target demands; what the recipe says itself stays."""
    decisions = tuple(_decisions(recipe))
    values: dict[str, dict[str, Any]] = {}
    for decision in decisions:
        section, _, name = decision.key.partition(".")
        values.setdefault(section, {})[name] = decision.value
    sections = {name: getattr(recipe, name).model_copy(update=update) for name, update in values.items()}
    return recipe.model_copy(update=sections), decisions


def _decisions(recipe: Recipe) -> Iterator[Decision]:
    demands, spec = demands_of(recipe.targets), recipe.quantization
    fixed = tuple(name for name, demand in demands.items() if demand.fixed)
    if fixed and "batch" not in recipe.model.model_fields_set and not isinstance(recipe.model, TfliteFile):
        yield Decision("model.batch", 1, fixed)
    picky = tuple(name for name, demand in demands.items() if demand.io)
    if picky and "io" not in spec.model_fields_set:
        yield Decision("quantization.io", choose_io(spec.scheme, recipe.targets), picky)
    narrow = tuple(name for name, demand in demands.items() if spec.scheme in demand.one_scale)
    if narrow and "per_channel_dense" not in spec.model_fields_set:
        yield Decision("quantization.per_channel_dense", False, narrow)
