"""What was seen and chosen in; the text of a recipe with its comments out."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_pipeline.model.border import listed
from tflite_pipeline.starter.choices import Choices, Chosen
from tflite_pipeline.starter.looks import DataLook, ModelLook, Port, Preprocessing
from tflite_pipeline.starter.steps import IMAGE_SIZE

WIDTH = 110
ASIDE = 44
"""Column of comments behind values."""
OPEN_SIZE = 16
_PLAIN = re.compile(r"[A-Za-z_./][\w./-]*")
_WORDS = frozenset({"true", "false", "null"})
_UPWARDS = 3
"""A path that goes up further than this is written as a whole."""


@dataclass(frozen=True)
class Draft:
    """All that a recipe says; `model` and `data` are what was seen, `section` is the model's."""

    name: str
    out: Path
    command: str
    flags: str
    section: dict[str, Any]
    model: ModelLook
    data: DataLook | None
    preprocessing: dict[str, Preprocessing]
    choices: Choices


def write_recipe(draft: Draft) -> str:
    """Give the text; it ends with a newline."""
    parts = [_head(draft), _model(draft), _dataset(draft), _quantization(draft), _validation(draft)]
    return "\n".join("\n".join(part) for part in parts) + "\n"


def _head(draft: Draft) -> Iterator[str]:
    if (draft.out.parent / "recipe.schema.json").is_file():
        yield "# yaml-language-server: $schema=recipe.schema.json"
    yield from _comment(f"A start, written by: {draft.command}")
    yield from _comment(
        f"tflite-pipeline check {draft.out.name}{draft.flags}   tells mistakes, in a moment", wrap=False
    )
    yield from _comment(f"tflite-pipeline run {draft.out.name}{draft.flags}   makes the file and proves it", wrap=False)
    yield from _comment(
        "CHECK marks what is guessed, FILL IN what only you know. Names to choose from: tflite-pipeline list"
    )
    yield "recipe: 1"
    yield f"name: {_flow(draft.name)}"
    yield ""


def _model(draft: Draft) -> Iterator[str]:
    look = draft.model
    held = f", {look.parameters:,} parameters" if look.parameters else ""
    yield from _comment(f"{look.kind}{held}. Taken for: {draft.choices.task}.")
    for title, ports in (("takes", look.inputs), ("gives", look.outputs)):
        yield from _comment(f"It {title} {', '.join(map(port_text, ports))}.")
    for text in look.scaling:
        yield from _comment(f"It scales its input itself: {text}.")
    if "weights" in draft.section and draft.section["weights"] is None:
        yield from _comment(
            "CHECK: random weights answer by chance. Name a weights file, or add training: {method: fit, epochs: 20}."
        )
    yield "model:"
    for key, value in draft.section.items():
        yield from _line(key, _path(value, draft.out) if key == "path" else value, _MODEL_NOTES.get(key, ""))
    yield ""


_MODEL_NOTES = {
    "weights": "null: random, to see size and speed only; imagenet: fetched on first use; or a weights file",
    "input_shape": "height, width, channels",
    "classes": "outputs; imagenet has 1000",
    "signature": "the signature to convert",
}


def port_text(port: Port) -> str:
    """Say what an input or an output is; the batch is left out."""
    ending = f", {port.ending}" if port.ending and port.ending != "linear" else ""
    return f"{port.name} {port.dtype} {listed(port.shape)}{ending}"


def _dataset(draft: Draft) -> Iterator[str]:
    if draft.data is None:
        yield from _no_data(draft)
        return
    data = draft.data
    shapes = ", ".join(f"{name} {listed(shape)}".strip() for name, shape in data.shapes.items())
    values = f"{data.dtype} from {data.low:.3g} to {data.high:.3g} as far as {data.seen} tell"
    yield from _comment(f"{sum(data.counts)} samples ({data.what}), each {shapes}, {values}; {data.labels}.")
    yield from _comment(
        "CHECK that the model was not trained on the samples of `test`: it would look better than it is."
    )
    yield "dataset:"
    for key, value in data.section.items():
        yield from _line(key, _path(value, draft.out) if key == "path" else value, _note(key, data))
    yield from _preprocessing(draft.preprocessing)
    yield ""


def _note(key: str, data: DataLook) -> str:
    notes = {
        "calibration": "ranges of the activations come from these",
        "evaluation": f"float and quantized are compared on these, {data.counts[1]}",
        "inputs": "name of the array" if isinstance(data.section.get("inputs"), str) else "array by input",
        "labels": "name of the array" if isinstance(data.section.get("labels"), str) else "array by output",
    }
    if key == "splits" and all(isinstance(value, float) for value in data.section["splits"].values()):
        return "shares of the samples, drawn by class; no sample is in both"
    return notes.get(key, "")


def _preprocessing(found: dict[str, Preprocessing]) -> Iterator[str]:
    for name, row in found.items():
        for reason in row.reasons:
            yield from _comment(f"{f'{name}: ' if name else ''}{reason}", "  ")
    if not any(row.steps for row in found.values()):
        yield f"  preprocessing: {'[]' if list(found) == [''] else '{}'}"
        return
    yield "  preprocessing:"
    for name, row in found.items():
        indent = "    "
        if name:
            yield f"    {_flow(name)}:{'' if row.steps else ' []'}"
            indent += "  "
        for step in row.steps:
            ((key, value),) = step.items()
            yield f"{indent}- {key}" if not value else f"{indent}- {key}: {_flow(value)}"


def _no_data(draft: Draft) -> Iterator[str]:
    """Leave a place for data; sizes that the model leaves open must be had from noise until then."""
    yield from _comment(
        "FILL IN your data. Without any, nothing can be calibrated or compared with float, so that this recipe makes a "
        "file that needs none: int8 weights, float activations. The easiest way is to let it be written:"
    )
    yield from _comment(f"  {draft.command.split(' --')[0]} --data DATA", wrap=False)
    yield from _comment(
        "with DATA an .npz or a folder with one sub-folder of images a class. Or by hand: take the # off the lines "
        "that follow, correct them, and change scheme, io and metrics below."
    )
    open_inputs = any(None in port.shape for port in draft.model.inputs)
    if open_inputs:
        yield from _comment("Until then noise, only to say how large the open sizes are. CHECK these.")
        yield "dataset:"
        yield "  source: synthetic"
        shapes = {port.name: _closed(port) for port in draft.model.inputs}
        only = next(iter(shapes.values()))
        yield f"  shape: {_flow(only if len(shapes) == 1 else shapes)}"
        yield ""
        return
    yield from (f"#{line}" for line in _example(draft.model))
    yield ""


def _closed(port: Port) -> list[int]:
    image = len(port.shape) == 3 and port.shape[-1] in (1, 3)
    return [size or (IMAGE_SIZE if image else OPEN_SIZE) for size in port.shape]


def _example(model: ModelLook) -> Iterator[str]:
    """Give a dataset section of the kind that the model likely needs."""
    port = model.inputs[0]
    image = len(model.inputs) == 1 and len(port.shape) == 3 and port.shape[-1] == 3
    yield "dataset:"
    yield f"  source: {'image_folder' if image else 'npz'}"
    yield f"  path: {'images' if image else 'data.npz'}"
    if not image:
        names = {port.name: port.name for port in model.inputs}
        yield f"  inputs: {_flow('x' if len(names) == 1 else names)}"
        if len(model.outputs) == 1:
            yield "  labels: y"
    yield "  splits: {train: 0.3, test: 0.7}"
    yield "  calibration: {split: train, samples: 200}"
    yield "  evaluation: {split: test}"
    if not image:
        return
    height, width, _ = port.shape
    yield "  preprocessing:"
    yield f"    - resize: {_flow({'height': height, 'width': width})}"
    if model.wanted is None and not model.scaling:
        yield f"    - scale: {_flow({'factor': 1 / 255})}"
    for step in model.wanted or ():
        ((key, value),) = step.items()
        yield f"    - {key}: {_flow(value)}"


def _quantization(draft: Draft) -> Iterator[str]:
    yield "quantization:"
    yield from _chosen("scheme", draft.choices.scheme)
    yield from _chosen("io", draft.choices.io)
    yield ""


def _validation(draft: Draft) -> Iterator[str]:
    choices = draft.choices
    if choices.metrics.value or choices.gates.value:
        yield from _comment("The file passes only if every gate holds; that it is what was asked is always one.")
        yield "validation:"
        yield from _chosen("metrics", choices.metrics)
        yield from _chosen("gates", choices.gates)
    else:
        yield from _comment("With data: metrics, e.g. [top1], and gates, e.g. {max_drop: {top1: 0.01}}. Now:")
        yield from _comment("the file must hold what was asked, and compute what the float model computes.")
        yield "validation: {metrics: [], gates: {}}"
    yield from _line("targets", ["litert"], "what it must run on: tflite-pipeline list targets", indent="")


def _chosen(key: str, chosen: Chosen) -> Iterator[str]:
    yield from _line(key, chosen.value, chosen.why)


def _line(key: str, value: Any, note: str = "", indent: str = "  ") -> Iterator[str]:
    text = f"{indent}{key}: {_flow(value)}"
    if not note:
        yield text
    elif len(line := f"{text:{ASIDE}} # {note}") <= WIDTH + 10:
        yield line
    else:
        yield from _comment(note, indent)
        yield text


def _comment(text: str, indent: str = "", wrap: bool = True) -> Iterator[str]:
    start = f"{indent}# "
    if not wrap:
        yield start + text
        return
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=start, break_long_words=False, break_on_hyphens=False
    )


def _flow(value: Any) -> str:
    """Write a value on one line, so that YAML reads back what it was."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(str(key))}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else json.dumps(value)
    return json.dumps(value)


def _path(value: Any, out: Path) -> str:
    """Write a path relative to the recipe where that is short."""
    relative = os.path.relpath(value, out.absolute().parent)
    return str(value) if Path(relative).parts[:_UPWARDS] == ("..",) * _UPWARDS else relative
