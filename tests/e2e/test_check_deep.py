"""`check --deep` as a user runs it: all that would fail is told before anything is trained or calibrated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NETWORK = {"source": "factory", "function": "named_layers:keras3"}
INTEGER = {"scheme": "full_int8", "io": "int8"}
NOISE = {
    "source": "synthetic",
    "shape": [6, 6, 3],
    "classes": 4,
    "splits": {"first": "0:128", "last": "128:256"},
    "calibration": {"split": "first", "samples": 8},
    "training": {"split": "first"},
    "evaluation": {"split": "last"},
}


@pytest.fixture
def check(run_cli, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests' / 'factories'}")
    monkeypatch.setenv("COLUMNS", "100")

    def run(*recipes: dict[str, Any], flags: tuple[str, ...] = ("--deep",)):
        paths = []
        for number, recipe in enumerate(recipes):
            paths.append(tmp_path / f"recipe{number}.yaml")
            paths[-1].write_text(json.dumps({"recipe": 1, "name": f"net{number}", "dataset": NOISE, **recipe}))
        return run_cli("check", *paths, *flags, cwd=tmp_path)

    return run


def model(name: str) -> dict[str, Any]:
    return {"source": "tflite", "path": str(ROOT / "tests" / "data" / f"{name}.tflite")}


@pytest.mark.tf
def test_each_layer_is_told_before_it_is_trained(check, tmp_path):
    recipe = {"model": NETWORK, "quantization": INTEGER, "training": {"method": "qat"}}
    done = check(recipe, flags=("--deep", "--allow-code"))
    assert done.code == 0, done.out + done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert ["conv_1", "CONV_2D", "+", "RELU", "integer", "int8/channel", "yes"] in lines
    assert ["conv", "DEPTHWISE_CONV_2D", "integer", "int8/channel", "yes"] in lines
    assert ["twice", "2", "FULLY_CONNECTED", "+", "RELU", "integer", "int8/channel", "yes"] in lines
    assert "will work   net0: " in done.out
    assert "all integer; 6 train" in done.out
    assert {path.name for path in (tmp_path / "build" / ".cache").iterdir() if path.is_dir()} == {
        "model",
        "export",
        "engine",
        "quantize",
        "verdict",
    }


@pytest.mark.tf
def test_samples_are_taken_when_only_they_say_the_shapes(check):
    recipe = {"model": {"source": "factory", "function": "small_models:with_open_size"}, "quantization": INTEGER}
    done = check(recipe, flags=("--deep", "--allow-code"))
    assert done.code == 0, done.out + done.err
    assert "dataset evaluation" in done.err


def test_all_recipes_are_told_and_the_worst_code_counts(check):
    mistaken = {"model": model("conv_net"), "quantization": {"scheme": "full_int9"}}
    noise = {**NOISE, "shape": [8, 8, 1]}
    # ATAN2 has no integer form; this file is no float one either.
    refused = {"model": model("float_island"), "quantization": {"scheme": "dynamic_int8"}, "dataset": None}
    works = {"model": model("conv_net"), "quantization": {**INTEGER, "engine": "ai_edge"}, "dataset": noise}
    done = check(mistaken, refused, works, flags=("--deep", "--json"))
    assert done.code == 3
    found = json.loads(done.out)
    assert [mistake["path"] for mistake in found["mistakes"]] == ["quantization.scheme"]
    assert [(row["name"], row["works"]) for row in found["recipes"]] == [("net1", False), ("net2", True)]
    first = found["recipes"][1]["outlook"]["rows"][0]
    assert (first["ops"], first["verdict"], first["weights"]) == ("CONV_2D + RELU", "integer", "int8 per channel")


def test_layers_that_cannot_be_trained_and_the_scheme_are_refused_at_once(check):
    recipe = {
        "model": model("lstm_float32"),
        "quantization": {"scheme": "full_int8"},
        "training": {"method": "qat"},
        "dataset": {**NOISE, "shape": [5, 3], "classes": 2},
    }
    done = check(recipe)
    assert done.code == 3
    told = " ".join(done.out.split())
    assert "it cannot be trained: it is a whole recurrent layer in one op" in told
    assert "stage engine: full_int8 cannot be made of this model" in told
    assert "Traceback" not in done.out + done.err


def test_nothing_is_built_without_the_flag(check, tmp_path):
    done = check({"model": model("conv_net"), "quantization": {"scheme": "float32"}}, flags=())
    assert (done.code, done.out) == (0, f"{tmp_path / 'recipe0.yaml'}: sound\n")
    assert not (tmp_path / "build").exists()
