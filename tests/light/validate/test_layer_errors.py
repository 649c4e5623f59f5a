"""The errors of each op: figures are those that both files give, whatever the dtype of what they hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import Engine, QuantizedModel, Reference, Samples, file_digest
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.convert.uncalibrated import quantize_uncalibrated
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.answers import compute
from tflite_pipeline.validate.layer_errors import LayerErrors, measure_errors
from tflite_pipeline.validate.tallies import Integers, Tally

DATA = Path(__file__).parents[2] / "data"
Quantize = Callable[..., QuantizedModel]


@pytest.fixture
def measured(conv_net: Reference, noise: Samples, quantized: Quantize, tmp_path: Path) -> Callable[..., LayerErrors]:
    def measure(threads: int = 1, **section: object) -> LayerErrors:
        return measure_errors(conv_net, quantized(**section), noise, threads, tmp_path)

    return measure


def test_every_op_has_a_row_with_the_dtypes_of_the_file(measured, tmp_path):
    found = measured(scheme="int8x4")
    assert found.samples == 8
    assert [(row.op, row.activations, row.weights) for row in found.rows] == [
        ("CONV_2D", "int8", "int4"),
        ("DEPTHWISE_CONV_2D", "int8", "int8"),
        ("ADD", "int8", ""),
        ("RESHAPE", "int8", ""),
        ("FULLY_CONNECTED", "int8", "int4"),
        ("FULLY_CONNECTED", "int8", "int4"),
        ("SOFTMAX", "int8", ""),
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("io", ["float32", "int8"])
def test_error_of_the_last_op_is_that_of_the_outputs(conv_net, noise, quantized, tmp_path, io):
    file = quantized(scheme="full_int8", io=io)
    samples = {"": np.load(noise.inputs[""])}
    (real,), (found,) = (list(compute(path, samples).values()) for path in (conv_net.path, file.path))
    row = measure_errors(conv_net, file, noise, 1, tmp_path).rows[-1]
    assert row.sqnr_db == pytest.approx(10 * np.log10(np.square(real).sum() / np.square(found - real).sum()), abs=1e-3)
    assert row.max_lsb == pytest.approx(np.abs(found - real).max() * 256, rel=1e-3)
    assert row.mean_lsb == pytest.approx((found - real).mean() * 256, abs=1e-3)


def test_two_threads_find_what_one_finds(measured):
    one, two = (measured(threads, scheme="full_int8").rows for threads in (1, 2))
    for left, right in zip(one, two, strict=True):
        assert left.sqnr_db == pytest.approx(right.sqnr_db)
        assert replace(left, sqnr_db=0, before_db=0, mean_lsb=0, typical_lsb=0, shift=0) == replace(
            right, sqnr_db=0, before_db=0, mean_lsb=0, typical_lsb=0, shift=0
        )


def test_finer_activations_have_smaller_errors(measured):
    coarse, fine = (measured(scheme=scheme).rows for scheme in ("full_int8", "int16x8"))
    assert all(right.sqnr_db > left.sqnr_db for left, right in zip(coarse, fine, strict=True))
    assert {row.activations for row in fine} == {"int16"}


def test_floats_have_no_steps(measured):
    rows = measured(scheme="dynamic_int8").rows
    steps = {(row.mean_lsb, row.max_lsb, row.typical_lsb, row.clipped, row.saturated) for row in rows}
    assert steps == {(None,) * 5}
    assert rows[0].sqnr_db > 30


def test_what_an_op_reads_is_told_where_an_op_made_it(measured):
    rows = measured(scheme="full_int8").rows
    assert rows[0].before_db is None
    assert rows[1].before_db == rows[0].sqnr_db


def test_kernels_tell_how_uneven_their_channels_are(measured):
    rows = measured(scheme="full_int8").rows
    assert rows[0].channels_largest_to_smallest >= rows[0].channels_largest_to_median >= 1
    assert rows[0].inputs_largest_to_median == 1  # of the one channel
    assert rows[1].inputs_largest_to_median is None  # of a depthwise kernel they are those that it makes
    assert rows[2].channels_largest_to_median is None
    assert rows[0].granularity == "per_channel"


@pytest.mark.parametrize("scheme", ["full_int8", "dynamic_int8"])
def test_files_of_several_rows_an_inference_are_measured(make_samples, features, tmp_path, scheme):
    path = DATA / "float32_batch4.tflite"
    reference = Reference(path, file_digest(path), *litert.describe(path), None, None, "tflite")
    file = quantize_uncalibrated(Quantization(scheme=scheme), Engine("ai_edge", ""), reference, tmp_path)
    found = measure_errors(reference, file, make_samples({"": features}), 2, tmp_path)
    assert found.samples == len(features)
    assert all(row.sqnr_db > 0 for row in found.rows)


def test_file_of_another_reference_is_refused(conv_net, noise, quantized, tmp_path):
    other = replace(quantized(scheme="full_int8"), path=DATA / "full_int8_int8_io.tflite")
    with pytest.raises(StageError, match="must have the ops of its reference, 7 in their order"):
        measure_errors(conv_net, other, noise, 1, tmp_path)


def test_values_beyond_the_integers_count_as_clipped():
    tally = Tally(Integers(0.5, -64.0, 63.5))
    real = np.array([[-70.0, 0.0, 63.7, 64.0]], np.float32)
    tally.add(real, np.clip(np.rint(real * 2) / 2, -64, 63.5).astype(np.float32))
    found = tally.in_steps()
    assert found["clipped"] == 0.5  # 63.7 rounds to the last integer
    assert found["saturated"] == 0.75
    assert found["max_lsb"] == pytest.approx(12)


def test_an_end_that_means_zero_is_no_saturation():
    tally = Tally(Integers(0.5, 0.0, 127.5))
    tally.add(np.zeros((1, 4), np.float32), np.array([[0, 0, 0, 127.5]], np.float32))
    assert tally.in_steps()["saturated"] == 0.25


def test_shift_is_what_a_constant_for_each_channel_would_mend():
    real = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    offset = np.array([1, -1, 2, -2], np.float32)
    noise = np.random.default_rng(1).normal(size=real.shape).astype(np.float32)
    tallies = [Tally(None) for _ in range(3)]
    for tally, found in zip(tallies, (real + offset, real + noise, real), strict=True):
        tally.add(real[:30], found[:30])
        tally.add(real[30:], found[30:])
    assert tallies[0].shift == pytest.approx(1, abs=1e-4)
    assert tallies[1].shift < 0.1
    assert (tallies[2].shift, tallies[2].sqnr_db) == (0.0, None)
