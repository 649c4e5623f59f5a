from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import Evaluation, Parity, Predictions, QuantizedModel, Reference
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.output_steps import output_steps
from tflite_pipeline.validate.audit import Asked
from tflite_pipeline.validate.compare import compare
from tflite_pipeline.validate.intervals import share
from tflite_pipeline.validate.spec import Validation

DATA = Path(__file__).parents[2] / "data"
LSB = 1 / 256
COUNT = 400


def one_hot(classes: np.ndarray) -> np.ndarray:
    return np.eye(4, dtype=np.float32)[classes]


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 4, COUNT)


def wrong(truth: np.ndarray, rows: int) -> np.ndarray:
    """Scores that are right but for the first rows."""
    classes = truth.copy()
    classes[:rows] = (classes[:rows] + 1) % 4
    return one_hot(classes)


def evaluate(
    tmp_path: Path, samples: Any, sides: list[np.ndarray], metrics: Any = ("top1",), **names: str
) -> Evaluation:
    """Compare float, fake-quantized and quantized outputs, in that order; `file` gives the scale."""
    stored = []
    for side, values in zip(("float", "fake", "file"), sides, strict=True):
        np.save(tmp_path / f"{side}.npy", values)
        stored.append(Predictions({names.get(side, "scores"): tmp_path / f"{side}.npy"}, len(values), 1, side))
    inputs, outputs = litert.describe(DATA / "float32.tflite")
    reference = Reference(DATA / "float32.tflite", "0", inputs, outputs, None, None, "test")
    model = QuantizedModel(DATA / f"{names.get('model', 'full_int8_int8_io')}.tflite", "1", "full_int8", "int8", "test")
    spec, asked = Validation.model_validate({"metrics": list(metrics)}), Asked(scheme="full_int8", io="int8")
    both = stored[0], stored[2]
    return compare(spec, asked, Parity({}), reference, model, both, samples, stored[1], tmp_path)


def test_both_gaps_are_told_when_training_and_conversion_lose(tmp_path, make_samples, truth) -> None:
    samples = make_samples({"": np.zeros((COUNT, 16))}, {"": truth})
    found = evaluate(tmp_path, samples, [wrong(truth, 4), wrong(truth, 12), wrong(truth, 52)])
    row = found.fidelity["metrics"]["top1"]
    assert [row["float"], row["fake_quant"], row["tflite"]] == pytest.approx([0.99, 0.97, 0.87])
    assert row["training_drop"]["drop"] == pytest.approx(0.02)
    assert row["conversion_drop"]["drop"] == pytest.approx(0.10)
    for gap in ("training_drop", "conversion_drop"):
        assert 0 < row[gap]["interval"][0] < row[gap]["drop"] < row[gap]["interval"][1]
    assert (row["samples"], row["higher_is_better"]) == (COUNT, True)
    # The gaps add up to what the file loses against float.
    assert found.metrics["top1"]["drop"] == pytest.approx(0.12)
    assert found.fidelity["outputs"]["scores"]["agreement"] == pytest.approx(0.90)
    assert found.fidelity["warnings"] == [
        "top1 goes from 0.97 in the fake-quantized network to 0.87 in the file. The conversion loses 0.1 (between "
        f"{row['conversion_drop']['interval'][0]:.4g} and {row['conversion_drop']['interval'][1]:.4g} on 400 samples), "
        "the training 0.02: the file does not compute what was trained. Try another engine."
    ]


@pytest.mark.parametrize(
    ("mistakes", "why"),
    [((4, 52, 92), "training lost as much"), ((4, 4, 5), "one sample is noise"), ((4, 12, 8), "the file is better")],
)
def test_there_is_no_warning_when_the_conversion_is_not_what_loses(
    tmp_path, make_samples, truth, mistakes, why
) -> None:
    samples = make_samples({"": np.zeros((COUNT, 16))}, {"": truth})
    found = evaluate(tmp_path, samples, [wrong(truth, rows) for rows in mistakes])
    conversion = found.fidelity["metrics"]["top1"]["conversion_drop"]
    assert conversion["drop"] == pytest.approx((mistakes[2] - mistakes[1]) / COUNT), why
    assert found.fidelity["warnings"] == []


def test_differences_are_counted_in_steps_of_the_output(tmp_path, make_samples, truth) -> None:
    samples = make_samples({"": np.zeros((COUNT, 16))}, {"": truth})
    fake = one_hot(truth) * np.float32(128 * LSB)
    steps = np.zeros((COUNT, 4))
    # Of 1600 values: 40 are one step off, 24 two, 16 three, and one seven.
    steps[:10], steps[10:14], steps[20:26], steps[30:34], steps[40, 0] = 1, 0, 2, -3, -7
    found = evaluate(tmp_path, samples, [fake, fake, (fake + steps * LSB).astype(np.float32)])
    row = found.fidelity["outputs"]["scores"]
    assert row["lsb"] == LSB
    assert row["within_1_lsb"] == 1 - (24 + 16 + 1) / 1600
    assert row["within_2_lsb"] == 1 - (16 + 1) / 1600
    assert row["largest_lsb"] == 7
    assert row["interval"] == pytest.approx(share(COUNT * row["within_2_lsb"], COUNT, 0.95))
    assert row["interval"][0] < row["within_2_lsb"] < row["interval"][1]
    noise = np.square(steps * LSB).sum()
    assert row["sqnr_db"] == pytest.approx(10 * np.log10(COUNT * 0.25 / noise), rel=1e-5)


def test_a_file_that_computes_what_was_made_is_faithful(tmp_path, make_samples, truth) -> None:
    samples = make_samples({"": np.zeros((COUNT, 16))}, {"": truth})
    found = evaluate(tmp_path, samples, [wrong(truth, 4), wrong(truth, 8), wrong(truth, 8)])
    row = found.fidelity["outputs"]["scores"]
    assert (row["agreement"], row["within_1_lsb"], row["within_2_lsb"], row["largest_lsb"]) == (1, 1, 1, 0)
    assert row["sqnr_db"] is None
    assert found.fidelity["metrics"]["top1"]["conversion_drop"]["drop"] == 0


def test_metrics_without_labels_are_distances_from_float(tmp_path, make_samples) -> None:
    noise = np.random.default_rng(8)
    first = noise.normal(size=(COUNT, 4)).astype(np.float32)
    sides = [first, first + np.float32(0.25), first - np.float32(0.5)]
    found = evaluate(tmp_path, make_samples({"": np.zeros((COUNT, 16))}), sides, ["mae"])
    row = found.fidelity["metrics"]["mae"]
    assert [row["float"], row["fake_quant"], row["tflite"]] == pytest.approx([0, 0.25, 0.5])
    # The file is as far from the network as 0.75, but only 0.25 worse than it.
    assert [row[gap]["drop"] for gap in ("training_drop", "conversion_drop")] == pytest.approx([0.25, 0.25])
    assert not row["higher_is_better"]
    assert found.fidelity["outputs"]["scores"]["agreement"] is None


def test_steps_are_unknown_when_the_output_is_computed_in_float(tmp_path, make_samples, truth) -> None:
    samples = make_samples({"": np.zeros((COUNT, 16))}, {"": truth})
    sides = [one_hot(truth), one_hot(truth), wrong(truth, 40)]
    row = evaluate(tmp_path, samples, sides, model="float32").fidelity["outputs"]["scores"]
    assert [row[name] for name in ("lsb", "within_1_lsb", "within_2_lsb", "interval", "largest_lsb")] == [None] * 5
    assert (row["agreement"], row["samples"]) == (pytest.approx(0.9), COUNT)
    assert row["sqnr_db"] == pytest.approx(10 * np.log10(COUNT / 80))


@pytest.mark.parametrize(
    ("file", "steps"),
    [
        ("full_int8_int8_io", [LSB]),
        ("full_int8_uint8_io", [LSB]),
        ("full_int8_float_io", [LSB]),  # before the DEQUANTIZE
        ("int16x8", [1 / 32768]),
        ("dynamic_int8", [None]),
        ("float16", [None]),
        ("audit_full_int8_float_tail", [None]),
        ("two_by_two", [None, None]),
    ],
)
def test_the_step_of_an_output_is_read_from_the_file(file: str, steps: list[float | None]) -> None:
    assert list(output_steps(DATA / f"{file}.tflite").values()) == steps


def test_one_output_needs_no_name(tmp_path, make_samples, truth) -> None:
    samples = make_samples({"": np.zeros((COUNT, 16))}, {"": truth})
    found = evaluate(tmp_path, samples, [one_hot(truth)] * 3, float="a", fake="b", file="c")
    assert set(found.fidelity["outputs"]) == {"a"}


def test_outputs_that_do_not_belong_together_are_refused(tmp_path, make_samples, truth) -> None:
    samples = make_samples({"": np.zeros((COUNT, 16))}, {"": truth})
    short = one_hot(truth)[:-1]
    text = r"float outputs, quantized outputs, fake-quantized outputs and labels of 'scores' must match. Got the shapes"
    with pytest.raises(StageError, match=rf"{text} \(400, 4\), \(400, 4\), \(399, 4\), \(400,\)\."):
        evaluate(tmp_path, samples, [one_hot(truth), short, one_hot(truth)])
