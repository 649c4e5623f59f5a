"""A reference and samples in; the smallest and the largest value of every channel of some tensors out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Reference, Samples
from tflite_pipeline.convert.observe import after_each, name_inputs
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import inference
from tflite_pipeline.runtime.draft import Draft
from tflite_pipeline.runtime.graph import read_graphs

Array = npt.NDArray[Any]

_REDUCTIONS = ("REDUCE_MIN", "REDUCE_MAX")


def measure(
    reference: Reference, samples: Samples, threads: int, tensors: Sequence[int], out: Path
) -> dict[int, tuple[Array, Array]]:
    """Run the reference over all samples: by tensor, the lows and the highs of its channels, the last axis, float64.

    Raises StageError where one is not finite.
    """
    if not tensors:
        return {}
    job = inference.plan(reference.path, inference.inputs_of(samples))
    found: dict[int, tuple[Array, Array]] = {}
    lock = Lock()

    def consume(_: int, outputs: list[Array]) -> None:
        with lock:
            for place, tensor in enumerate(tensors):
                low, high = outputs[2 * place].min(axis=0), outputs[2 * place + 1].max(axis=0)
                earlier = found.get(tensor, (low, high))
                found[tensor] = np.minimum(low, earlier[0]), np.maximum(high, earlier[1])

    with tempfile.TemporaryDirectory(dir=out) as folder:
        path = Path(folder) / reference.path.name
        path.write_bytes(_with_extremes(reference, tensors, job.rows))
        inference.run(inference.elsewhere(job, path), threads, consume, "measuring channels")
    for tensor, sides in found.items():
        if not np.isfinite(sides).all():
            raise StageError(
                f"tensor {tensor} of '{reference.path.name}' must hold finite numbers. Got NaN or infinity.",
                "Look for huge values in the dataset and in the model's weights.",
            )
    return {tensor: (low.astype(np.float64), high.astype(np.float64)) for tensor, (low, high) in found.items()}


def _with_extremes(reference: Reference, tensors: Sequence[int], rows: int) -> bytes:
    """Give the reference two outputs [rows, channels] a tensor, in place of its own: all rows have the same.

    Each tensor is reduced where it is made, so that its memory is free again as early as it was.
    """
    graph, draft, outputs = read_graphs(reference.path)[0], Draft(reference.path), dict[tuple[int, str], int]()
    name_inputs(draft, reference)

    def reduce(made: Iterable[int]) -> None:
        for tensor in made:
            for name in _REDUCTIONS:
                outputs[tensor, name] = _reduced(draft, tensor, name, rows)

    after_each(draft, graph, tensors, reduce)
    return draft.finish([outputs[tensor, name] for tensor in tensors for name in _REDUCTIONS])


def _reduced(draft: Draft, tensor: int, name: str, rows: int) -> int:
    shape = draft.graph.tensors[tensor].shape
    width, axes = int(shape[-1]), np.arange(len(shape) - 1, dtype=np.int32)
    one = tensor
    if axes.size:
        one = draft.op(name, (tensor, draft.constant(axes)), [width], "ReducerOptions", keepDims=False)
    return draft.op("PACK", [one] * rows, [rows, width], "PackOptions", valuesCount=rows, axis=0)


def largest(extremes: dict[int, tuple[Array, Array]]) -> dict[int, Array]:
    """Give the largest absolute value of every channel."""
    return {tensor: np.maximum(-low, high) for tensor, (low, high) in extremes.items()}
