"""The space of a search in; what it leaves out from the start, and why, out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tflite_pipeline.schemes import SCHEMES, permits
from tflite_pipeline.search.candidates import Space
from tflite_pipeline.targets.demands import demands_of


@dataclass(frozen=True)
class LeftOut:
    """Something that is not tried, and why."""

    what: str
    why: str


def left_out(space: Space) -> Iterator[LeftOut]:
    """Give schemes and moves that no candidate of the search can have, in the order in which they would be tried.

    What the recipe's io leaves out is a note of the search.
    """
    recipe = space.base
    for name in SCHEMES:
        refusing = [target for target, demand in demands_of(recipe.targets).items() if name in demand.refuses]
        if name == "mixed":
            continue
        if not permits(recipe.search.allow, name):
            yield LeftOut(name, f"search.allow is {', '.join(recipe.search.allow)}")
        elif refusing:
            yield LeftOut(name, f"{', '.join(refusing)} refuses it")
    if not space.trains:
        yield LeftOut("training", "the recipe has no step qat, and names no training rows with labels")
