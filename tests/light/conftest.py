"""Samples made from arrays, reports made from little, and a tiny convolutional network that is quantized."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import (
    Engine,
    Evaluation,
    Profile,
    QuantizedModel,
    Ranges,
    Reference,
    Samples,
    TensorInfo,
    file_digest,
)
from tflite_pipeline.convert.calibrate import calibrate
from tflite_pipeline.convert.quantize import quantize
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.report.build import Facts, build_report
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.graph import read_graphs

DATA = Path(__file__).parents[1] / "data"
COUNT = 8
"""Samples of the network's calibration."""
MakeSamples = Callable[..., Samples]
Quantize = Callable[..., QuantizedModel]
MakeReport = Callable[..., dict[str, Any]]


@pytest.fixture
def make_samples(tmp_path: Path) -> MakeSamples:
    """A function from arrays by name to stored samples."""

    def make(
        inputs: dict[str, Any], labels: dict[str, Any] | None = None, rows: Sequence[int] = (), classes: Any = ()
    ) -> Samples:
        stored: dict[str, dict[str, Path]] = {"inputs": {}, "labels": {}}
        for kind, arrays in (("inputs", inputs), ("labels", labels or {})):
            (tmp_path / kind).mkdir(exist_ok=True)
            for name, array in arrays.items():
                stored[kind][name] = tmp_path / kind / f"{name or 'only'}.npy"
                np.save(stored[kind][name], array)
        count = len(next(iter(inputs.values())))
        return Samples(
            split="test",
            folder=tmp_path,
            inputs=stored["inputs"],
            labels=stored["labels"],
            rows=tuple(rows) or tuple(range(count)),
            digests=("0" * 16,) * count,
            classes=tuple(classes),
            synthetic=False,
            digest="d",
        )

    return make


@pytest.fixture
def make_report() -> MakeReport:
    """A function from what a training and its fidelity gave to the report of a tiny file."""

    def make(
        fidelity: dict[str, Any] | None = None, compression: dict[str, Any] | None = None, **facts: Any
    ) -> dict[str, Any]:
        output = TensorInfo("scores", (1, 4), "int8", 1 / 256, -128)
        top1 = {
            "reference": 0.931,
            "quantized": 0.9,
            "drop": 0.031,
            "interval": [0.019, 0.043],
            "samples": 719,
            "higher_is_better": True,
        }
        audit = {"found": "full_int8", "io_found": "int8", "ops": {"CONV_2D": 1}, "float_ops": [], "findings": []}
        profile = Profile({"p50": 0.1, "p90": 0.1, "p99": 0.1, "mean": 0.1, "min": 0.1}, 1, 5, 50, 4096, "a processor")
        file, engine = DATA / "full_int8_int8_io.tflite", Engine("mlir", "the first choice for full_int8")
        common = {
            "recipe": {"name": "demo", "sha256": "ab", "path": "demo.yaml", "decided": []},
            "verdict": "passed",
            "gates": [],
            "reference": Reference(DATA / "float32.tflite", "0", (), (output,), None, None, "keras_file"),
            "quantized": QuantizedModel(file, "cd", "full_int8", "int8", engine),
            "evaluation": Evaluation(
                {"top1": top1}, {}, {}, {}, audit, (), (output,), fidelity or {}, compression or {}
            ),
            "profiles": {"reference": profile, "quantized": profile},
            "samples": {},
            "calibration": {},
            "targets": [],
            "history": (),
            "seconds": {"quantize": 0.5},
            "cached": [],
            "versions": {"tflite-pipeline": "1", "numpy": "2"},
        }
        return build_report(Facts(**(common | facts)))

    return make


@pytest.fixture
def fidelity() -> dict[str, Any]:
    """A training that kept what float has, and a conversion that did not."""
    row = {
        "float": 0.931,
        "fake_quant": 0.93,
        "tflite": 0.9,
        "training_drop": {"drop": 0.001, "interval": [-0.004, 0.006]},
        "conversion_drop": {"drop": 0.03, "interval": [0.018, 0.042]},
        "samples": 719,
        "higher_is_better": True,
    }
    scores = {
        "agreement": 0.955,
        "within_1_lsb": 0.9954,
        "within_2_lsb": 0.9991,
        "interval": [0.99, 0.9999],
        "largest_lsb": 7.0,
        "lsb": 1 / 256,
        "sqnr_db": 38.21,
        "samples": 719,
    }
    nothing = dict.fromkeys(("agreement", "within_1_lsb", "within_2_lsb", "interval", "largest_lsb", "lsb"))
    angle = {**nothing, "sqnr_db": 40.0, "samples": 719}
    warnings = ["top1 goes from 0.93 to 0.9."]
    return {"metrics": {"top1": row}, "outputs": {"scores": scores, "angle": angle}, "warnings": warnings}


@pytest.fixture
def training() -> dict[str, Any]:
    """Pruning, whose last epoch counts, then training with fake quantization, which begins with the untrained state."""
    pruned = [{"loss": 0.5, "accuracy": 0.8, "val_loss": 0.6, "val_accuracy": value} for value in (0.85, 0.88)]
    rounded = [{"val_loss": 0.4, "val_accuracy": 0.927}]
    rounded += [{"loss": 0.3, "accuracy": 0.9, "val_loss": 0.3, "val_accuracy": v} for v in (0.929, 0.931, 0.93)]
    return {
        "steps": [
            {"method": "prune", "epochs": 2, "best_epoch": 1, "history": pruned},
            {"method": "qat", "epochs": 3, "best_epoch": 2, "history": rounded},
        ],
        "kept": {"sparsity": {"dense/MatMul": 0.5}, "clusters": {}, "two_of_four": []},
    }


@pytest.fixture
def compression() -> dict[str, Any]:
    """What a pruned file holds."""
    row = {"op": "FULLY_CONNECTED", "elements": 1280, "zeros": 0.5, "distinct": 180, "distinct_in_channel": 25}
    rows = [{**row, "tensor": "dense/MatMul", "layer": "dense", "two_of_four": True}]
    return {"weights": rows, "zeros": 0.5, "compressed_bytes": 2048, "unread": [], "findings": []}


@pytest.fixture
def features() -> np.ndarray:
    """37 samples for the tiny classifiers: no multiple of any batch."""
    return np.random.default_rng(1).normal(size=(37, 16)).astype(np.float32)


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
