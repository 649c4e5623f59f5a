from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tflite_pipeline.artifacts import Predictions
from tflite_pipeline.runtime import litert
from tflite_pipeline.validate.interpreter import predict
from tflite_pipeline.validate.kernels import run_kernels
from tflite_pipeline.validate.spec import MetricRow

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[2] / "data"
TOP1 = (MetricRow(metric="top1"),)
RESOLVERS = {
    "xnnpack": OpResolverType.AUTO,
    "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}
IMAGES = np.random.default_rng(5).uniform(-1, 1, (40, 6, 6, 2)).astype(np.float32)


def computed(path: Path, kernels: str, rows: np.ndarray) -> np.ndarray:
    """What an app with these kernels gets, as the output holds it."""
    interpreter = Interpreter(str(path), experimental_op_resolver_type=RESOLVERS[kernels])
    interpreter.allocate_tensors()
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    info = litert.describe(path)[0][0]
    results = []
    for row in rows:
        interpreter.set_tensor(source["index"], litert.quantize(row[None], info))
        interpreter.invoke()
        results.append(interpreter.get_tensor(sink["index"])[0])
    return np.array(results)


@pytest.fixture
def tried(tmp_path, make_samples):
    """A function from a file and its samples to the matrix; the file is its own reference."""

    def run(path: Path, inputs: dict[str, Any], labels: Any = None, metrics: Any = TOP1, threads: int = 2) -> dict:
        samples = make_samples(inputs, labels)
        (tmp_path / "out").mkdir()
        seen = predict(path, samples, 1, tmp_path / "out")
        return run_kernels(path, metrics, (seen, seen), samples, threads, tmp_path).found

    return run


def labels_of(path: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Classes that the file names right, but for every fourth sample."""
    classes = computed(path, "xnnpack", rows).argmax(axis=1)
    return {"": np.where(np.arange(len(rows)) % 4, classes, (classes + 1) % 4)}


@pytest.mark.parametrize(
    ("name", "step"),
    [("full_int8_int8_io", 1), ("full_int8_float_io", 1 / 256), ("int16x8", 1 / 32768), ("float32", None)],
)
def test_rows_tell_what_interpreters_compute(tried, features, name, step) -> None:
    path = DATA / f"{name}.tflite"
    found = tried(path, {"": features}, labels_of(path, features))
    assert [(row["kernels"], row["threads"]) for row in found["rows"]] == [(k, t) for k in RESOLVERS for t in (1, 2)]
    assert found["samples"] == len(features)
    seen = computed(path, "xnnpack", features).astype(np.float64)
    for row in found["rows"]:
        if row["samples"] < len(features):  # there was no time for all
            continue
        apart = np.abs(computed(path, row["kernels"], features) - seen)
        assert row["differing"] == pytest.approx((apart > 0).mean(), abs=1e-9 if step else 0.5)
        largest = {"lsb": round(apart.max() / step)} if step else {"absolute": pytest.approx(apart.max(), abs=1e-6)}
        assert row["difference"] == {"scores": largest}
        flips = (computed(path, row["kernels"], features).argmax(axis=1) != seen.argmax(axis=1)).sum()
        assert (row["flips"], row["error"], row["apart"]) == (flips, "", False)
        assert row["metrics"]["top1"]["gates"] == pytest.approx(1 - np.ceil(len(features) / 4) / len(features))


def test_all_kernels_that_round_differently_make_the_spread(tried) -> None:
    path = DATA / "audit_int8x4.tflite"
    found = tried(path, {"": IMAGES}, labels_of(path, IMAGES))
    answers = {kernels: computed(path, kernels, IMAGES).astype(int) for kernels in RESOLVERS}
    largest = max(np.abs(answers[kernels] - answers["xnnpack"]).max() for kernels in RESOLVERS)
    (spread,) = found["spread"].values()
    assert spread["lsb"] <= largest
    if all(row["samples"] == len(IMAGES) for row in found["rows"]):
        assert spread["lsb"] == largest
    for row in found["tested"]:
        at = row["sample"]
        gaps = [np.abs(answers[kernels][at] - answers["xnnpack"][at]).max() for kernels in RESOLVERS]
        assert list(row["difference"].values()) == [{"lsb": max(gaps)}]


def test_kernels_that_compute_something_else_are_told_and_no_matter_of_rounding(tried) -> None:
    # LiteRT has no reference kernel for weights in blocks, and runs the file all the same.
    path = DATA / "audit_dynamic_int4_block32.tflite"
    found = tried(path, {"": IMAGES}, labels_of(path, IMAGES))
    apart = {row["kernels"] for row in found["rows"] if row["apart"]}
    assert apart == {"builtin", "reference"}
    seen, other = (computed(path, kernels, IMAGES) for kernels in ("xnnpack", "reference"))
    assert np.abs(other - seen).max() > 0.01
    assert max(found["spread"]["scores"].values()) < 1e-6
    told = "kernels compute something else than XNNPACK, another class on "
    assert [text.split(told)[0] for text in found["findings"]] == ["built-in ", "reference "]


def test_several_outputs_without_classes_are_compared_by_name(tried) -> None:
    rows = np.random.default_rng(3)
    inputs = {"zoom": rows.normal(size=(9, 3)).astype("f4"), "angle": rows.normal(size=(9, 2)).astype("f4")}
    metrics = (MetricRow(metric="mae", output="width"), MetricRow(metric="cosine", output="area"))
    found = tried(DATA / "two_by_two.tflite", inputs, None, metrics, threads=1)
    assert [row["threads"] for row in found["rows"]] == [1, 1, 1]
    for row in found["rows"]:
        assert row["flips"] is None
        assert row["metrics"]["mae:width"] == {"value": pytest.approx(0, abs=1e-6), "gates": 0}
        assert row["metrics"]["cosine:area"]["value"] == pytest.approx(1)
        assert row["difference"].keys() == {"width", "area"}
        assert all(difference["absolute"] < 1e-6 for difference in row["difference"].values())


def test_answers_that_are_no_numbers_are_told(tmp_path, make_samples, features) -> None:
    path = DATA / "float32.tflite"
    samples = make_samples({"": features})
    seen = predict(path, samples, 1, tmp_path)
    scores = np.load(seen.outputs["scores"])
    scores[:, 2] = np.inf
    np.save(tmp_path / "infinite.npy", scores)
    infinite = Predictions.of({"scores": tmp_path / "infinite.npy"}, len(features), 1)
    metrics = (MetricRow(metric="mae"),)
    found = run_kernels(path, metrics, (seen, infinite), samples, 1, tmp_path).found
    assert all("output 'scores' holds NaN or infinity" in row["error"] for row in found["rows"])
    assert (found["samples"], found["tested"]) == (0, [])


@pytest.mark.parametrize("name", ["lstm_float32", "lstm_full_int8"])
def test_state_is_forgotten_between_samples(tried, name) -> None:
    steps = np.random.default_rng(2).normal(size=(12, 5, 3)).astype(np.float32)
    found = tried(DATA / f"{name}.tflite", {"": steps}, None, (MetricRow(metric="mae"),))
    assert [row["differing"] for row in found["rows"][:2]] == [0, 0]


def test_kernels_that_refuse_the_file_are_rows(tmp_path, make_samples) -> None:
    path, matrices = DATA / "custom_op.tflite", np.zeros((6, 2, 2), np.float32)
    np.save(tmp_path / "inverse.npy", matrices)
    seen = Predictions.of({"inverse": tmp_path / "inverse.npy"}, 6, 1)
    samples = make_samples({"": matrices})
    found = run_kernels(path, (MetricRow(metric="mse"),), (seen, seen), samples, 1, tmp_path).found
    assert [(row["samples"], row["ms"], row["metrics"]) for row in found["rows"]] == [(0, None, {})] * 3
    assert all("MatrixInverse" in row["error"] for row in found["rows"])
    assert (found["samples"], found["spread"], found["tested"]) == (0, {"inverse": {"absolute": 0}}, [])
    assert [text.split(" cannot run the file: LiteRT cannot run")[0] for text in found["findings"]] == [
        "XNNPACK kernels",
        "built-in kernels",
        "reference kernels",
    ]


def test_a_metric_that_lacks_classes_among_the_few_samples_is_none(tried, features) -> None:
    labels = {"": np.r_[np.zeros(len(features) - 1, int), 1]}
    found = tried(DATA / "float32.tflite", {"": features}, labels, (MetricRow(metric="auc"),), threads=1)
    assert all(row["metrics"]["auc"] == {"value": None, "gates": None} for row in found["rows"])
    assert all(row["flips"] is None for row in found["rows"])
