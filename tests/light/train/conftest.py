"""A tiny convolutional network, and what engines that need no TensorFlow make of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import Engine, QuantizedModel, Ranges, Reference, Samples, file_digest
from tflite_pipeline.convert.calibrate import calibrate
from tflite_pipeline.convert.quantize import quantize
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.graph import read_graphs

DATA = Path(__file__).parents[2] / "data"
COUNT = 8
Quantize = Callable[..., QuantizedModel]


@pytest.fixture(scope="session")
def conv_net() -> Reference:
    path = DATA / "conv_net.tflite"
    return Reference(path, file_digest(path), *litert.describe(path), None, None, "tflite")


@pytest.fixture(scope="session")
def numbers(conv_net: Reference) -> dict[str, int]:
    """By a part of its name: the number of the first tensor that has it."""
    parts = ("image", "conv_1/", "depthwise_1/depthwise", "sum", "flat", "hidden_1/MatMul", "scores_1/MatMul")
    names = [tensor.name for tensor in read_graphs(conv_net.path)[0].tensors]
    return {part: next(i for i, name in enumerate(names) if part in name) for part in parts}


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    folder = tmp_path_factory.mktemp("noise")
    np.save(folder / "x.npy", np.random.default_rng(0).uniform(-1, 1, (COUNT, 8, 8, 1)).astype(np.float32))
    rows = tuple(range(COUNT))
    return Samples("train", folder, {"": folder / "x.npy"}, {}, rows, ("",) * COUNT, (), True, "d")


@pytest.fixture(scope="session")
def ranges(conv_net: Reference, noise: Samples, tmp_path_factory: pytest.TempPathFactory) -> Ranges:
    return calibrate(conv_net, noise, 1, tmp_path_factory.mktemp("ranges"))


@pytest.fixture(scope="session")
def quantized(conv_net: Reference, ranges: Ranges, tmp_path_factory: pytest.TempPathFactory) -> Quantize:
    """Quantize the network as the section says: `quantized(scheme="full_int8")`."""

    def make(reference: Reference = conv_net, limits: Ranges = ranges, **section: Any) -> QuantizedModel:
        spec, out = Quantization(**section), tmp_path_factory.mktemp("quantized")
        spread_of = (limits if spec.calibrated else None), None
        return quantize(spec, Engine("ai_edge", ""), reference, None, spread_of, out)

    return make
