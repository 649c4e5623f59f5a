"""How kernels that round twice come to their integers."""

from __future__ import annotations

import numpy as np
import pytest

from tflite_pipeline.artifacts import Reference
from tflite_pipeline.train.tune.graph import FloatGraph, read_float_graph
from tflite_pipeline.train.tune.grids import Range, Steps, scale_of
from tflite_pipeline.train.tune.kernels import with_shifts

IMAGE, OF_CONV, CONV, FLAT, OF_HIDDEN, HIDDEN = 0, 9, 7, 12, 13, 5
RANGES = {IMAGE: Range(8, 0.0, 1.0, False, IMAGE, True), OF_CONV: Range(8, 0.0, 3.0, False, OF_CONV, True)}
INT4, INT8 = Steps(4, 7, 0, True), Steps(8, 127, 0, True)


@pytest.fixture(scope="module")
def graph(conv_net: Reference) -> FloatGraph:
    return read_float_graph(conv_net.path)


def test_each_channel_of_an_int4_convolution_keeps_the_bits_that_its_factor_shifts_out(graph: FloatGraph) -> None:
    found = with_shifts(graph, graph.constants, RANGES, {CONV: INT4})
    peaks = np.abs(graph.constants[CONV]).max((1, 2, 3))
    factors = scale_of(RANGES[IMAGE]) * peaks / 7 / scale_of(RANGES[OF_CONV])
    # A factor is a number of 31 bits, at least a half and below 1, shifted right.
    normal = factors * 2.0 ** np.array(found[OF_CONV].shifts)
    assert len(found[OF_CONV].shifts) == len(peaks)
    assert ((normal >= 0.5) & (normal < 1)).all()
    assert found[IMAGE] == RANGES[IMAGE]


def test_other_kernels_round_once(graph: FloatGraph) -> None:
    assert with_shifts(graph, graph.constants, RANGES, {CONV: INT8}) == RANGES
    dense = {FLAT: RANGES[IMAGE], OF_HIDDEN: RANGES[OF_CONV]}
    assert with_shifts(graph, graph.constants, dense, {HIDDEN: INT4}) == dense
    wide = RANGES | {IMAGE: Range(16, -1.0, 1.0, True, IMAGE, True)}
    assert with_shifts(graph, graph.constants, wide, {CONV: INT4}) == wide
