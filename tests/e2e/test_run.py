"""Whole runs of the default recipe: what is left, what is found again, how verdicts show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tflite_pipeline.artifacts import file_digest

RECIPE = Path(__file__).parent.parent.parent / "recipes" / "mobilenet.yaml"
FILES = {
    "model.tflite",
    "report.json",
    "report.md",
    "report.html",
    "recipe.resolved.yaml",
    "log.txt",
    "handoff.zip",
    "calibration.json",
}

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def first(run_cli, tmp_path_factory):
    out = tmp_path_factory.mktemp("default")
    return out, run_cli("run", RECIPE, "--out", out)


def report_of(out: Path, name: str = "mobilenet") -> dict:
    return json.loads((out / name / "report.json").read_text())


def test_default_recipe_passes_and_leaves_the_whole_folder(first):
    out, done = first
    assert done.code == 0, done.err
    assert {path.name for path in (out / "mobilenet").iterdir()} == FILES
    report = report_of(out)
    assert report["passed"]
    assert report["model"]["sha256"] == file_digest(out / "mobilenet" / "model.tflite")
    assert report["scheme"]["found"] == "full_int8"
    assert report["audit"]["float_ops"] == []
    assert report["metrics"]["top1"]["samples"] == 719
    assert report["metrics"]["top1"]["quantized"] > 0.97
    assert report["parity"]["checked"]
    assert report["parity"]["passed"]
    assert [(row["kernels"], row["flips"], row["error"]) for row in report["kernels"]["rows"]][:1] == [
        ("xnnpack", 0, "")
    ]
    assert report["kernels"]["findings"] == []


def test_terminal_is_quiet_and_says_the_verdict(first):
    out, done = first
    assert "mobilenet: PASSED" in done.out
    assert str(out / "mobilenet" / "model.tflite") in done.out
    assert "\x1b" not in done.out + done.err
    for chatter in ("XNNPACK delegate", "oneDNN", "WARNING", "I0000", "Traceback"):
        assert chatter not in done.out + done.err
    assert "SavedModel" in (out / "mobilenet" / "log.txt").read_text()


def test_verbose_shows_each_cached_stage_and_the_log(first, run_cli):
    out, _ = first
    done = run_cli("run", RECIPE, "--out", out, "-v", "--set", "quantization.io=uint8", "--set", "name=verbose")
    assert done.code == 0, done.err
    lines = done.err.splitlines()
    assert [line for line in lines if line.startswith("  export ") and line.endswith("s, cached")]
    assert [line for line in lines if line.startswith("  | ")]


def test_second_run_finds_everything(first, run_cli):
    out, _ = first
    before = report_of(out)
    done = run_cli("run", RECIPE, "--out", out, "--json")
    again = json.loads(done.out)
    assert done.code == 0
    assert again["cached"] == list(again["seconds"])
    assert again["metrics"] == before["metrics"]
    assert again["model"] == before["model"]


def test_resolved_recipe_makes_the_same_file(first, run_cli):
    out, _ = first
    sha256 = report_of(out)["model"]["sha256"]
    run_cli("run", out / "mobilenet" / "recipe.resolved.yaml", "--out", out)
    report = report_of(out)
    assert report["model"]["sha256"] == sha256
    assert report["cached"] == list(report["seconds"])


def test_other_scheme_reuses_data_and_reference(first, run_cli):
    out, _ = first
    overrides = ["--set", "quantization={scheme: float16}", "--set", "name=half", "--set", "validation.gates={}"]
    done = run_cli("run", RECIPE, *overrides, "--out", out)
    assert done.code == 0, done.err
    made = [stage for stage in report_of(out, "half")["seconds"] if stage not in report_of(out, "half")["cached"]]
    assert made == [
        "engine",
        "quantize",
        "describe",
        "predict quantized",
        "compare",
        "profile quantized",
        "kernels",
        "targets",
        "samples of layers",
        "errors",
        "handoff",
    ]


def test_failed_gate_exits_1_and_names_the_file_so(first, run_cli):
    out, _ = first
    overrides = ["--set", "validation.gates.max_size=10KiB", "--set", "name=too_large"]
    done = run_cli("run", RECIPE, *overrides, "--out", out)
    assert done.code == 1
    names = {path.name for path in (out / "too_large").iterdir()}
    assert "model.FAILED.tflite" in names
    assert not {"model.tflite", "handoff.zip"} & names
    report = report_of(out, "too_large")
    assert [gate["name"] for gate in report["gates"] if gate["verdict"] == "failed"] == ["max_size"]
    made = [stage for stage in report["seconds"] if stage not in report["cached"]]
    assert made[0] == "describe"  # the name is in the file, so all that looks at it looks anew


def test_too_few_samples_are_undecided(first, run_cli):
    out, _ = first
    overrides = ["--set", "dataset.evaluation.samples=50", "--set", "name=few"]
    done = run_cli("run", RECIPE, *overrides, "--out", out)
    assert done.code == 1
    report = report_of(out, "few")
    gate = next(gate for gate in report["gates"] if gate["name"] == "max_drop:top1")
    assert gate["verdict"] == "undecided"
    assert "samples" in gate["text"]
    assert report["model"]["file"] == "model.UNDECIDED.tflite"
    assert not report["passed"]


def test_calibration_on_noise_never_passes_an_accuracy_gate(run_cli, tmp_path):
    recipe = tmp_path / "noise.yaml"
    recipe.write_text(
        "recipe: 1\nname: noise\n"
        "model: {source: application, name: MobileNetV2, input_shape: [32, 32, 3], classes: 4,"
        " arguments: {alpha: 0.35}}\n"
        "dataset: {source: synthetic, shape: [32, 32, 3], samples: 60, classes: 4,"
        " calibration: {split: train, samples: 20}, evaluation: {split: test}}\n"
        "quantization: {scheme: full_int8}\n"
        "validation: {metrics: [top1], gates: {max_drop: {top1: 0.9}, confidence: 0}}\n"
    )
    done = run_cli("run", recipe, "--out", tmp_path)
    assert done.code == 1, done.err
    gate = next(gate for gate in report_of(tmp_path, "noise")["gates"] if gate["name"] == "max_drop:top1")
    assert gate["verdict"] == "failed"
    assert "noise" in gate["text"]


def test_two_recipes_of_one_name_are_refused(run_cli, tmp_path):
    done = run_cli("run", RECIPE, RECIPE, "--out", tmp_path)
    assert done.code == 2
    assert "must differ" in done.err
