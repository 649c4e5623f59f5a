"""`debug` as a user runs it: the file is quantized, the ops that cost most are told, the findings are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.artifacts import file_digest

MODEL = Path(__file__).parents[1] / "data" / "conv_net.tflite"
NOISE = {
    "source": "synthetic",
    "shape": [8, 8, 1],
    "classes": 4,
    "splits": {"first": "0:16", "last": "16:32"},
    "calibration": {"split": "first", "samples": 16},
    "evaluation": {"split": "last"},
}


@pytest.fixture
def debug(run_cli, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")

    def run(*words: str, flags: tuple[str, ...] = (), dataset: Any = NOISE, **quantization: Any):
        recipe = {"recipe": 1, "name": "net", "model": {"source": "tflite", "path": str(MODEL)}}
        recipe |= {"quantization": quantization} | ({"dataset": dataset} if dataset else {})
        path = tmp_path / "net.yaml"
        path.write_text(json.dumps(recipe))
        return run_cli("debug", path, *words, *flags, cwd=tmp_path)

    return run


@pytest.mark.tf
def test_worst_ops_are_told_and_all_of_them_written(debug, tmp_path):
    done = debug(scheme="int8x4", io="int8", calibration={"method": "minmax"})
    assert done.code == 0, done.err
    assert "net: int8x4, the 6 ops that cost the outputs most, of 7" in done.out
    assert "→ " in done.out
    folder = tmp_path / "build" / "net-debug"
    assert {path.name for path in folder.iterdir()} == {"debug.json", "model_explorer.json", "quantized.tflite"}
    found = json.loads((folder / "debug.json").read_text())
    assert found["model"]["sha256"] == file_digest(folder / "quantized.tflite")
    assert found["samples"] == {"errors": 16, "effects": 16}
    effects = [row["effect"]["sqnr_db"] for row in found["rows"] if row["effect"]]
    assert effects == sorted(effects)
    assert found["rows"][0]["finer"]["scheme"] == "full_int8"
    assert found["rows"][0]["cause"]["name"] == "int4"
    assert found["notes"] == []
    overlay = json.loads((folder / "model_explorer.json").read_text())
    assert set(overlay["main"]["results"]) <= {str(row["errors"]["file_index"]) for row in found["rows"]}

    again = debug("--json", scheme="int8x4", io="int8", calibration={"method": "minmax"})
    assert json.loads(again.out) == found
    assert not (tmp_path / "build" / "net").exists()


@pytest.mark.tf
def test_recovery_and_schemes_without_ranges_are_measured_too(debug):
    done = debug("--json", scheme="int8x4", calibration={"method": "minmax"}, recovery=["bias_correction"])
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert "without bias_correction" in found["notes"][0]
    assert "recovery: [gptq]" in found["rows"][0]["remedy"]
    done = debug("--json", scheme="dynamic_int8")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [row["errors"]["activations"] for row in found["rows"]] == ["float32"] * 7
    assert sum(row["effect"] is not None for row in found["rows"]) == 4


def test_what_cannot_be_measured_is_a_mistake_of_the_recipe(debug):
    done = debug(scheme="float32")
    assert done.code == 2
    assert "quantization.scheme: must quantize something to debug. Got 'float32'." in done.err
    done = debug(scheme="dynamic_int8", dataset=None)
    assert done.code == 2
    assert "dataset: must be given to debug" in done.err


def test_folder_of_something_else_is_left_alone(debug, tmp_path):
    (tmp_path / "build" / "net-debug").mkdir(parents=True)
    (tmp_path / "build" / "net-debug" / "mine.txt").write_text("")
    done = debug(scheme="dynamic_int8")
    assert done.code == 2
    assert "net-debug" in done.err
