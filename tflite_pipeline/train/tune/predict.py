"""A reference that was trained under rounding, and samples, in; what the rounded network computes out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import Predictions, Samples, TensorInfo, Tuned
from tflite_pipeline.runtime import inference
from tflite_pipeline.runtime.answers import output_files
from tflite_pipeline.runtime.biases import round_biases
from tflite_pipeline.runtime.grids import Grids, on_grid
from tflite_pipeline.runtime.progress import advance
from tflite_pipeline.runtime.rows import Rows
from tflite_pipeline.runtime.tensorflow import tensorflow
from tflite_pipeline.train.tune.graph import FloatGraph, read_float_graph
from tflite_pipeline.train.tune.kernels import Kernel, kernels_of
from tflite_pipeline.train.tune.quantizers import round_exactly
from tflite_pipeline.train.tune.rounding import read_rounding

BATCH = 32


def _rounded(tuned: Tuned) -> Any:
    """Give the network as a function of its inputs.

    It computes in float64: in float32 a sum may come to lie on the other side of a half than in the integers of the
    file, and of one such step later layers make many.
    """
    tf = tensorflow()
    graph = read_float_graph(tuned.reference.path)
    grids = read_rounding(tuned.rounding) if tuned.rounding else Grids({}, {})
    constants, ranges = _exact(graph, grids), grids.ranges
    kernels = kernels_of(graph, constants, grids)

    def observe(number: int, value: Any) -> Any:
        return round_exactly(value, ranges[number], kernels.get(number, Kernel())) if number in ranges else value

    return tf.function(lambda *feeds: graph(feeds, constants, observe), autograph=False, reduce_retracing=True)


def _exact(graph: FloatGraph, grids: Grids) -> dict[int, Any]:
    """Give the constants in float64, those that the file stores as integers as exact multiples of their steps."""
    constants = {number: _as_computed(values) for number, values in graph.constants.items()}
    constants |= {n: on_grid(constants[n], steps) for n, steps in grids.constants.items() if steps.symmetric}
    return constants | round_biases(graph.nodes, constants, grids.ranges, grids.constants)


def _as_computed(values: Any) -> Any:
    array = np.asarray(values)
    return array.astype(np.float64) if array.dtype == np.float32 else array


def _feed(info: TensorInfo, arrays: Mapping[str, Rows], rows: slice) -> Any:
    """Take rows of an input, which needs no name where it is the only one; whatever the samples' dtype."""
    values = np.asarray((arrays[info.name] if info.name in arrays else arrays[""])[rows])
    return _as_computed(values.astype(info.dtype, copy=False))


def predict_rounded(tuned: Tuned, samples: Samples, out: Path) -> Predictions:
    """Run the fake-quantized network over all samples: `out/outputs/<name>.npy`, float32, first axis the samples."""
    arrays = inference.inputs_of(samples)
    run, parts = _rounded(tuned), []
    for first in range(0, samples.count, BATCH):
        feeds = [_feed(info, arrays, slice(first, first + BATCH)) for info in tuned.reference.inputs]
        parts.append([np.asarray(values, np.float32) for values in run(*feeds)])
        advance(min(first + BATCH, samples.count), samples.count, "predicting")
    files = output_files(tuned.reference.outputs, out)
    for path, column in zip(files.values(), zip(*parts, strict=True), strict=True):
        np.save(path, np.concatenate(column))
    return Predictions.of(files, samples.count, BATCH)
