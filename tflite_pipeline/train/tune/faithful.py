"""A reference in; its graph for training out, once it was seen to compute what the file computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import Reference, Samples
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import inference
from tflite_pipeline.runtime.answers import compute
from tflite_pipeline.runtime.layers import place_of
from tflite_pipeline.train.tune.graph import FloatGraph, read_float_graph, refusals

ROWS = 8
"""Samples that are compared, in one batch."""
TOLERANCE = 1e-4
"""Largest difference from the file, relative to its largest output."""
_TOLD = 5


@dataclass(frozen=True)
class Opened:
    """A graph, and what was seen of it on some samples.

    `spread` is the standard deviation of activations by number of the tensor; `shares` tells, in the order of the
    outputs, whether all values lie from 0 to 1.
    """

    graph: FloatGraph
    spread: dict[int, float]
    shares: tuple[bool, ...]


def open_graph(reference: Reference, samples: Samples) -> Opened:
    """Read the graph. Raises StageError where it cannot be trained, or computes otherwise than the file."""
    graph = read_float_graph(reference.path)
    refuse(reference, graph)
    rows = {name: np.asarray(array[:ROWS]) for name, array in inference.inputs_of(samples).items()}
    answers = compute(reference.path, rows)
    expected = [answers[info.name] for info in reference.outputs]
    feeds = [rows[info.name] if info.name in rows else rows[""] for info in reference.inputs]
    spread: dict[int, float] = {}

    def note(number: int, value: Any) -> Any:
        spread[number] = float(np.std(value)) if value.dtype.is_floating else 0.0
        return value

    for info, values, answer in zip(reference.outputs, graph(feeds, observe=note), expected, strict=True):
        largest = float(np.abs(answer).max())
        apart = float(np.abs(np.asarray(values) - answer).max())
        if not apart <= TOLERANCE * max(largest, 1e-6):
            raise StageError(
                f"the graph for training must compute what the float file computes, to {TOLERANCE:g} of the largest "
                f"output. Output '{info.name}' differs by {apart:.3g} where the largest is {largest:.3g}.",
                "Train with method: fit, or not at all.",
            )
    return Opened(graph, spread, tuple(bool(np.all((answer >= 0) & (answer <= 1))) for answer in expected))


def refuse(reference: Reference, graph: FloatGraph) -> None:
    """Raise StageError with every op that cannot be trained, its layer and the reason."""
    found = refusals(graph)
    if not found:
        return
    rows = [
        f"{node.name} {place_of(graph.names[node.outputs[0]], reference.layers)}: {why}" for node, why in found[:_TOLD]
    ]
    more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    raise StageError(
        f"the model cannot be trained on its graph: {'; '.join(rows)}{more}.",
        "Replace these layers, or leave out the training steps prune, cluster and qat.",
    )
