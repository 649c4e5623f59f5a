from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import Evaluation, Parity, Predictions, QuantizedModel, Reference
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert
from tflite_pipeline.validate.audit import Asked
from tflite_pipeline.validate.compare import compare
from tflite_pipeline.validate.interpreter import predict
from tflite_pipeline.validate.spec import Validation

UNCHECKED = Parity({"checked": False})
DATA = Path(__file__).parents[2] / "data"


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(4).normal(size=(120, 16)).astype(np.float32)


def evaluate(tmp_path: Path, samples: Any, metrics: list[Any], file: str = "full_int8_int8_io") -> Evaluation:
    inputs, outputs = litert.describe(DATA / "float32.tflite")
    reference = Reference(DATA / "float32.tflite", "0", inputs, outputs, None, None, "test")
    model = QuantizedModel(DATA / f"{file}.tflite", "1", "full_int8", "int8", "test")
    predictions = []
    for side, path in (("reference", reference.path), ("quantized", model.path)):
        out = tmp_path / side
        out.mkdir()
        predictions.append(predict(path, samples, 2, out))
    spec = Validation.model_validate({"metrics": metrics})
    both = (predictions[0], predictions[1])
    return compare(
        spec, Asked(scheme="full_int8", io="int8"), UNCHECKED, reference, model, both, samples, None, tmp_path
    )


def test_metrics_are_those_of_the_predictions(tmp_path, make_samples, rows) -> None:
    labels = np.random.default_rng(5).integers(0, 4, 120)
    found = evaluate(tmp_path, make_samples({"": rows}, {"": labels}, classes="abcd"), ["top1", "auc", "mae"])
    before = np.load(tmp_path / "reference/outputs/scores.npy")
    after = np.load(tmp_path / "quantized/outputs/scores.npy")
    top1 = found.metrics["top1"]
    assert top1["reference"] == pytest.approx((before.argmax(1) == labels).mean())
    assert top1["quantized"] == pytest.approx((after.argmax(1) == labels).mean())
    assert top1["drop"] == pytest.approx(top1["reference"] - top1["quantized"])
    assert top1["interval"][0] < top1["drop"] < top1["interval"][1]
    assert (top1["samples"], top1["higher_is_better"]) == (120, True)
    assert 0.3 < found.metrics["auc"]["quantized"] < 0.7
    assert found.metrics["auc"]["interval"][0] < found.metrics["auc"]["interval"][1]
    # Class numbers cannot be subtracted from a vector: mae is the distance from the float outputs.
    assert found.metrics["mae"]["reference"] == 0
    assert found.metrics["mae"]["drop"] == pytest.approx(np.abs(before - after).mean())
    agreement = found.agreement["scores"]
    assert agreement["value"] == pytest.approx((before.argmax(1) == after.argmax(1)).mean())
    noise = (before - after).astype(np.float64)
    assert agreement["sqnr_db"] == pytest.approx(
        10 * np.log10(np.square(before).sum() / np.square(noise).sum()), rel=1e-4
    )
    table = found.confusion["scores"]
    assert table["classes"] == ["a", "b", "c", "d"]
    assert sum(count for _, _, count in table["quantized"]) == 120
    assert table["recall"]["quantized"][2] == pytest.approx((after.argmax(1) == 2)[labels == 2].mean())
    assert found.audit["passed"]
    assert found.inputs[0].dtype == "int8"


def test_a_drop_is_positive_where_the_quantized_file_is_worse(tmp_path, make_samples, rows) -> None:
    (tmp_path / "labels_from").mkdir()
    predictions = predict(DATA / "float32.tflite", make_samples({"": rows}), 1, tmp_path / "labels_from")
    labels = np.load(predictions.outputs["scores"]).argmax(axis=1)
    found = evaluate(tmp_path, make_samples({"": rows}, {"": labels}), ["top1", "auc", "cosine", "mse"]).metrics
    # The labels are the float file's own classes, so it is right on all of them; its auc need not be the higher one.
    assert found["top1"]["reference"] == 1 > found["top1"]["quantized"]
    assert found["cosine"]["reference"] == pytest.approx(1)
    for metric, sign in (("top1", 1), ("auc", 1), ("cosine", 1), ("mse", -1)):
        row = found[metric]
        assert row["drop"] == pytest.approx(sign * (row["reference"] - row["quantized"])) != 0
        assert row["interval"][0] < row["drop"] < row["interval"][1]
    assert min(found[metric]["drop"] for metric in ("top1", "cosine", "mse")) > 0
    assert min(found[metric]["interval"][0] for metric in ("cosine", "mse")) > 0


def test_the_interval_of_an_auc_lies_above_zero_where_the_quantized_outputs_are_noise(tmp_path, make_samples) -> None:
    noise = np.random.default_rng(6)
    labels = noise.integers(0, 2, 200)
    scores = {"sound": labels + noise.normal(0, 0.3, 200), "spoiled": noise.normal(size=200)}
    both = []
    for side, values in scores.items():
        np.save(tmp_path / f"{side}.npy", values[:, None].astype(np.float32))
        both.append(Predictions({"scores": tmp_path / f"{side}.npy"}, 200, 1, side))
    inputs, outputs = litert.describe(DATA / "float32.tflite")
    reference = Reference(DATA / "float32.tflite", "0", inputs, outputs, None, None, "test")
    model = QuantizedModel(DATA / "float32.tflite", "1", "float32", "float32", "test")
    samples = make_samples({"": np.zeros((200, 16))}, {"": labels})
    spec = Validation.model_validate({"metrics": ["auc"]})
    asked = Asked(scheme="float32", io="float32")
    row = compare(spec, asked, UNCHECKED, reference, model, (both[0], both[1]), samples, None, tmp_path).metrics["auc"]
    assert row["reference"] > 0.95
    assert 0.3 < row["interval"][0] < row["drop"] < row["interval"][1] < 0.7


def test_metrics_compare_with_labels_of_the_output_s_shape(tmp_path, make_samples, rows) -> None:
    truth = np.zeros((120, 4), np.float32)
    found = evaluate(tmp_path, make_samples({"": rows}, {"scores": truth}), ["mse"])
    before = np.load(tmp_path / "reference/outputs/scores.npy")
    assert found.metrics["mse"]["reference"] == pytest.approx(np.square(before).mean(), rel=1e-5)
    assert found.agreement["scores"]["value"] is None
    assert found.confusion == {}


def test_a_file_compared_with_itself_drops_nothing(tmp_path, make_samples, rows) -> None:
    found = evaluate(tmp_path, make_samples({"": rows}, {"": np.zeros(120, int)}), ["top1", "cosine"], "float32")
    assert (found.metrics["top1"]["drop"], found.agreement["scores"]["value"]) == (0, 1)
    assert found.metrics["cosine"]["interval"] == [0, 0]
    assert found.agreement["scores"]["sqnr_db"] is None


def test_without_predictions_there_are_parity_and_audit_only(tmp_path) -> None:
    inputs, outputs = litert.describe(DATA / "float32.tflite")
    reference = Reference(DATA / "float32.tflite", "0", inputs, outputs, None, None, "test")
    model = QuantizedModel(DATA / "float_island.tflite", "1", "full_int8", "int8", "test")
    asked = Asked(scheme="full_int8", io="float32")
    found = compare(Validation(), asked, UNCHECKED, reference, model, None, None, None, tmp_path)
    assert (found.metrics, found.agreement, found.audit["found"]) == ({}, {}, "mixed")
    assert found.parity == UNCHECKED.found


@pytest.mark.parametrize(
    ("labels", "metrics", "text"),
    [
        ({}, ["top1"], "the metric top1 must have labels for the output 'scores'. Got none."),
        ({"": [9] * 120}, ["top1"], "Got 9 on row 0 of the dataset, and 120 such labels"),
        ({"": [1] * 120}, ["auc"], "must have samples of every class. Got .0, 120, 0, 0. by class."),
        ({"": np.zeros((120, 7))}, ["mae"], r"must have its shape, \(4,\), for mae. Got \(7,\)"),
        ({"": [1] * 120}, [{"metric": "top1", "output": "score"}], "outputs, 'scores'. Got 'score'."),
        ({"a": [1] * 120, "b": [1] * 120}, ["top1"], "labels must be named as .* 'scores'. Got 'a', 'b'."),
        ({"": [1] * 119}, ["top1"], r"must match. Got the shapes \(120, 4\), \(120, 4\), \(119,\)"),
    ],
)
def test_a_metric_that_cannot_be_is_refused(tmp_path, make_samples, rows, labels, metrics, text) -> None:
    samples = make_samples({"": rows}, {name: np.array(values) for name, values in labels.items()})
    with pytest.raises(StageError, match=text):
        evaluate(tmp_path, samples, metrics)
