"""What `init` shows: what was found, what is guessed, and what to do next."""

from __future__ import annotations

import shlex

from rich.console import Console
from rich.markup import escape

from tflite_pipeline.columns import print_lines, width_of
from tflite_pipeline.starter.init import Started
from tflite_pipeline.starter.looks import ModelLook
from tflite_pipeline.starter.recipe_text import port_text

MOST_KINDS = 8
"""Kinds of layers that are listed."""


def show(started: Started) -> None:
    """Print the model, the data, the guesses and the next commands."""
    console = Console(highlight=False, soft_wrap=True)
    width = width_of(console)
    console.print(f"[bold]{escape(str(started.recipe))}[/]: written, and sound")
    _show_model(console, started.model, started.choices.task, width)
    _show_data(console, started, width)
    chosen = started.choices
    print_lines(console, "scheme", f"{chosen.scheme.value}, io {chosen.io.value}", width)
    if started.marks:
        print_lines(console, "read", f"the lines marked {' and '.join(started.marks)} in the recipe first", width)
    recipe = shlex.quote(str(started.recipe))
    console.print(f"  next       tflite-pipeline run {escape(recipe)}{started.flags}")


def _show_model(console: Console, model: ModelLook, task: str, width: int) -> None:
    parameters = f", {model.parameters:,} parameters" if model.parameters else ""
    print_lines(console, "model", f"{model.kind}{parameters}: {task}", width)
    for port in model.inputs:
        print_lines(console, "input", port_text(port), width)
    for port in model.outputs:
        print_lines(console, "output", port_text(port), width)
    if model.layers:
        print_lines(console, "layers", _layers(model), width)
    for text in model.scaling:
        print_lines(console, "scales", f"its input itself: {text}", width)


def _show_data(console: Console, started: Started, width: int) -> None:
    data = started.data
    if data is None:
        print_lines(console, "data", "none: weights in int8, activations in float; see FILL IN in the recipe", width)
    else:
        values = f"{data.dtype} {data.low:.3g} to {data.high:.3g}"
        print_lines(console, "data", f"{sum(data.counts)} samples, {values}, {data.labels}", width)
        if data.classes:
            print_lines(console, "classes", ", ".join(data.classes[:MOST_KINDS]) + _more(len(data.classes)), width)
    for row in started.preprocessing.values():
        for reason in row.reasons:
            print_lines(console, "samples", reason, width)


def _layers(model: ModelLook) -> str:
    kinds = [f"{count} {kind}" for kind, count in model.layers.items()]
    return ", ".join(kinds[:MOST_KINDS]) + _more(len(kinds))


def _more(count: int) -> str:
    return f" and {count - MOST_KINDS} more" if count > MOST_KINDS else ""
