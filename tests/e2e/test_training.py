"""Training on the graph of the reference as a user runs it: what comes out, what is found again, what is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tflite_pipeline.artifacts import file_digest
from tflite_pipeline.validate.compression import compression

pytestmark = pytest.mark.tf

NETS = Path(__file__).parents[1] / "factories" / "tuning.py"
RECIPE: dict[str, Any] = {
    "recipe": 1,
    "name": "small",
    "model": {"source": "factory", "function": "tuning:plain_conv"},
    "dataset": {
        "source": "digits",
        "calibration": {"split": "train", "samples": 64},
        "training": {"split": "train"},
        "evaluation": {"split": "test"},
        "preprocessing": [{"scale": {"factor": 0.125, "offset": -1.0}}],
    },
    "training": {"method": "qat", "epochs": 2},
    "quantization": {"scheme": "full_int8", "io": "int8"},
    "validation": {"metrics": ["top1"], "gates": {"max_drop": {"top1": 0.5}, "min_fidelity": 0.9}},
}
TUNED = [
    "qat",
    "quantize",
    "describe",
    "predict fake-quant",
    "predict quantized",
    "compare",
    "profile quantized",
    "kernels",
    "targets",
    "samples of layers",
    "errors",
    "handoff",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the recipe and the function that makes its net."""
    folder = tmp_path_factory.mktemp("training")
    shutil.copy(NETS, folder / "tuning.py")
    (folder / "small.yaml").write_text(yaml.safe_dump(RECIPE))
    return folder


@pytest.fixture(scope="module")
def run(run_cli, place):
    """Run the recipe with overrides; gives what was printed and the report."""

    def start(*overrides: str, name: str = "small") -> tuple[Any, dict[str, Any]]:
        words = [word for text in (f"name={name}", *overrides) for word in ("--set", text)]
        done = run_cli("run", place / "small.yaml", "--allow-code", "--out", place / "build", *words)
        report = place / "build" / name / "report.json"
        return done, json.loads(report.read_text()) if report.exists() else {}

    return start


@pytest.fixture(scope="module")
def first(run):
    return run()


def made(report: dict[str, Any]) -> list[str]:
    return [stage for stage in report["seconds"] if stage not in report["cached"]]


def test_trained_file_passes_and_the_report_tells_how_it_went(first, place):
    done, report = first
    assert done.code == 0, done.err
    assert report["passed"]
    assert report["audit"]["float_ops"] == []
    (step,) = report["training"]["steps"]
    assert (step["method"], step["epochs"], len(step["history"])) == ("qat", 2, 3)
    assert set(step["history"][0]) == {"val_loss", "val_accuracy"}
    (output,) = report["training"]["fidelity"]["outputs"].values()
    assert output["within_1_lsb"] >= 0.999
    rows = report["training"]["fidelity"]["metrics"]["top1"]
    assert rows["tflite"] == report["metrics"]["top1"]["quantized"]
    assert rows["fake_quant"] == pytest.approx(rows["tflite"], abs=0.01)
    assert report["model"]["sha256"] == file_digest(place / "build" / "small" / "model.tflite")


def test_second_run_finds_everything_and_starts_no_tensorflow(first, run, place):
    before = first[1]
    done, report = run()
    assert done.code == 0
    assert report["cached"] == list(report["seconds"])
    assert report["model"] == before["model"]
    assert report["training"] == before["training"]
    assert "tensorflow" not in (place / "build" / "small" / "log.txt").read_text().lower()


def test_only_the_training_and_what_follows_is_made_anew_when_epochs_change(first, run):
    done, report = run("training.epochs=1", name="shorter")
    assert done.code == 0, done.err
    assert set(made(report)) <= set(TUNED)
    assert {"qat", "compare"} <= set(made(report))
    assert {"export", "calibrate", "dataset training", "predict reference", "profile reference"} <= set(
        report["cached"]
    )
    assert "cached" in done.err
    assert len(report["training"]["steps"][0]["history"]) == 2


def test_same_seed_gives_the_same_bytes_and_another_does_not(first, run, run_cli, place):
    overrides = ["training.learning_rate=0.01", "training.validation=null"]
    sums = []
    for name in ("same", "again", "other"):
        shutil.rmtree(place / "build" / ".cache" / "tune", ignore_errors=True)
        seed = ["seed=7"] if name == "other" else []
        done, report = run(*overrides, *seed, name=name)
        assert "qat" in made(report), done.err
        sums.append(report["model"]["fingerprint"])  # the file tells its name
    assert sums[0] == sums[1] != sums[2]


def test_zeros_and_shared_values_are_in_the_file_when_three_steps_follow_each_other(first, run, place):
    steps = [{"method": "prune", "epochs": 2, "sparsity": 0.5}, {"method": "cluster", "epochs": 1}]
    steps.append({"method": "qat", "epochs": 1})
    done, report = run(f"training={json.dumps(steps)}", name="three")
    assert done.code == 0, done.err
    assert [step["method"] for step in report["training"]["steps"]] == ["prune", "cluster", "qat"]
    assert report["training"]["compression"]["findings"] == []
    found = compression(place / "build" / "three" / "model.tflite")
    assert [row["distinct_in_channel"] <= 16 for row in found["weights"]] == [True] * 3
    assert [row["zeros"] >= 0.5 for row in found["weights"] if row["elements"] >= 256] == [True] * 2
    assert made(report)[0] == "prune"


def test_fit_comes_before_the_export_and_qat_after_it(run):
    steps = [{"method": "fit", "epochs": 1}, {"method": "qat", "epochs": 1}]
    done, report = run(f"training={json.dumps(steps)}", name="both")
    assert done.code == 0, done.err
    assert [step["method"] for step in report["training"]["steps"]] == ["fit", "qat"]
    stages = list(report["seconds"])
    assert stages.index("train") < stages.index("export") < stages.index("qat")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            [
                "training.learning_rate=1e38",
                "training.optimizer=sgd",
                "training.schedule={kind: constant, warmup_epochs: 0.0}",
            ],
            ["stage qat: ", "the loss became", "training.learning_rate"],
        ),
        (["training.batch=4096"], ["stage qat: ", "do not fill a batch of 4096", "training.batch"]),
        (["training.loss=categorical_crossentropy"], ["stage qat: ", "needs one-hot labels", "training.loss"]),
    ],
)
def test_what_cannot_train_is_told_with_a_remedy(first, run, overrides, told):
    done, report = run(*overrides, name="wrong")
    assert done.code == 3
    assert report == {}
    assert "Traceback" not in done.err
    for words in told:
        assert words in done.err


def test_recipe_mistakes_are_told_before_anything_runs(run, place):
    done, _ = run("quantization={scheme: float16}", name="float")
    assert done.code == 2
    assert "must go with a scheme whose rounding can be trained" in done.err
    assert not (place / "build" / "float").exists()


def test_a_sweep_trains_where_the_scheme_has_integers(first, run_cli, place):
    words = ["sweep", place / "small.yaml", "--schemes", "float32,float16,dynamic_int8,full_int8", "--allow-code"]
    done = run_cli(*words, "--out", place / "build")
    rows = {row["variant"]: row for row in json.loads((place / "build/small-sweep/sweep.json").read_text())["rows"]}
    assert {name: row["status"] for name, row in rows.items()} == dict.fromkeys(rows, "passed"), done.err
    assert rows["full_int8"]["sha256"] == first[1]["model"]["sha256"]
    reports = {name: json.loads((place / "build/small-sweep" / name / "report.json").read_text()) for name in rows}
    trained = {name: [step["method"] for step in one["training"].get("steps", ())] for name, one in reports.items()}
    assert trained == {"float32": [], "float16": [], "dynamic_int8": ["qat"], "full_int8": ["qat"]}
