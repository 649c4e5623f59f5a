"""Networks that no list names: each trains two steps under the rounding of its file, and the file does the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.tf

FACTORY = Path(__file__).parent.parent / "factories" / "unlisted.py"
CASES = {
    **{name: (name, 3) for name in ("transfer", "two_by_two", "sound", "lstm", "gru", "transformer", "unet")},
    **{name: (name, 3) for name in ("unet_to_images", "with_lambda", "shared", "logits")},
    "lstm_keras2": ("lstm", 2),
    "gru_keras2": ("gru", 2),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("unlisted")
    shutil.copy(FACTORY, made)
    return made


def recipe(folder, name, model, keras):
    splits = {"train": "0:48", "test": "48:64"}
    content = {
        "recipe": 1,
        "name": name,
        "model": {"source": "factory", "function": "unlisted:network", "arguments": {"name": model, "keras": keras}}
        | {"keras": keras},
        "dataset": {"source": "factory", "function": "unlisted:samples", "arguments": {"name": model}, "splits": splits}
        | {"calibration": {"split": "train"}},
        "training": {"method": "qat", "epochs": 1, "steps": 2, "batch": 8, "from_logits": model == "logits"},
        "quantization": {"scheme": "full_int8"},
        "profile": {"runs": 3, "warmup": 1},
    }
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("name", CASES)
def test_trains_and_its_file_computes_what_was_made(name, folder, run_cli):
    done = run_cli("run", recipe(folder, name, *CASES[name]), "--out", folder / "out", "--allow-code")
    assert done.code == 0, done.err
    report = json.loads((folder / "out" / name / "report.json").read_text())
    (step,) = report["training"]["steps"]
    assert len(step["history"]) == 2
    assert report["scheme"]["found"] == "full_int8"
    assert report["audit"]["float_ops"] == []
    for row in report["training"]["fidelity"]["outputs"].values():
        assert row["within_2_lsb"] >= 0.99


def test_subclassed_model_is_refused_with_a_remedy(folder, run_cli):
    done = run_cli("run", recipe(folder, "subclassed", "subclassed", 3), "--out", folder / "out", "--allow-code")
    assert done.code == 3
    assert "stage export: 'classifier' has no fixed inputs: it is a subclassed model" in done.err
    assert "inputs = keras.Input(…); keras.Model(inputs, model(inputs))" in done.err
