"""Equalization of networks that people use: the outputs stay, and channels scaled at random are harmless afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import Engine, KerasModel, Reference, Samples
from tflite_pipeline.convert.calibrate import calibrate
from tflite_pipeline.convert.export import export
from tflite_pipeline.convert.quantize import quantize
from tflite_pipeline.convert.recovery.channels import find_groups, scaled
from tflite_pipeline.convert.recovery.equalize import equalize
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.runtime import inference
from tflite_pipeline.runtime.answers import collect

pytestmark = pytest.mark.tf

REAL = {
    "kws": "keyword_spotting/kws.h5",
    "resnet8": "image_classification/resnet8.h5",
    "vww": "visual_wake_words/vww_96.h5",
}
BUILT = [
    "architectures:mobilenet_v2",
    "architectures:efficientnet_b0",
    "architectures:ds_cnn",
    "architectures:two_inputs",
    "relu_nets:mobilenet_v2",
    "small_models:digits_classifier",
]
CALIBRATION, EVALUATION = 64, 800


@dataclass(frozen=True)
class Net:
    """A reference, the samples that it is calibrated with, and others by input name."""

    reference: Reference
    samples: Samples
    others: dict[str, np.ndarray]


def factory(function: str) -> KerasModel:
    return KerasModel("factory", {"function": function, "arguments": {}}, 3, function, 0)


def stored(folder: Path, arrays: dict[str, np.ndarray]) -> Samples:
    paths = {name: folder / f"{place}.npy" for place, name in enumerate(arrays)}
    for name, path in paths.items():
        np.save(path, arrays[name])
    count = len(next(iter(arrays.values())))
    return Samples("train", folder, paths, {}, tuple(range(count)), ("",) * count, (), False, "")


def outputs(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    job = inference.widen(inference.plan(path, arrays))
    return collect(job, 2, lambda _, shape: np.empty(shape, np.float32), "predicting")


@pytest.fixture
def folder(tmp_path):
    """A function that makes an empty folder."""
    places = iter(range(1000))

    def make() -> Path:
        path = tmp_path / str(next(places))
        path.mkdir()
        return path

    return make


@pytest.fixture
def noisy(workers, folder, request):
    """A network on noise: real ones, and those that are built."""

    def make(name: str) -> Net:
        if name in REAL:
            data = request.getfixturevalue("shared_data")
            model = KerasModel("keras_file", {"path": str(data / REAL[name])}, 2, name, 0)
            reference = workers.run("keras2", export, model, 1, None, 0, folder())
        else:
            reference = workers.run("keras3", export, factory(name), 1, None, 0, folder())
        random = np.random.default_rng(0)
        seen, others = (
            {i.name: random.uniform(-1, 1, (n, *i.shape[1:])).astype(np.float32) for i in reference.inputs}
            for n in (CALIBRATION, 32)
        )
        return Net(reference, stored(folder(), seen), others)

    return make


@pytest.mark.parametrize("name", [*REAL, *BUILT])
def test_outputs_stay_on_other_samples(name, noisy, folder):
    net = noisy(name)
    found = equalize(net.reference, net.samples, 2, folder())
    assert found.changed or name == "architectures:two_inputs"
    after = outputs(found.reference.path, net.others)
    for output, before in outputs(net.reference.path, net.others).items():
        assert np.abs(after[output] - before).max() <= 1e-4 * np.abs(before).max()


def images(name: str, data: Path) -> np.ndarray:
    """Realistic inputs: photographs, enlarged for the wake-word camera; handwritten digits for MobileNetV2."""
    count = 200 + EVALUATION
    if name == "mobilenet":
        from sklearn.datasets import load_digits

        digits = load_digits().images[:count].astype(np.float32)[..., None]
        return digits.repeat(12, 1).repeat(12, 2).repeat(3, 3) * 0.125 - 1
    photographs = np.load(data / "image_classification/cifar10_4000.npz")["x"][:count]
    if name == "vww":
        return (photographs.repeat(3, 1).repeat(3, 2) / 255).astype(np.float32)
    return photographs.astype(np.float32)


def int8(net: Net, reference: Reference, folder: Any) -> np.ndarray:
    """What the full_int8 file of a reference puts out."""
    ranges = calibrate(reference, net.samples, 2, folder())
    spec, engine = Quantization(scheme="full_int8"), Engine("ai_edge", "")
    path = quantize(spec, engine, reference, None, (ranges, None), folder()).path
    return next(iter(outputs(path, net.others).values()))


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    return float((one.argmax(1) == other.argmax(1)).mean())


def error(exact: np.ndarray, found: np.ndarray) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


@pytest.mark.parametrize("name", ["resnet8", "vww", "mobilenet"])
def test_a_net_whose_channels_were_scaled_is_as_good_as_before_when_equalized(name, workers, shared_data, folder):
    if name == "mobilenet":
        reference = workers.run("keras3", export, factory("relu_nets:mobilenet_v2"), 1, None, 0, folder())
    else:
        model = KerasModel("keras_file", {"path": str(shared_data / REAL[name])}, 2, name, 0)
        reference = workers.run("keras2", export, model, 1, None, 0, folder())
    values, key = images(name, shared_data), reference.inputs[0].name
    net = Net(reference, stored(folder(), {key: values[:200]}), {key: values[200:]})
    random, (groups, _) = np.random.default_rng(0), find_groups(reference.path)
    factors = {group: np.exp(random.uniform(0, np.log(1000), group.size)) for group in groups}
    spoilt = scaled(reference, factors, folder())
    mended = equalize(spoilt, net.samples, 2, folder()).reference
    exact = next(iter(outputs(reference.path, net.others).values()))
    plain, bad, good = (int8(net, one, folder) for one in (reference, spoilt, mended))
    assert error(exact, bad) > 5 * error(exact, plain)
    assert agreement(exact, good) >= agreement(exact, plain) - 0.01
    assert error(exact, good) < 1.3 * error(exact, plain)
    assert agreement(plain, good) >= 0.97
