"""The default recipe made for targets: what they demand, and what Vela says of the file."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tflite_pipeline.runtime import litert

RECIPE = Path(__file__).parent.parent.parent / "recipes" / "mobilenet.yaml"
FLOATS = (
    "{scheme: mixed, rules: [{op: SOFTMAX, scheme: float32}, {layer: expanded_conv_project, scheme: float32}, "
    "{tensor: '*', scheme: full_int8}]}"
)

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("targets")


def made_for(run_cli, out: Path, name: str, targets: str, quantization: str) -> dict:
    sets = (f"name={name}", f"targets={targets}", f"quantization={quantization}", "profile.runs=3")
    done = run_cli("run", RECIPE, "--out", out, *(word for text in sets for word in ("--set", text)))
    assert done.code in (0, 1), done.err
    return json.loads((out / name / "report.json").read_text())


def vela(file: Path, folder: Path) -> tuple[float, list[str]]:
    """Give the share of ops on the NPU and the outputs of those on the CPU, as Vela alone says."""
    command = [sys.executable, "-m", "ethosu.vela", str(file), "--output-dir", str(folder)]
    options = ["--accelerator-config", "ethos-u55-128", "--verbose-performance"]
    said = subprocess.run([*command, *options], capture_output=True, text=True, check=True).stdout
    (table,) = folder.glob("*_per-layer.csv")
    with table.open(newline="") as file_:
        on_cpu = [row["Name"] for row in csv.DictReader(file_) if row["Target"] == "CPU"]
    (share,) = re.findall(r"^NPU operators = \d+ \(([\d.]+)%\)", said, flags=re.MULTILINE)
    return float(share), on_cpu


def test_vela_puts_the_whole_file_of_the_default_recipe_on_the_npu(run_cli, out, tmp_path):
    report = made_for(run_cli, out, "npu", "[ethos-u55]", "{scheme: full_int8}")
    (target,) = report["targets"]
    assert report["passed"]
    assert (target["passed"], target["findings"]) == (True, [])
    assert (target["figures"]["npu_percent"], target["findings"]) == vela(out / "npu" / "model.tflite", tmp_path)
    assert {row["key"]: row["value"] for row in report["recipe"]["decided"]} == {
        "model.batch": 1,
        "quantization.io": "int8",
    }
    assert "# quantization.io: int8, as ethos-u55 demands" in (out / "npu" / "recipe.resolved.yaml").read_text()


def test_float_ops_fail_ethos_u_with_the_op_and_its_layer(run_cli, out, tmp_path):
    report = made_for(run_cli, out, "floats", "[ethos-u55]", FLOATS)
    (target,) = report["targets"]
    share, on_cpu = vela(out / "floats" / "model.FAILED.tflite", tmp_path)
    assert [gate["name"] for gate in report["gates"] if gate["verdict"] == "failed"] == ["target:ethos-u55"]
    assert target["figures"]["npu_percent"] == share < 100
    assert len(target["findings"]) == len(on_cpu)
    told = {finding.split(" at ")[0]: finding for finding in target["findings"]}
    assert "(layer predictions) stays on the CPU" in told["SOFTMAX"]
    assert "expanded_conv_project) stays on the CPU: Operation has tensor with unsupported" in told["CONV_2D"]


def test_a_target_that_wants_one_scale_gets_it_in_the_dense_layer_alone(run_cli, out):
    report = made_for(run_cli, out, "edge", "[edgetpu]", "{scheme: full_int8}")
    assert report["passed"]
    assert report["audit"]["granularity"] == {"per_channel": 52, "per_tensor": 1}


def test_a_target_without_integers_gets_floats_and_a_fixed_batch(run_cli, out):
    report = made_for(run_cli, out, "web", "[web]", "{scheme: full_int8}")
    assert report["passed"]
    inputs, outputs = litert.describe(out / "web" / "model.tflite")
    assert [(info.dtype, info.shape[0]) for info in (*inputs, *outputs)] == [("float32", 1)] * 2


def test_a_recipe_that_contradicts_its_targets_is_refused_before_anything_runs(run_cli, out):
    sets = ("targets=[litrt, ethos-u55]", "quantization.scheme=float16", "model.batch=dynamic")
    done = run_cli("run", RECIPE, "--out", out, *(word for text in sets for word in ("--set", text)))
    assert done.code == 2
    wrong = ("targets.0", "quantization.scheme", "quantization.io", "model.batch")
    assert all(f" {key}: must be" in done.err for key in wrong), done.err
    assert "export" not in done.err
