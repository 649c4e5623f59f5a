"""The float reference: names, order, shapes and values are those of the Keras model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import Engine, KerasModel, Samples
from tflite_pipeline.convert.calibrate import calibrate
from tflite_pipeline.convert.export import export
from tflite_pipeline.convert.quantize import quantize
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert
from tflite_pipeline.validate.parity import check_parity

pytestmark = pytest.mark.tf


def factory(name: str, generation: int = 3) -> KerasModel:
    return KerasModel("factory", {"function": f"small_models:{name}", "arguments": {}}, generation, name, 0)


def quantized(workers, spec, reference, calibration, folder):
    (folder / "r").mkdir()
    ranges = workers.run("plain", calibrate, reference, calibration, 1, folder / "r")
    return workers.run("keras3", quantize, spec, Engine("mlir", ""), reference, None, (ranges, None), folder / "q")


def samples(folder: Path, **arrays: np.ndarray) -> Samples:
    paths = {}
    for name, array in arrays.items():
        paths[name] = folder / f"{name}.npy"
        np.save(paths[name], array)
    count = len(next(iter(arrays.values())))
    digests = tuple(map(str, range(count)))
    return Samples("test", folder, paths, {}, tuple(range(count)), digests, (), False, "")


def test_names_and_order_are_those_of_the_model(workers, tmp_path):
    reference = workers.run("keras3", export, factory("two_outputs"), 1, None, 0, tmp_path)
    assert [(info.name, info.shape) for info in reference.inputs] == [("zebra", (1, 8, 8, 1)), ("apple", (1, 3))]
    assert [(info.name, info.shape) for info in reference.outputs] == [("scores", (1, 4)), ("box", (1, 2))]
    assert check_parity(reference, 1e-5, Path()).found["passed"]


def test_order_survives_quantization_and_integer_io(workers, tmp_path):
    noise = np.random.default_rng(0)
    zebra, apple = noise.random((20, 8, 8, 1), np.float32), noise.random((20, 3), np.float32)
    calibration = samples(tmp_path, zebra=zebra, apple=apple)
    (tmp_path / "e").mkdir()
    (tmp_path / "q").mkdir()
    reference = workers.run("keras3", export, factory("two_outputs"), 1, calibration, 0, tmp_path / "e")
    spec = Quantization(scheme="full_int8", io="int8")
    model = quantized(workers, spec, reference, calibration, tmp_path)
    inputs, outputs = litert.describe(model.path)
    assert [(info.name, info.dtype) for info in inputs] == [("zebra", "int8"), ("apple", "int8")]
    assert [(info.name, info.dtype) for info in outputs] == [("scores", "int8"), ("box", "int8")]


def test_keras2_model_keeps_its_order(workers, tmp_path):
    reference = workers.run("keras2", export, factory("two_outputs_keras2", 2), 1, None, 0, tmp_path)
    assert [info.name for info in reference.outputs] == ["zulu", "alpha"]
    assert check_parity(reference, 1e-5, Path()).found["passed"]


def test_open_dimensions_come_from_the_samples(workers, tmp_path):
    probe = samples(tmp_path, image=np.zeros((4, 12, 10, 3), np.float32))
    (tmp_path / "e").mkdir()
    reference = workers.run("keras3", export, factory("with_open_size"), 1, probe, 0, tmp_path / "e")
    assert reference.inputs[0].shape == (1, 12, 10, 3)


def test_open_dimensions_without_samples_are_refused(workers, tmp_path):
    with pytest.raises(StageError, match="no samples say how large"):
        workers.run("keras3", export, factory("with_open_size"), 1, None, 0, tmp_path)


def test_batch_is_what_the_recipe_says(workers, tmp_path):
    for batch, found in ((4, 4), ("dynamic", -1)):
        out = tmp_path / str(batch)
        out.mkdir()
        reference = workers.run("keras3", export, factory("two_outputs"), batch, None, 0, out)
        assert reference.inputs[0].shape[0] == found
        assert check_parity(reference, 1e-5, Path()).found["passed"]


def test_each_input_is_calibrated_on_its_own_samples(workers, tmp_path):
    """A calibration that went by position instead of by name would swap the ranges without a word."""
    noise = np.random.default_rng(0)
    highest = {"mango": 1.0, "apple": 10.0, "zebra": 100.0}
    arrays = {name: noise.uniform(0, high, (50, 4)).astype(np.float32) for name, high in highest.items()}
    calibration = samples(tmp_path, **arrays)
    (tmp_path / "e").mkdir()
    (tmp_path / "q").mkdir()
    reference = workers.run("keras3", export, factory("three_alike"), 1, calibration, 0, tmp_path / "e")
    spec = Quantization(scheme="full_int8", io="int8")
    model = quantized(workers, spec, reference, calibration, tmp_path)
    inputs, _ = litert.describe(model.path)
    assert [info.name for info in inputs] == list(highest)
    for info in inputs:
        assert info.scale == pytest.approx(arrays[info.name].max() / 255, rel=1e-3)
