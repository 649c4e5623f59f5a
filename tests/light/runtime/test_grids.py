"""What the draft of a quantized file rounds the tensors of its reference to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import QuantizedModel, Reference
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.runtime.grids import Grids, Range, Steps, read_grids, scale_of

DATA = Path(__file__).parents[2] / "data"
Quantize = Callable[..., QuantizedModel]
CONV, DEPTHWISE, HIDDEN, SCORES = 7, 3, 5, 4
IMAGE, OF_CONV, OF_DEPTHWISE, SUM, FLAT, LOGITS, ANSWER = 0, 9, 10, 11, 12, 14, 15


def stored(path: Path, op: str) -> tuple[float, int]:
    """The scale and the zero point of what the first op of a type puts out."""
    number = next(one.outputs[0] for one in read_graphs(path)[0].ops if one.name == op)
    found = flatbuffer.unpack(path).subgraphs[0].tensors[number].quantization
    return float(found.scale[0]), int(found.zeroPoint[0])


@pytest.fixture(scope="module")
def full(conv_net: Reference, quantized: Quantize) -> tuple[Grids, Path]:
    draft = quantized(scheme="full_int8").path
    return read_grids(conv_net.path, draft, False), draft


def test_every_activation_has_the_range_that_its_integers_stand_for(full: tuple[Grids, Path]) -> None:
    grids, draft = full
    assert set(grids.ranges) == {IMAGE, OF_CONV, OF_DEPTHWISE, SUM, FLAT, 13, LOGITS, ANSWER}
    for op, number in (("CONV_2D", OF_CONV), ("DEPTHWISE_CONV_2D", OF_DEPTHWISE), ("ADD", SUM), ("SOFTMAX", ANSWER)):
        (scale, zero), one = stored(draft, op), grids.ranges[number]
        assert scale_of(one) == pytest.approx(scale, rel=1e-7)
        assert (one.low / scale, one.high / scale) == pytest.approx((-128 - zero, 127 - zero))
        assert (one.bits, one.symmetric) == (8, False)


def test_tensors_with_one_scale_share_a_range(full: tuple[Grids, Path]) -> None:
    ranges = full[0].ranges
    assert ranges[FLAT] == ranges[SUM]
    assert ranges[SUM].group == SUM
    assert set(full[0].groups) == {IMAGE, OF_CONV, OF_DEPTHWISE, SUM, 13, LOGITS, ANSWER}


def test_ranges_that_kernels_prescribe_are_not_free(full: tuple[Grids, Path]) -> None:
    assert [number for number, one in full[0].ranges.items() if not one.free] == [ANSWER]
    assert (full[0].ranges[ANSWER].low, full[0].ranges[ANSWER].high) == (0.0, 255 / 256)


def test_weights_have_a_scale_for_each_channel(full: tuple[Grids, Path]) -> None:
    axes = {CONV: 0, DEPTHWISE: 3, HIDDEN: 0, SCORES: 0}
    assert full[0].constants == {number: Steps(8, 127, axis, True) for number, axis in axes.items()}


def test_dense_weights_have_one_scale_when_the_recipe_says_so(conv_net: Reference, quantized: Quantize) -> None:
    draft = quantized(scheme="full_int8", per_channel_dense=False).path
    axes = {CONV: 0, DEPTHWISE: 3, HIDDEN: None, SCORES: None}
    assert {n: one.axis for n, one in read_grids(conv_net.path, draft, False).constants.items()} == axes


def test_symmetric_activations_have_zero_in_the_middle(conv_net: Reference, quantized: Quantize) -> None:
    draft = quantized(scheme="full_int8", symmetric_activations=True).path
    ranges = read_grids(conv_net.path, draft, True).ranges
    assert {number for number, one in ranges.items() if not one.symmetric} == {ANSWER}
    scale, zero = stored(draft, "ADD")
    assert zero == 0
    assert (ranges[SUM].low, ranges[SUM].high) == pytest.approx((-127 * scale, 127 * scale))
    assert scale_of(ranges[SUM]) == pytest.approx(scale, rel=1e-7)


def test_int16_is_symmetric_even_for_softmax(conv_net: Reference, quantized: Quantize) -> None:
    draft = quantized(scheme="int16x8").path
    grids = read_grids(conv_net.path, draft, False)
    assert {(one.bits, one.symmetric) for one in grids.ranges.values()} == {(16, True)}
    assert not grids.ranges[ANSWER].free
    assert grids.ranges[OF_CONV].high == pytest.approx(32767 * stored(draft, "CONV_2D")[0])
    assert grids.constants[CONV] == Steps(8, 127, 0, True)


def test_int4_weights_have_seven_steps_where_the_engine_has_them(conv_net: Reference, quantized: Quantize) -> None:
    for scheme in ("int8x4", "dynamic_int4", "weight_int4"):
        grids = read_grids(conv_net.path, quantized(scheme=scheme).path, False)
        assert grids.constants[DEPTHWISE] == Steps(8, 127, 3, True)
        assert {grids.constants[number] for number in (CONV, HIDDEN, SCORES)} == {Steps(4, 7, 0, True)}


@pytest.mark.parametrize("scheme", ["dynamic_int8", "weight_int8"])
def test_only_weights_are_rounded_when_activations_are_float(
    conv_net: Reference, quantized: Quantize, scheme: str
) -> None:
    grids = read_grids(conv_net.path, quantized(scheme=scheme).path, False)
    assert grids.ranges == {}
    assert set(grids.constants) == {CONV, DEPTHWISE, HIDDEN, SCORES}


def test_float_layers_are_left_when_schemes_are_mixed(conv_net: Reference, quantized: Quantize) -> None:
    rules = [{"op": "CONV_2D", "scheme": "full_int8"}, {"op": "FULLY_CONNECTED", "scheme": "dynamic_int8"}]
    grids = read_grids(conv_net.path, quantized(scheme="mixed", rules=rules).path, False)
    assert set(grids.ranges) == {IMAGE, OF_CONV}
    assert set(grids.constants) == {CONV, HIDDEN, SCORES}


def test_nothing_is_rounded_when_the_draft_is_float(conv_net: Reference, quantized: Quantize) -> None:
    for path in (conv_net.path, quantized(scheme="float16").path):
        assert read_grids(conv_net.path, path, False) == Grids({}, {})


def test_dtype_of_the_border_changes_nothing() -> None:
    drafts = [DATA / f"full_int8_{io}_io.tflite" for io in ("float", "int8", "uint8")]
    found = [read_grids(DATA / "float32.tflite", draft, False) for draft in drafts]
    assert found[0] == found[1] == found[2]
    assert len(found[0].ranges) == 4


@pytest.mark.parametrize("other", ["audit_int8x4", "full_int8_int8_io"])
def test_draft_of_another_reference_is_refused(conv_net: Reference, other: str) -> None:
    with pytest.raises(StageError, match="must have the ops of its reference, 7 in their order") as caught:
        read_grids(conv_net.path, DATA / f"{other}.tflite", False)
    assert "quantization.engine" in caught.value.remedy


def test_draft_is_refused_when_its_ops_are_alike_but_not_their_shapes() -> None:
    with pytest.raises(StageError, match="of the shapes that they put out"):
        read_grids(DATA / "float32.tflite", DATA / "dynamic_int8_too_small.tflite", False)


def test_scales_of_blocks_are_refused_with_the_name_of_the_weight() -> None:
    with pytest.raises(StageError, match=r"scale for each block.*'functional_1/wide_1/MatMul'") as caught:
        read_grids(DATA / "audit_float32.tflite", DATA / "audit_dynamic_int4_block32.tflite", False)
    assert "dynamic_int4" in caught.value.remedy


def test_scale_is_that_of_float32() -> None:
    one = Range(8, -1.0, 1.0, False, 0, True)
    assert scale_of(one) == float(np.float32(2 / 255))
    assert scale_of(Range(16, -3.0, 3.0, True, 0, True)) == float(np.float32(3 / 32767))
