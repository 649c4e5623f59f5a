"""What a search is asked for: the words of the command line, checked against the recipe, before anything runs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tflite_pipeline.errors import Problem, RecipeError
from tflite_pipeline.recipe.load import LoadedRecipe, load_recipe

Objective = Literal["size", "latency"]
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Request:
    """A search; `max_drop` is in the metric's own unit, 0.005 is half a point of a share; `budget` is in seconds."""

    path: str
    overrides: tuple[str, ...]
    allow_code: bool
    max_drop: float
    objective: Objective
    budget: float


def read_budget(text: str) -> float:
    """Give seconds for `90s`, `20m` or `1h`. Raises RecipeError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not seconds:
        raise RecipeError([Problem("", "--budget", f"must be a time such as 90s, 20m or 1h. Got '{text}'.")])
    return seconds


def read_drop(text: str) -> float:
    """Give the largest drop as a number. Raises RecipeError for a text that is none, and below 0."""
    try:
        drop = float(text)
    except ValueError:
        drop = math.nan
    if not (math.isfinite(drop) and drop >= 0):
        got = f"must be a number from 0 on, 0.005 is half a point of top1. Got '{text}'."
        raise RecipeError([Problem("", "--max-drop", got)])
    return drop


def load_base(path: str, overrides: Sequence[str], allow_code: bool) -> LoadedRecipe:
    """Read the recipe that a search starts from.

    Raises RecipeError for its mistakes, and where it has no metric or no samples to measure a drop with.
    """
    loaded = load_recipe(path, overrides, allow_code)
    recipe = loaded.recipe
    if recipe.dataset is None:
        text = "must be given to search: drops are measured on its evaluation samples. Got none."
        raise RecipeError([Problem(path, "dataset", text)])
    if not recipe.validation.metrics:
        text = (
            "must name a metric to search: --max-drop is about the first. Got none. Take top1, or mse without labels."
        )
        raise RecipeError([Problem(path, "validation.metrics", text)])
    return loaded
