"""What `init` sees of live Keras models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import KerasModel
from tflite_pipeline.starter.looks import Scaling
from tflite_pipeline.starter.network import look_at_keras
from tflite_pipeline.starter.trial import try_scalings
from tflite_pipeline.starter.witness import remembered_scaling

pytestmark = pytest.mark.tf


def factory(name: str, **arguments: Any) -> KerasModel:
    return KerasModel("factory", {"function": f"starting:{name}", "arguments": arguments}, 3, name, 0)


def application(name: str) -> KerasModel:
    spec = {"name": name, "weights": None, "input_shape": [96, 96, 3], "classes": 7, "arguments": {}}
    return KerasModel("application", spec, 3, name, 0)


def test_a_model_that_scales_its_input_says_so(workers) -> None:
    look = workers.run("keras3", look_at_keras, factory("rescaled"))
    assert [(port.name, port.shape, port.dtype) for port in look.inputs] == [("photo", (12, 12, 3), "float32")]
    assert [(port.shape, port.ending) for port in look.outputs] == [((3,), "softmax")]
    assert look.classifies
    (scaling,) = look.scaling
    # Keras numbers a layer's name by how many its process has made before.
    assert re.fullmatch(r"Rescaling 'rescaling\w*', x \* 0\.00784314 \+ -1", scaling)
    assert look.layers["Conv2D"] == 1


def test_each_input_and_output_is_told(workers) -> None:
    look = workers.run("keras3", look_at_keras, factory("two_ends"))
    assert {port.name: (port.shape, port.dtype) for port in look.inputs} == {
        "left": ((4,), "float32"),
        "words": ((None,), "int32"),
    }
    assert {port.name: port.ending for port in look.outputs} == {"speed": "linear", "sort": "softmax"}
    assert not look.classifies


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("MobileNetV2", ({"scale": {"factor": 0.007843137, "offset": -1.0}},)),
        ("EfficientNetB0", ()),
        ("MobileNetV3Small", ()),
    ],
)
def test_the_preprocessing_of_a_published_architecture_is_found_out(workers, name: str, steps: Any) -> None:
    assert workers.run("keras3", look_at_keras, application(name)).wanted == steps


@pytest.mark.parametrize(("factor", "offset"), [(1 / 255, 0.0), (0.585, -48.5)])
def test_the_first_batch_normalization_tells_how_samples_were_scaled(
    workers, tmp_path: Path, factor: float, offset: float
) -> None:
    random = np.random.default_rng(0)
    blots = random.integers(0, 200, (64, 8, 8, 3)) + random.integers(0, 56, (64, 1, 1, 1))
    np.save(tmp_path / "seen.npy", blots)
    np.savez(tmp_path / "data.npz", x=blots.astype(np.uint8))
    section = {"source": "npz", "path": str(tmp_path / "data.npz"), "inputs": "x"}
    model = factory("remembers", factor=factor, offset=offset, seen=str(tmp_path / "seen.npy"))
    args = (model, section, (), "float32", [(1.0, 0.0), (factor, offset)])
    memory = workers.run("keras3", remembered_scaling, *args)
    assert memory.unexplained < 1e-3
    assert memory.factor == pytest.approx(factor, rel=0.05)
    assert memory.factor * 100 + memory.offset == pytest.approx(factor * 100 + offset, abs=5 * factor)
    as_they_are, as_seen = memory.others
    assert as_seen < 1e-3 < as_they_are


@pytest.mark.parametrize("name", ["rescaled", "untrained"])
def test_a_model_that_has_no_statistics_of_its_training_remembers_nothing(workers, tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((8, 12, 12, 3), np.uint8))
    section = {"source": "npz", "path": str(tmp_path / "data.npz"), "inputs": "x"}
    assert workers.run("keras3", remembered_scaling, factory(name), section, (), "float32", []) is None


def test_each_way_is_scored_by_the_float_model(workers, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (50, 12, 12, 3)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x=images, y=np.zeros(50, np.int64))
    section = {"source": "npz", "path": str(tmp_path / "data.npz"), "inputs": "x", "labels": "y"}
    ways = [Scaling("as they are", ()), Scaling("black", ({"scale": {"factor": 0.0, "offset": 0.0}},))]
    scores, spreads, rows = workers.run("keras3", try_scalings, factory("rescaled"), section, ways, "float32", True)
    assert rows == 50
    assert all(score is not None and 0 <= score <= 1 for score in scores)
    assert scores[1] in (0.0, 1.0)  # all samples alike have one answer
    assert spreads[0] > spreads[1] == pytest.approx(0, abs=1e-6)
