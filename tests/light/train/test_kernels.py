"""How kernels come to their integers."""

from __future__ import annotations

import numpy as np
import pytest

from tflite_pipeline.artifacts import Reference
from tflite_pipeline.runtime.grids import Grids, Range, Steps, scale_of
from tflite_pipeline.train.tune.graph import FloatGraph, read_float_graph
from tflite_pipeline.train.tune.kernels import kernels_of

IMAGE, OF_CONV, CONV, FLAT, OF_HIDDEN, HIDDEN = 0, 9, 7, 12, 13, 5
RANGES = {IMAGE: Range(8, 0.0, 1.0, False, IMAGE, True), OF_CONV: Range(8, 0.0, 3.0, False, OF_CONV, True)}
INT4, INT8 = Steps(4, 7, 0, True), Steps(8, 127, 0, True)


@pytest.fixture(scope="module")
def graph(conv_net: Reference) -> FloatGraph:
    return read_float_graph(conv_net.path)


def test_each_channel_of_an_int4_convolution_keeps_the_bits_that_its_factor_shifts_out(graph: FloatGraph) -> None:
    found = kernels_of(graph, graph.constants, Grids(RANGES, {CONV: INT4}))[OF_CONV]
    peaks = np.abs(graph.constants[CONV]).max((1, 2, 3))
    factors = scale_of(RANGES[IMAGE]) * peaks / 7 / scale_of(RANGES[OF_CONV])
    # A factor is a number of 31 bits, at least a half and below 1, shifted right.
    normal = factors * 2.0**found.shift
    assert found.way == "twice"
    assert len(found.shift) == len(peaks)
    assert ((normal >= 0.5) & (normal < 1)).all()


def test_sums_of_8_bits_are_multiplied_by_one_float32_a_channel(graph: FloatGraph) -> None:
    found = kernels_of(graph, graph.constants, Grids(RANGES, {CONV: INT8}))[OF_CONV]
    peaks = np.abs(graph.constants[CONV].astype(np.float64)).max((1, 2, 3))
    assert found.way == "multiplied"
    assert found.factor.dtype == np.float32
    assert found.unit == pytest.approx(scale_of(RANGES[IMAGE]) * peaks / 127)
    assert found.factor == pytest.approx(found.unit / scale_of(RANGES[OF_CONV]))


def test_other_kernels_round_what_is_exact(graph: FloatGraph) -> None:
    dense = {FLAT: RANGES[IMAGE], OF_HIDDEN: RANGES[OF_CONV]}
    assert OF_HIDDEN not in kernels_of(graph, graph.constants, Grids(dense, {HIDDEN: INT4}))
    wide = RANGES | {IMAGE: Range(16, -1.0, 1.0, True, IMAGE, True)}
    assert OF_CONV not in kernels_of(graph, graph.constants, Grids(wide, {CONV: INT8}))
    assert OF_CONV not in kernels_of(graph, graph.constants, Grids(RANGES, {}))
