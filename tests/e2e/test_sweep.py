"""Sweeps of the default recipe as a user runs them: the table, errors among the rows, going on after a kill."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tflite_pipeline.artifacts import file_digest

RECIPE = Path(__file__).parent.parent.parent / "recipes" / "mobilenet.yaml"
SCHEMES = "float32,float16,dynamic_int8,full_int8"
ALSO_WRONG = 'quantization.allow_float=[[], ["NO_SUCH_OP"]]'
WRONG = 'full_int8 allow_float=["NO_SUCH_OP"]'

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def first(run_cli, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep")
    return out, run_cli("sweep", RECIPE, "--schemes", SCHEMES, "--set", ALSO_WRONG, "--out", out)


def table_of(out: Path) -> dict:
    return json.loads((out / "mobilenet-sweep" / "sweep.json").read_text())


def test_rows_are_what_runs_of_their_own_give(first, run_cli):
    out, done = first
    assert done.code == 3, done.err
    rows = {row["variant"]: row for row in table_of(out)["rows"]}
    assert {name: row["status"] for name, row in rows.items()} == {
        "float32": "failed",
        "float16": "passed",
        "dynamic_int8": "passed",
        "full_int8 allow_float=[]": "passed",
        WRONG: "error",
    }
    for row in rows.values():
        if row["file"]:
            assert file_digest(out / "mobilenet-sweep" / row["file"]) == row["sha256"]
            assert row["found"] == row["scheme"]
            assert row["metrics"]["top1"]["quantized"] > 0.97
    assert {name: row["io"] for name, row in rows.items()} == dict.fromkeys(rows, "float32") | {
        "full_int8 allow_float=[]": "int8",
        WRONG: "int8",
    }
    assert "NO_SUCH_OP" in rows[WRONG]["error"]["what"]
    alone = rows["full_int8 allow_float=[]"]
    overrides = [word for text in alone["overrides"] for word in ("--set", text)]
    report = json.loads(run_cli("run", RECIPE, *overrides, "--out", out, "--json").out)
    assert report["model"]["sha256"] == alone["sha256"]
    assert report["cached"] == list(report["seconds"])


def test_terminal_shows_the_table_the_error_and_the_way_to_run_the_best_alone(first, run_cli):
    _, done = first
    assert "\x1b" not in done.out + done.err
    assert len(done.err.splitlines()) == 5
    assert "mobilenet: 3 of 5 variants passed" in done.out
    (best,) = [line for line in done.out.splitlines() if line.startswith("*")]
    assert "dynamic_int8" in best
    (error,) = [line for line in done.out.splitlines() if line.startswith("  error")]
    assert "NO_SUCH_OP" in error
    (command,) = [line.split(None, 2)[2] for line in done.out.splitlines() if line.startswith("  run alone")]
    words = shlex.split(command)
    assert words[0] == "tflite-pipeline"
    assert run_cli(*words[1:]).code == 0


def test_second_sweep_gives_the_same_table(first, run_cli):
    out, _ = first
    before = table_of(out)
    again = run_cli("sweep", RECIPE, "--schemes", SCHEMES, "--set", ALSO_WRONG, "--out", out, "--json")
    assert again.code == 3
    assert json.loads(again.out) == before == table_of(out)
    assert "cached" not in again.err


def test_mistakes_are_told_before_anything_runs(run_cli, tmp_path):
    done = run_cli("sweep", RECIPE, "--schemes", "mixed,int8", "--set", "seed=[0,-1]", "--out", tmp_path / "out")
    assert done.code == 2
    assert len(done.err.splitlines()) == 4
    assert not (tmp_path / "out").exists()


def test_killed_sweep_goes_on_where_it_was(tmp_path, run_cli):
    words = ["sweep", str(RECIPE), "--schemes", "float16,dynamic_int8,full_int8", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "tflite_pipeline", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True) as run:
        assert b"float16" in run.stderr.readline()
        time.sleep(0.2)
        os.killpg(run.pid, signal.SIGKILL)
    states = [row["status"] for row in table_of(tmp_path)["rows"]]
    assert (states[0], states[-1]) == ("passed", "waiting")
    report = tmp_path / "mobilenet-sweep" / "float16" / "report.json"
    before = json.loads(report.read_text())
    done = run_cli(*words)
    assert done.code == 0, done.err
    assert [row["status"] for row in table_of(tmp_path)["rows"]] == ["passed"] * 3
    after = json.loads(report.read_text())
    assert after["cached"] == list(after["seconds"])
    assert after["model"] == before["model"]
    assert not list((tmp_path / "mobilenet-sweep").glob(".sweep*"))
    assert not list((tmp_path / ".cache").rglob("*.partial*"))
