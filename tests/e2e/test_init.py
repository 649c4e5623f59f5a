"""`init` on real models: the recipe is sound, and with the model's data it runs."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = pytest.mark.tf

MODELS = {
    "kws": ("keyword_spotting/kws.h5", "keyword_spotting/kws01.npz"),
    "kws_saved_model": ("keyword_spotting/kws_saved_model", "keyword_spotting/kws01.npz"),
    "resnet8": ("image_classification/resnet8.h5", "image_classification/cifar10_4000.npz"),
    "mnist_lstm20": ("mnist_lstm/mnist_lstm20.h5", "mnist_lstm/mnist_small.npz"),
    "vww_96": ("visual_wake_words/vww_96.h5", None),
    "ad01": ("anomaly_detection/ad01.h5", None),
    "ad01_fp32": ("anomaly_detection/ad01_fp32.tflite", None),
}
QUANTIZED = ("keyword_spotting/published_float.tflite", "keyword_spotting/published_int8.tflite")


@pytest.fixture(scope="module")
def begun(run_cli, shared_data, tmp_path_factory):
    """The recipes that `init` writes for all models; their folder, and what was found by name."""
    folder = tmp_path_factory.mktemp("init")

    def begin(model, data):
        words = ["--data", shared_data / data] if data else []
        done = run_cli("init", shared_data / model, *words, "--json", cwd=folder)
        assert done.code == 0, done.err
        return json.loads(done.out)

    with ThreadPoolExecutor(2) as pool:  # most of each is a start-up
        return folder, dict(zip(MODELS, pool.map(begin, *zip(*MODELS.values(), strict=True)), strict=True))


def test_every_model_has_been_looked_at(shared_data):
    files = {
        str(path.relative_to(shared_data)) for end in ("*.h5", "*.keras", "*.tflite") for path in shared_data.rglob(end)
    }
    files |= {str(path.parent.relative_to(shared_data)) for path in shared_data.rglob("saved_model.pb")}
    assert files == {model for model, _ in MODELS.values()} | {*QUANTIZED, "image_classification/published_int8.tflite"}


def test_every_recipe_is_sound(begun, run_cli):
    folder, found = begun
    done = run_cli("check", *(f"{name}.yaml" for name in found), cwd=folder)
    assert done.code == 0, done.err


def test_the_scaling_of_the_training_is_found(begun):
    """Known from where the models come from; that of kws.h5 is no usual one, its first BatchNormalization tells it."""
    _, found = begun
    assert found["resnet8"]["preprocessing"][""]["steps"] == []
    (scale,) = found["mnist_lstm20"]["preprocessing"][""]["steps"]
    assert scale["scale"]["factor"] == pytest.approx(1 / 255)
    (scale,) = found["kws"]["preprocessing"][""]["steps"]
    assert scale["scale"]["factor"] == pytest.approx(0.5847, rel=0.1)
    assert scale["scale"]["offset"] == pytest.approx(-48.5, rel=0.1)


@pytest.mark.parametrize(("name", "least"), [("kws", 0.88), ("resnet8", 0.9), ("mnist_lstm20", 0.97), ("ad01", None)])
def test_with_its_data_the_recipe_runs_and_passes(begun, run_cli, name, least):
    folder, _ = begun
    done = run_cli("run", f"{name}.yaml", "--json", cwd=folder)
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["passed"]
    if least:
        assert report["scheme"]["found"] == "full_int8"
        assert report["metrics"]["top1"]["quantized"] > least


def test_what_is_filled_in_by_hand_runs(begun, run_cli):
    """The marks are taken off the example, and it gets noise, since there are no recordings."""
    folder, _ = begun
    text = (folder / "ad01.yaml").read_text()
    filled = re.sub(r"^#(dataset:|(?:  )+[\w-])", r"\1", text, flags=re.MULTILINE)
    filled = filled.replace("source: npz", "source: synthetic").replace("path: data.npz", "shape: [640]")
    filled = re.sub(r"^  (inputs: x|labels: y)\n", "", filled, flags=re.MULTILINE)
    (folder / "filled.yaml").write_text(filled.replace("samples: 200", "samples: 50"))
    scheme = ("--set", "quantization.scheme=full_int8", "--set", "name=filled")
    done = run_cli("run", "filled.yaml", *scheme, "--json", cwd=folder)
    assert done.code == 0, done.err
    assert json.loads(done.out)["scheme"]["found"] == "full_int8"


@pytest.mark.parametrize("model", QUANTIZED)
def test_a_quantized_file_is_refused(run_cli, shared_data, tmp_path, model):
    done = run_cli("init", shared_data / model, cwd=tmp_path)
    assert done.code == 3
    assert "is quantized already" in done.err
    assert not list(tmp_path.iterdir())


def test_a_name_of_keras_applications_is_enough(run_cli, tmp_path):
    done = run_cli("init", "MobileNetV2", "--out", "net.yaml", cwd=tmp_path)
    assert done.code == 0, done.err
    assert run_cli("check", "net.yaml", cwd=tmp_path).code == 0
    text = (tmp_path / "net.yaml").read_text()
    assert "#    - scale: {factor: 0.007843137, offset: -1.0}" in text  # what its preprocess_input does
    assert Path(tmp_path / "net.yaml").read_text().count("FILL IN") > 1
