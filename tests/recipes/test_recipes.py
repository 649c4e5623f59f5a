"""Every recipe of the repository is sound, and every one that can run here does what its header says."""

from __future__ import annotations

import functools
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.answers import compute

RECIPES = Path(__file__).parent.parent.parent / "recipes"
ALL = sorted(path.relative_to(RECIPES) for path in RECIPES.rglob("*.yaml"))
NEEDS_NETWORK = {Path("your_data/imagenet_mobilenet_v2.yaml")}
SLOW = {
    Path("mobilenet_train.yaml"),
    *(Path(f"shared_data/resnet8_{name}.yaml") for name in ("clustered", "pruned", "two_of_four")),
}
RUNS_CODE = {Path("shared_data/spoken_digits.yaml")}
FAILS_ON_PURPOSE = {Path("shared_data/anomaly_published.yaml")}
RUNNABLE = [path for path in ALL if path not in NEEDS_NETWORK | SLOW]


@pytest.mark.parametrize("path", ALL, ids=str)
def test_recipe_is_sound(path, shared_data, tmp_path, monkeypatch):
    from tflite_pipeline.recipe.load import load_recipe

    (tmp_path / "n01440764").mkdir()
    monkeypatch.setenv("TFLITE_PIPELINE_DATA", str(shared_data))
    monkeypatch.setenv("IMAGENET_DIR", str(tmp_path))
    assert load_recipe(RECIPES / path, allow_code=path in RUNS_CODE).recipe.name == path.stem


@pytest.mark.parametrize("path", ALL, ids=str)
def test_header_says_command_and_expectation(path):
    text = (RECIPES / path).read_text()
    schema = "../" * (len(path.parts) - 1) + "recipe.schema.json"
    assert text.startswith(f"# yaml-language-server: $schema={schema}\n")
    assert "make quantize" in text
    assert "expected:" in text


@pytest.fixture(scope="module")
def run_once(run_cli, build, request):
    """Run a recipe of the repository, the first time that a test wants it."""

    @functools.cache
    def run(path: Path):
        data = request.getfixturevalue("shared_data") if path.parts[0] == "shared_data" else None
        return run_cli("run", RECIPES / path, "--out", build, *["--allow-code"] * (path in RUNS_CODE), data=data)

    return run


@pytest.fixture(scope="module")
def report_of(run_once, build):
    """The report of a recipe of the repository."""

    def read(name: str) -> dict:
        run_once(Path(f"{name}.yaml"))
        return json.loads((build / Path(name).name / "report.json").read_text())

    return read


@pytest.mark.tf
@pytest.mark.parametrize("path", RUNNABLE, ids=str)
def test_recipe_runs_and_holds_its_gates(path, run_once, build):
    done, folder = run_once(path), build / path.stem
    assert "Traceback" not in done.err + done.out
    assert done.code == (1 if path in FAILS_ON_PURPOSE else 0), done.err + done.out
    report = json.loads((folder / "report.json").read_text())
    assert report["passed"] == (done.code == 0)
    assert (folder / "model.tflite").exists() == report["passed"]
    assert (folder / "handoff.zip").exists() == report["passed"]
    assert report["scheme"]["found"] == report["scheme"]["asked"]
    _assert_io(folder / report["model"]["file"], report)


def _assert_io(path: Path, report: dict) -> None:
    inputs, outputs = litert.describe(path)
    assert {info.dtype for info in (*inputs, *outputs)} == {report["io"]["asked"]}


@pytest.mark.tf
@pytest.mark.parametrize("path", RUNNABLE, ids=str)
def test_verdict_of_tflite_2_14_is_what_that_runtime_does(path, run_once, build, runs_in_old, tmp_path):
    run_once(path)
    (file,) = (build / path.stem).glob("*.tflite")
    runs_in_old([file], tmp_path)


@pytest.mark.tf
def test_published_wrong_conversion_fails_parity_only(report_of):
    report = report_of("shared_data/anomaly_published")
    assert [gate["name"] for gate in report["gates"] if gate["verdict"] != "passed"] == ["parity"]
    assert report["model"]["file"] == "model.FAILED.tflite"
    assert report["parity"]["difference"] > 0.01


@pytest.mark.tf
def test_keras_file_and_saved_model_of_the_same_net_give_the_same_figures(report_of):
    metrics = [report_of(f"shared_data/{name}")["metrics"]["top1"] for name in ("kws", "kws_saved_model")]
    assert metrics[0] == metrics[1]
    assert metrics[0]["drop"] <= 0.007


@pytest.mark.tf
def test_resnet8_equals_the_published_file(report_of, shared_data):
    report = report_of("shared_data/resnet8")
    published = shared_data / "image_classification" / "published_int8.tflite"
    with np.load(shared_data / "image_classification" / "cifar10_4000.npz") as arrays:
        images, labels = arrays["x"][200:], arrays["y"][200:]
    right = compute(published, {"": images})["Identity_int8"].argmax(axis=1) == labels
    assert report["metrics"]["top1"]["samples"] == len(labels)
    assert report["metrics"]["top1"]["quantized"] > right.mean() - 0.004
    assert report["model"]["bytes"] <= published.stat().st_size


@pytest.mark.tf
@pytest.mark.parametrize("name", ["mnist_lstm", "mnist_lstm_float16"])
def test_lstm_stays_close_to_float(name, report_of):
    assert abs(report_of(f"shared_data/{name}")["metrics"]["top1"]["drop"]) <= 0.002


@pytest.mark.tf
@pytest.mark.parametrize(
    ("scheme", "io"),
    [
        ("float32", "float32"),
        ("float16", "float32"),
        ("dynamic_int8", "float32"),
        ("full_int8", "float32"),
        ("full_int8", "int8"),
        ("full_int8", "uint8"),
        ("int16x8", "float32"),
        ("int16x8", "int16"),
    ],
)
def test_wake_words_convert_under_every_scheme(scheme, io, run_cli, build, shared_data):
    recipe = RECIPES / "shared_data/visual_wake_words.yaml"
    overrides = ["--set", f"quantization.scheme={scheme}", "--set", f"quantization.io={io}"]
    overrides += ["--set", f"name=vww_{scheme}_{io}", "--set", "validation.gates.max_size=1MiB"]
    done = run_cli("run", recipe, *overrides, "--out", build, data=shared_data)
    assert done.code == 0, done.err
    report = json.loads((build / f"vww_{scheme}_{io}" / "report.json").read_text())
    assert report["scheme"]["found"] == scheme
    _assert_io(build / f"vww_{scheme}_{io}" / "model.tflite", report)


@pytest.mark.tf
def test_golden_vectors_come_out_again(run_once, build):
    run_once(Path("mobilenet.yaml"))
    with zipfile.ZipFile(build / "mobilenet" / "handoff.zip") as archive:
        archive.extractall(build / "handoff")
    contract = json.loads((build / "handoff" / "contract.json").read_text())
    interpreter = litert.open_interpreter(build / "handoff" / "model.tflite")
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    given, wanted = contract["inputs"][0], contract["outputs"][0]
    for number in range(5):
        raw = (build / "handoff" / "vectors" / f"{number}.{given['name']}.in").read_bytes()
        assert len(raw) == given["bytes"]
        interpreter.set_tensor(source["index"], np.frombuffer(raw, given["dtype"]).reshape(given["shape"]))
        interpreter.invoke()
        expected = (build / "handoff" / "vectors" / f"{number}.{wanted['name']}.out").read_bytes()
        assert interpreter.get_tensor(target["index"]).tobytes() == expected
