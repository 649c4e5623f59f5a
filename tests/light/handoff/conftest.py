"""A small file that takes colour images, and a whole bundle of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import Engine, QuantizedModel, Samples, file_digest
from tflite_pipeline.handoff.bundle import bundle
from tflite_pipeline.handoff.metadata import describe
from tflite_pipeline.runtime import flatbuffer

DATA = Path(__file__).parents[2] / "data"
CLASSES = ("ant", "bee", "cat", "dog")
STEPS = {
    "": [{"resize": {"height": 4, "width": 4, "method": "area"}}, {"normalize": {"mean": [127.5], "std": [127.5]}}]
}
SCALE, ZERO_POINT = 0.0078125, 3
CARD = {
    "recipe": {"name": "insects", "sha256": "ab"},
    "reference": {"bytes": 7788, "origin": "keras_file"},
    "scheme": {"asked": "full_int8", "found": "full_int8", "engine": "mlir", "why": "the first choice"},
    "io": {"asked": "int8", "inputs": [], "outputs": []},
    "metrics": {},
    "agreement": {},
    "parity": {"checked": False},
    "gates": [{"name": "scheme", "text": "the file is full_int8, as asked."}],
    "targets": [{"name": "edgetpu", "passed": None, "checked_by": "rule", "findings": ["a | b"]}],
    "samples": {"evaluation": {"split": "test", "count": 8, "synthetic": True, "sha256": "cd"}},
    "training": [],
    "recovery": [],
    "calibration": {},
    "audit": {"float_ops": [], "custom_ops": []},
    "kernels": {"samples": 8, "spread": {"scores": {"lsb": 2}}, "findings": []},
    "versions": {"numpy": "2"},
}
TOLD: dict[str, Any] = {
    "preprocessing": STEPS,
    "classes": list(CLASSES),
    "floor": {"release": "2.14", "because": [], "packages": {"pip": "tflite-runtime==2.14.0"}, "unknown": []},
    "spread": {"scores": {"lsb": 2}},
    "tested": [],
    "card": CARD,
}


@pytest.fixture(scope="session")
def colour_file(tmp_path_factory: pytest.TempPathFactory) -> QuantizedModel:
    """Takes int8 images of 4 x 4 pixels in 3 channels, and scores 4 classes."""
    model = flatbuffer.unpack(DATA / "full_int8_int8_io.tflite")
    graph = model.subgraphs[0]
    given, weights = (graph.tensors[i] for i in graph.operators[0].inputs[:2])
    given.shape = np.array([1, 4, 4, 3], np.int32)
    given.shapeSignature = None
    given.quantization.scale, given.quantization.zeroPoint = [SCALE], [ZERO_POINT]
    weights.shape = np.array([weights.shape[0], 48], np.int32)
    values = np.random.default_rng(0).integers(-127, 128, weights.shape, np.int8)
    model.buffers[weights.buffer].data = values.view(np.uint8).ravel()
    path = tmp_path_factory.mktemp("colour") / "plain.tflite"
    path.write_bytes(flatbuffer.pack(model))
    plain = QuantizedModel(path, file_digest(path), "full_int8", "int8", Engine("mlir", ""))
    return describe(plain, "insects", STEPS, CLASSES, tmp_path_factory.mktemp("described"))


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Images in -1 to 1 whose channels, rows and columns all differ."""
    folder, count = tmp_path_factory.mktemp("images"), 8
    values = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3)) / 127.5 - 1
    np.save(folder / "x.npy", values.astype(np.float32))
    rows = tuple(range(count))
    return Samples("test", folder, {"": folder / "x.npy"}, {}, rows, ("",) * count, CLASSES, False, "d")


@pytest.fixture(scope="session")
def make_bundle(
    colour_file: QuantizedModel, images: Samples, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Write a bundle: `make_bundle(tested=[…])` with other facts, `make_bundle(file, samples)` of something else."""

    def make(
        file: QuantizedModel = colour_file, samples: Samples | None = images, source: Any = None, **facts: Any
    ) -> Path:
        return bundle(file, "insects", TOLD | facts, samples, source, tmp_path_factory.mktemp("bundle")).path

    return make


@pytest.fixture(scope="session")
def shipped(make_bundle: Callable[..., Path]) -> Path:
    """The bundle of the file."""
    return make_bundle()
