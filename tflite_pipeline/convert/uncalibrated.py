"""Reference and scheme to a draft of the quantized file without any data: what computes in what is as it will be."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tflite_pipeline.artifacts import Engine, QuantizedModel, Ranges, Reference, Samples
from tflite_pipeline.convert.observe import activations
from tflite_pipeline.convert.quantize import quantize
from tflite_pipeline.convert.spec import Quantization, as_made
from tflite_pipeline.runtime.graph import read_graphs

BOUND = 1.0
"""Every activation is taken to lie between -1 and 1."""


def quantize_uncalibrated(spec: Quantization, engine: Engine, reference: Reference, out: Path) -> QuantizedModel:
    """Write `model.tflite` below `out` under ranges that nobody took: right in its dtypes, wrong in its values.

    Raises StageError where the engine fails, or LiteRT does not load what it made.
    """
    by_itself = engine.name == "converter"
    ranges = _unit_ranges(reference, out) if spec.calibrated and engine.name != "none" and not by_itself else None
    samples = _noise(reference, out) if spec.calibrated and by_itself else None
    return quantize(as_made(spec), engine, reference, samples, (ranges, None), out)


def _unit_ranges(reference: Reference, out: Path) -> Ranges:
    """Give every float activation of a reference one and the same range, as that of one sample."""
    graph = read_graphs(reference.path)[0]
    tensors = activations(graph)
    low, high = out / "low.npy", out / "high.npy"
    for path, bound in ((low, -BOUND), (high, BOUND)):
        np.save(path, np.full((1, len(tensors)), bound, np.float32))
    names = tuple(graph.tensors[index].name for index in tensors)
    return Ranges(reference.sha256, "none", tensors, names, low, high, count=1)


def _noise(reference: Reference, out: Path) -> Samples:
    """Make one batch for an engine that calibrates by itself; whole numbers, which may be ids, are 0."""
    size = max(1, reference.inputs[0].shape[0])
    noise, inputs = np.random.default_rng(0), {}
    for number, info in enumerate(reference.inputs):
        shape = (size, *(max(1, length) for length in info.shape[1:]))
        values = noise.uniform(-BOUND, BOUND, shape) if "float" in info.dtype else np.zeros(shape)
        inputs[info.name] = out / f"input{number}.npy"
        np.save(inputs[info.name], values.astype(info.dtype))
    return Samples(
        split="none",
        folder=out,
        inputs=inputs,
        labels={},
        rows=tuple(range(size)),
        digests=("",) * size,
        classes=(),
        synthetic=True,
        digest="none",
    )
