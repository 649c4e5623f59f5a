"""A search from the command line to its files: found, not found, limited, killed and gone on with."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tflite_pipeline.artifacts import file_digest
from tflite_pipeline.runtime.graph import read_graphs

MODEL = Path(__file__).parent.parent / "data" / "conv_net.tflite"
RECIPE = f"""
recipe: 1
name: tiny
model: {{source: tflite, path: {MODEL}}}
dataset:
  source: digits
  calibration: {{split: train, samples: 64}}
  evaluation: {{split: test, samples: 200}}
  preprocessing: [{{scale: {{factor: 0.125, offset: -1.0}}}}]
quantization: {{scheme: full_int8, engine: ai_edge}}
validation: {{metrics: [mse]}}
profile: {{warmup: 0, runs: 10}}
"""
KILLS = 5
TIGHT = "1e-5"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("search") / "tiny.yaml"
    path.write_text(RECIPE)
    return path


def read(out: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "tiny-search" / name).read_text())
    return content


@pytest.fixture(scope="module")
def found(recipe: Path, run_cli: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("found")
    done = run_cli("search", recipe, "--max-drop", TIGHT, "--out", out, "--budget", "10m")
    assert done.code == 0, done.err + done.out
    return out, done


def test_finds_the_smallest_file_within_the_limit(found):
    out, done = found
    table = read(out, "search.json")
    winner = next(row for row in table["rows"] if row["candidate"] == table["winner"])
    smaller = [row for row in table["rows"] if row["search"] and row["bytes"] < winner["bytes"]]
    assert smaller
    assert all(row["status"] == "failed" for row in smaller)
    assert winner["search"]["metric"]["drop"] <= float(TIGHT) >= winner["check"]["metric"]["drop"]
    assert winner["search"]["metric"]["samples"] + winner["check"]["metric"]["samples"] == 200
    assert winner["plan"] in done.out
    assert table["finished"]


def test_the_files_are_those_of_the_winner(found):
    out, _ = found
    folder = out / "tiny-search"
    table = read(out, "search.json")
    winner = next(row for row in table["rows"] if row["candidate"] == table["winner"])
    assert file_digest(folder / "model.tflite") == winner["sha256"] == file_digest(folder / "best" / "model.tflite")
    assert not (folder / "model.FAILED.tflite").exists()
    assert not [path for path in folder.rglob(".*") if path.is_file()]


def test_the_time_line_ends_with_the_winner(found):
    out, _ = found
    table = read(out, "search.json")
    seconds = [row["seconds"] for row in table["timeline"]]
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] <= seconds[-1] <= table["seconds"]
    assert table["timeline"][-1]["best"] == table["winner"]
    assert {row["candidate"] for row in table["timeline"]} <= {row["candidate"] for row in table["rows"]}


def test_what_is_found_again_keeps_its_moment(found, recipe, run_cli):
    out, _ = found
    before = read(out, "search.json")["timeline"]
    assert run_cli("search", recipe, "--max-drop", TIGHT, "--out", out, "--budget", "10m").code == 0
    assert read(out, "search.json")["timeline"] == before


def test_recipes_of_the_front_remake_their_files(found, run_cli, tmp_path):
    out, _ = found
    points = read(out, "pareto.json")["points"]
    drops = [point["drop"] for point in points]
    sizes = [point["bytes"] for point in points]
    assert sizes == sorted(sizes)
    assert drops == sorted(drops, reverse=True)
    assert [point["winner"] for point in points].count(True) <= 1
    assert (out / "tiny-search" / "pareto.svg").read_text().startswith("<?xml")
    for point in (points[0], points[-1]):
        target = tmp_path / str(point["bytes"])
        run_cli("run", out / "tiny-search" / point["recipe"], "--out", target)
        report = json.loads((target / "tiny" / "report.json").read_text())
        assert report["model"]["sha256"] == point["sha256"]


def test_the_same_search_again_tells_the_same(found, recipe, run_cli):
    out, _ = found
    before = read(out, "search.json")
    done = run_cli("search", recipe, "--max-drop", TIGHT, "--out", out, "--budget", "10m", "--json")
    after = json.loads(done.out)
    assert after["winner"] == before["winner"]
    assert [row["sha256"] for row in after["rows"]] == [row["sha256"] for row in before["rows"]]
    assert len(after["steps"]) == len(before["steps"])


def test_a_search_that_is_killed_ends_with_the_same_winner(found, recipe, tmp_path):
    whole, chance = read(found[0], "search.json"), random.Random(0)
    command = [sys.executable, "-m", "tflite_pipeline", "search", str(recipe), "--max-drop", TIGHT]
    command += ["--out", str(tmp_path), "--budget", "10m"]
    for _ in range(KILLS):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            time.sleep(chance.uniform(1.0, 5.0))
            run.send_signal(signal.SIGKILL)
        for mark in tmp_path.glob("tiny-search/*.json"):
            json.loads(mark.read_text())
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    last = read(tmp_path, "search.json")
    assert last["winner"] == whole["winner"]
    digest = file_digest(found[0] / "tiny-search" / "model.tflite")
    assert file_digest(tmp_path / "tiny-search" / "model.tflite") == digest


def test_hands_over_the_nearest_file_when_nothing_is_within_the_limit(recipe, run_cli, tmp_path):
    words = ("--max-drop", "0", "--set", "search.allow=[int8, int4]")
    done = run_cli("search", recipe, *words, "--out", tmp_path)
    assert done.code == 1
    table = read(tmp_path, "search.json")
    assert table["winner"] is None
    assert table["gap"] > 0
    nearest = next(row for row in table["rows"] if row["candidate"] == table["nearest"])
    folder = tmp_path / "tiny-search"
    assert file_digest(folder / "model.FAILED.tflite") == nearest["sha256"]
    assert not (folder / "model.tflite").exists()
    assert "nothing within the limit" in done.out
    assert "beyond the limit" in done.out


def test_uses_only_what_is_allowed(recipe, run_cli, tmp_path):
    done = run_cli("search", recipe, "--max-drop", TIGHT, "--set", "search.allow=[int8, float32]", "--out", tmp_path)
    assert done.code == 0, done.err
    table = read(tmp_path, "search.json")
    assert {row["scheme"] for row in table["rows"]} <= {"float32", "dynamic_int8", "weight_int8", "full_int8", "mixed"}
    (graph,) = read_graphs(tmp_path / "tiny-search" / "model.tflite")
    assert not {tensor.dtype for tensor in graph.tensors} & {"int4", "int16", "float16"}


def test_the_fastest_file_is_measured_beside_the_others(recipe, run_cli, tmp_path):
    words = ("--max-drop", "1", "--objective", "latency", "--set", "search.allow=[int8, float32]")
    done = run_cli("search", recipe, *words, "--out", tmp_path)
    assert done.code == 0, done.err
    table = read(tmp_path, "search.json")
    laps = {row["candidate"]: row["latency"]["p50"] for row in table["rows"] if row["latency"]}
    assert len(laps) >= 4
    assert laps[table["winner"]] == min(laps.values())


def test_a_spent_budget_leaves_the_best_so_far(recipe, run_cli, tmp_path):
    done = run_cli("search", recipe, "--max-drop", TIGHT, "--budget", "2s", "--out", tmp_path)
    table = read(tmp_path, "search.json")
    assert done.code in (0, 1)
    assert any("budget was spent" in note for note in table["notes"])
    assert len(list((tmp_path / "tiny-search").glob("model*.tflite"))) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--max-drop", "much"), "--max-drop: must be a number from 0 on"),
        (("--max-drop", "0.1", "--budget", "soon"), "--budget: must be a time such as 90s, 20m or 1h. Got 'soon'."),
        (("--max-drop", "0.1", "--set", "validation.metrics=[]"), "validation.metrics: must name a metric to search"),
        (("--max-drop", "0.1", "--set", "search.allow=[int4]"), "search.allow: must allow all that some scheme needs"),
    ],
)
def test_mistakes_are_told_before_anything_runs(recipe, run_cli, tmp_path, words, told):
    done = run_cli("search", recipe, *words, "--out", tmp_path)
    assert done.code == 2
    assert told in done.err
    assert not any(tmp_path.iterdir())


def test_a_winner_that_is_written_down_is_a_sound_recipe(found):
    recipe = yaml.safe_load((found[0] / "tiny-search" / "winner.yaml").read_text())
    assert (
        recipe["validation"]["gates"] | {"max_drop": {"mse": float(TIGHT)}, "confidence": 0.0}
        == (recipe["validation"]["gates"])
    )
