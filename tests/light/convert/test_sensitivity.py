"""What the outputs lose where one op alone is quantized."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import Ranges, Reference, Samples
from tflite_pipeline.convert.effects import effect_on
from tflite_pipeline.convert.sensitivity import MOST_SAMPLES, OpEffect, Sensitivity, measure_sensitivity
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.graph import read_graphs

Measure = Callable[..., Sensitivity]
CONV, DEPTHWISE, ADD, RESHAPE, HIDDEN, SCORES, SOFTMAX = range(7)


@pytest.fixture
def measure(conv_net: Reference, noise: Samples, ranges: Ranges, tmp_path: Path) -> Measure:
    def run(schemes: dict[str, tuple[int, ...]] | None = None, spread: Ranges | None = ranges, **section: object):
        spec = Quantization.model_validate({"scheme": "full_int8"} | section)
        found = measure_sensitivity(spec, schemes or {}, conv_net, (spread, None), (noise, 1), tmp_path)
        assert not list(tmp_path.iterdir())
        return found

    return run


def by_op(found: Sensitivity) -> dict[tuple[int, str], OpEffect]:
    return {(row.index, row.scheme): row for row in found.rows}


def test_ops_have_the_scheme_that_the_recipe_gives_them(measure):
    found = measure(scheme="int8x4", io="int8")
    assert found.samples == 8
    assert [(row.index, row.scheme) for row in found.rows] == [
        (CONV, "int8x4"),
        (DEPTHWISE, "full_int8"),  # for which there is no int4
        (ADD, "full_int8"),
        (HIDDEN, "int8x4"),
        (SCORES, "int8x4"),
        (SOFTMAX, "full_int8"),
    ]
    assert all(row.refused == "" and row.sqnr_db > 0 for row in found.rows)


def test_coarser_weights_cost_more_and_take_less(measure):
    rows = by_op(measure({"full_int8": (), "int8x4": (CONV, HIDDEN)}))
    for op in (CONV, HIDDEN):
        fine, coarse = rows[op, "full_int8"], rows[op, "int8x4"]
        assert fine.sqnr_db > coarse.sqnr_db + 10
        assert coarse.divergence > fine.divergence >= 0
        assert coarse.bytes < fine.bytes < fine.float_bytes
    assert rows[ADD, "full_int8"].bytes == 0
    assert (ADD, "int8x4") not in rows


@pytest.mark.parametrize(("scheme", "bits"), [("full_int8", 8), ("int8x4", 4)])
def test_weights_take_the_bytes_that_the_file_has(measure, conv_net, scheme, bits):
    row = by_op(measure({scheme: (CONV,)}))[CONV, scheme]
    graph = read_graphs(conv_net.path)[0]
    (kernel,) = graph.weights_of(graph.ops[CONV])
    channels = kernel.shape[0]
    assert row.float_bytes == 4 * (kernel.elements + channels)
    assert row.bytes == kernel.elements * bits // 8 + 4 * channels + 2 * 4 * channels  # kernel, bias, scales of both


def test_scheme_that_an_op_cannot_have_is_told(measure):
    rows = by_op(measure({"int8x4": (DEPTHWISE, CONV)}))
    refused = rows[DEPTHWISE, "int8x4"]
    assert "there is no int4 for it" in refused.refused
    assert (refused.sqnr_db, refused.bytes) == (None, None)
    assert refused.float_bytes > 0
    assert rows[CONV, "int8x4"].refused == ""


def test_schemes_without_integer_activations_need_no_ranges(measure):
    found = measure(scheme="dynamic_int8", spread=None)
    assert [row.index for row in found.rows] == [CONV, DEPTHWISE, HIDDEN, SCORES]


def test_mixed_recipe_leaves_float_layers_out(measure):
    found = measure(scheme="mixed", rules=[{"op": "CONV_2D", "scheme": "int16x8"}])
    assert [(row.index, row.scheme) for row in found.rows] == [(CONV, "int16x8")]


def test_missing_ranges_are_an_error(measure):
    with pytest.raises(StageError, match="must be measured with ranges"):
        measure(spread=None)


def test_few_samples_are_taken_from_all_over(conv_net, ranges, make_samples, tmp_path):
    images = np.random.default_rng(0).uniform(-1, 1, (100, 8, 8, 1)).astype(np.float32)
    samples, out = make_samples({"": images}), tmp_path / "out"
    out.mkdir()
    spec = Quantization(scheme="full_int8")
    found = measure_sensitivity(spec, {"full_int8": (CONV,)}, conv_net, (ranges, None), (samples, 2), out)
    assert found.samples == MOST_SAMPLES


def test_equal_answers_lose_nothing():
    shares = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    found = effect_on({"a": shares}, {"a": shares})
    assert (found.sqnr_db, found.agreement, found.divergence) == (None, 1.0, 0.0)


def test_output_that_loses_most_counts():
    real = {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 3), np.float32)}
    found = effect_on(real, {"a": real["a"] * 1.1, "b": real["b"] * 1.01})
    assert found.sqnr_db == pytest.approx(20, abs=0.01)
    assert (found.agreement, found.divergence) == (None, None)


def test_divergence_is_that_of_the_distributions():
    real, other = np.array([[0.5, 0.5]], np.float32), np.array([[0.25, 0.75]], np.float32)
    found = effect_on({"": real}, {"scores": other})
    assert found.divergence == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(0.5 / 0.75), rel=1e-5)
    assert found.agreement == 0.0  # of equal shares the first counts


def test_probability_that_rounds_to_zero_is_half_a_step():
    found = effect_on({"": np.array([[0.001, 0.999]], np.float32)}, {"": np.array([[0.0, 1.0]], np.float32)})
    assert found.divergence == pytest.approx(0, abs=1e-5)
