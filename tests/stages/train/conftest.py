"""Samples made on the spot for the tests of training."""

from __future__ import annotations

import importlib
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import KerasModel, QuantizedModel, Ranges, Reference, Samples, Tuned
from tflite_pipeline.convert.calibrate import calibrate
from tflite_pipeline.convert.export import export
from tflite_pipeline.convert.quantize import choose_engine, quantize
from tflite_pipeline.convert.spec import Quantization, as_made
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.worker import Workers
from tflite_pipeline.train.tune.predict import predict_rounded
from tflite_pipeline.train.tune.tune import tune
from tflite_pipeline.validate.interpreter import predict


@pytest.fixture(scope="session")
def factories():
    """Where the modules lie that workers import by their bare name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "factories")
        yield importlib.import_module


@pytest.fixture(scope="session")
def training(factories):
    return factories("training")


@pytest.fixture(scope="session")
def tuning(factories):
    return factories("tuning")


@pytest.fixture(scope="session")
def compressing(factories):
    return factories("compressing")


@pytest.fixture
def make_samples(tmp_path):
    """Write arrays by name as samples: `make_samples({"": x}, {"": y})`."""

    def make(inputs, labels=None):
        paths = []
        for kind, arrays in (("inputs", inputs), ("labels", labels or {})):
            (tmp_path / kind).mkdir(exist_ok=True)
            paths.append({name: tmp_path / kind / f"{name}.npy" for name in arrays})
            for name, array in arrays.items():
                np.save(paths[-1][name], array)
        count = len(next(iter(inputs.values())))
        return Samples("train", tmp_path, *paths, tuple(range(count)), (), (), False, "")

    return make


@dataclass(frozen=True)
class Course:
    """The stages around a training on the graph, as a run goes through them; each call has a folder of its own."""

    workers: Workers
    folder: Path
    nets: dict[Any, Reference] = field(default_factory=dict)

    def place(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))

    def reference(self, net: str, **arguments: Any) -> Reference:
        """A net of `tests/factories/tuning.py`, exported once."""
        key = (net, *arguments.items())
        if key not in self.nets:
            model = KerasModel("factory", {"function": f"tuning:{net}", "arguments": arguments}, 3, net, 0)
            self.nets[key] = self.workers.run("keras3", export, model, 1, None, 0, self.place())
        return self.nets[key]

    def samples(self, inputs: dict[str, Any], labels: dict[str, Any] | None = None) -> Samples:
        """Store arrays by name; "" is the name of an only one."""
        paths, folder = [], self.place()
        for kind, arrays in (("inputs", inputs), ("labels", labels or {})):
            (folder / kind).mkdir()
            paths.append({name: folder / kind / f"{name}.npy" for name in arrays})
            for name, array in arrays.items():
                np.save(paths[-1][name], array)
        count = len(next(iter(inputs.values())))
        return Samples("train", folder, *paths, tuple(range(count)), ("",) * count, (), False, "")

    def digits(self, rows: slice = slice(640), labels: bool = True) -> Samples:
        images, classes = importlib.import_module("tuning").digits()
        return self.samples({"": images[rows]}, {"": classes[rows]} if labels else {})

    def quantize(
        self, spec: Quantization, reference: Reference, ranges: Ranges | None, samples: Samples | None = None
    ) -> tuple[QuantizedModel, Ranges | None]:
        """Quantize with these ranges, or with those of the samples."""
        if spec.calibrated and ranges is None:
            ranges = calibrate(reference, samples, 1, self.place())
        engine = choose_engine(spec, reference, self.place())
        kind = "keras3" if engine.name == "mlir" else "plain"
        return self.workers.run(kind, quantize, spec, engine, reference, None, (ranges, None), self.place()), ranges

    def draft(self, spec: Quantization, reference: Reference, samples: Samples) -> tuple[Any, ...]:
        return (*self.quantize(spec, replace(reference, saved_model=None), None, samples), spec.symmetric_activations)

    def tune(
        self, step: Any, start: tuple[Any, ...], draft: Any, samples: Samples, seed: int = 0, out: Path | None = None
    ) -> Tuned:
        return self.workers.run("keras2", tune, step, start, draft, samples, seed, out or self.place())

    def file(self, spec: Quantization, tuned: Tuned) -> Path:
        """The quantized file of what was trained."""
        return self.quantize(as_made(spec), tuned.reference, tuned.ranges)[0].path

    def outputs(self, tuned: Tuned, file: Path, samples: Samples) -> list[tuple[np.ndarray, np.ndarray]]:
        """What the rounded network computes and what the file does, by output in the order of the alphabet."""
        rounded = self.workers.run("keras2", predict_rounded, tuned, samples, self.place())
        computed = self.workers.run("plain", predict, file, samples, 1, self.place())
        return [(np.load(rounded.outputs[name]), np.load(computed.outputs[name])) for name in sorted(rounded.outputs)]


@pytest.fixture(scope="session")
def course(factories, workers, tmp_path_factory):
    """Nets of `tests/factories/tuning.py` on their way from a Keras model to a trained and quantized file."""
    return Course(workers, tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="session")
def one_by_one():
    """Run LiteRT on each sample by itself and join its answers: `one_by_one(path, feeds)`."""

    def run(path, feeds):
        interpreter = litert.open_interpreter(path)
        answers = []
        for sample in zip(*feeds, strict=True):
            for row, values in zip(interpreter.get_input_details(), sample, strict=True):
                interpreter.set_tensor(row["index"], values[None])
            interpreter.invoke()
            answers.append([interpreter.get_tensor(row["index"]) for row in interpreter.get_output_details()])
        return [np.concatenate(column) for column in zip(*answers, strict=True)]

    return run
