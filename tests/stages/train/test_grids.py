"""The drafts of both engines, and that the final file has the very grids that training rounded to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import Tuned
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.runtime.grids import Grids, Range, read_grids, scale_of
from tflite_pipeline.train.spec import Qat
from tflite_pipeline.train.tune.rounding import read_rounding
from tflite_pipeline.validate.compression import _unpacked

pytestmark = pytest.mark.tf

BORDER = ("QUANTIZE", "DEQUANTIZE")
ENDS = {"int4": 7, "int8": 127}
ULP = 2.0**-23
SECTIONS: dict[str, dict[str, Any]] = {
    "full_int8": {"scheme": "full_int8"},
    "full_int8 of ai_edge": {"scheme": "full_int8", "engine": "ai_edge"},
    "symmetric": {"scheme": "full_int8", "symmetric_activations": True},
    "per-tensor dense": {"scheme": "full_int8", "per_channel_dense": False},
    "int16x8": {"scheme": "int16x8"},
    "int8x4": {"scheme": "int8x4"},
    "dynamic_int8": {"scheme": "dynamic_int8"},
    "weight_int4": {"scheme": "weight_int4"},
    "mixed": {
        "scheme": "mixed",
        "rules": [{"op": "CONV_2D", "scheme": "full_int8"}, {"op": "FULLY_CONNECTED", "scheme": "dynamic_int4"}],
    },
}


@dataclass(frozen=True)
class Stored:
    """A tensor of the file: its integers, or what it stores in float, and how they are read."""

    values: np.ndarray
    scales: np.ndarray
    zero: int
    dtype: str


@dataclass(frozen=True)
class Trained:
    tuned: Tuned
    draft: Path
    file: Path


@pytest.fixture(scope="module")
def trained(course):
    made: dict[str, Trained] = {}

    def make(name: str) -> Trained:
        if name not in made:
            spec, reference, digits = Quantization(**SECTIONS[name]), course.reference("everything"), course.digits()
            draft = course.draft(spec, reference, digits)
            tuned = course.tune(Qat(method="qat", epochs=1, learning_rate=0.01), (reference,), draft, digits)
            made[name] = Trained(tuned, draft[0].path, course.file(spec, tuned))
        return made[name]

    return make


def ops_of(path: Path) -> list[Any]:
    return [op for op in read_graphs(path)[0].ops if op.name not in BORDER]


def stored(path: Path, number: int) -> Stored:
    graph, model = read_graphs(path)[0], flatbuffer.unpack(path)
    number = graph.origins[number][0] if number in graph.origins else number
    tensor, dtype, shape = model.subgraphs[0].tensors[number], graph.tensors[number].dtype, graph.tensors[number].shape
    data = model.buffers[tensor.buffer].data
    values = np.zeros(shape)
    if data is not None:
        values = (_unpacked(data, 4) if dtype == "int4" else data.view(dtype))[: values.size].reshape(shape)
    found = tensor.quantization
    if found is None or found.scale is None or not len(found.scale):
        return Stored(values, np.ones(1), 0, dtype)
    sizes = [1] * len(shape)
    if len(found.scale) > 1:
        sizes[found.quantizedDimension] = len(found.scale)
    return Stored(values, np.float64(found.scale).reshape(sizes), int(found.zeroPoint[0]), dtype)


def constants(one: Trained) -> list[tuple[str, int, np.ndarray, Stored]]:
    """Each float constant of the trained reference, its op and position, beside what the file stores of it."""
    graph = read_graphs(one.tuned.reference.path)[0]
    return [
        (op.name, place, stored(one.tuned.reference.path, mine).values, stored(one.file, theirs))
        for op, twin in zip(ops_of(one.tuned.reference.path), ops_of(one.file), strict=True)
        for place, (mine, theirs) in enumerate(zip(op.inputs, twin.inputs, strict=True))
        if graph.tensors[mine].stored and graph.tensors[mine].dtype == "float32"
    ]


def grids(one: Trained, symmetric: bool = False) -> Grids:
    return read_grids(one.tuned.reference.path, one.draft, symmetric)


def by_op(one: Trained, ranges: dict[int, Range]) -> dict[str, Range]:
    """By type of op: the range of what the last one puts out."""
    ops = ops_of(one.tuned.reference.path)
    return {op.name: ranges[op.outputs[0]] for op in ops if op.outputs[0] in ranges}


@pytest.mark.parametrize("name", SECTIONS)
def test_file_has_the_weights_that_training_rounded_to(trained, name):
    kinds = set()
    for op, place, values, file in constants(trained(name)):
        if file.dtype not in ENDS:
            continue
        kinds.add((op, file.dtype))
        assert place == 1
        assert np.array_equal(np.rint(values / file.scales), file.values)
        # As near as float32 can tell.
        assert np.abs(file.values * file.scales - values).max() <= ULP * np.abs(values).max()
        axes = tuple(axis for axis, size in enumerate(file.scales.shape) if size == 1)
        peaks = np.abs(file.values).max(axis=axes) if file.scales.size > 1 else np.abs(file.values).max()
        assert (peaks == ENDS[file.dtype]).all()
    four = {"int8x4": {"CONV_2D", "FULLY_CONNECTED"}, "weight_int4": {"CONV_2D", "FULLY_CONNECTED"}}
    four["mixed"] = {"FULLY_CONNECTED"}
    assert {op for op, dtype in kinds if dtype == "int4"} == four.get(name, set())
    assert {op for op, _ in kinds} >= {"CONV_2D", "FULLY_CONNECTED"}


@pytest.mark.parametrize("name", SECTIONS)
def test_file_has_the_biases_that_training_left(trained, name):
    found = set()
    for op, place, values, file in constants(trained(name)):
        if file.dtype in ENDS or place != 2:
            continue
        found.add(file.dtype)
        # Those of int64 have steps that are finer than float32; the file's steps are products rounded to float32.
        assert np.abs(file.values * file.scales - values).max() <= 2 * ULP * np.abs(values).max(), op
    whole = {
        "int16x8": {"int64"},
        "dynamic_int8": {"float32"},
        "weight_int4": {"float32"},
        "mixed": {"int32", "float32"},
    }
    assert found == whole.get(name, {"int32"})


@pytest.mark.parametrize("name", SECTIONS)
def test_file_has_the_ranges_that_were_trained(trained, name):
    one = trained(name)
    ranges, count = read_rounding(one.tuned.rounding).ranges, 0
    for op, twin in zip(ops_of(one.tuned.reference.path), ops_of(one.file), strict=True):
        if op.outputs[0] not in ranges:
            continue
        file, wanted = stored(one.file, twin.outputs[0]), ranges[op.outputs[0]]
        if file.dtype == "float32":  # an integer op reads it, through a QUANTIZE
            continue
        count += 1
        assert scale_of(wanted) == pytest.approx(float(file.scales.item()), rel=1e-6)
        least = (-127 if wanted.symmetric else -128 - file.zero) if wanted.bits == 8 else -32767
        assert wanted.low / file.scales.item() == pytest.approx(least, rel=1e-6, abs=1e-3)
    assert count == {"dynamic_int8": 0, "weight_int4": 0, "mixed": 3}.get(name, 12)


def test_training_moves_ranges_and_weights(trained):
    one = trained("full_int8")
    before, after = grids(one).ranges, read_rounding(one.tuned.rounding).ranges
    assert set(before) == set(after)
    moved = {number for number in after if abs(after[number].high / before[number].high - 1) > 1e-4}
    assert {number for number in after if after[number].free} == moved
    assert one.file.read_bytes() != one.draft.read_bytes()


def test_both_engines_draft_the_same_ranges(trained):
    both = [by_op(trained(name), grids(trained(name)).ranges) for name in ("full_int8", "full_int8 of ai_edge")]
    assert set(both[0]) == set(both[1])
    for op in ("DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "SOFTMAX"):
        assert both[0][op].high == pytest.approx(both[1][op].high, rel=0.02)


def test_what_is_put_together_has_one_range(trained):
    ranges = by_op(trained("full_int8"), grids(trained("full_int8")).ranges)
    assert len({ranges[op].group for op in ("CONCATENATION", "RESHAPE", "MAX_POOL_2D", "AVERAGE_POOL_2D")}) == 1
    assert ranges["SOFTMAX"].group != ranges["FULLY_CONNECTED"].group
    # ai-edge-quantizer turns one input of the concatenation into the scale of the other.
    ranges = by_op(trained("int8x4"), grids(trained("int8x4")).ranges)
    assert ranges["CONCATENATION"].group == ranges["MAX_POOL_2D"].group == ranges["RESHAPE"].group
    assert ranges["AVERAGE_POOL_2D"].group != ranges["CONCATENATION"].group


def test_symmetric_ranges_stay_symmetric(trained):
    ranges = by_op(trained("symmetric"), read_rounding(trained("symmetric").tuned.rounding).ranges)
    assert {op for op, one in ranges.items() if not one.symmetric} == {"SOFTMAX"}
    assert all(one.low == -one.high for one in ranges.values() if one.symmetric)


def test_dense_layers_have_one_scale_when_the_recipe_says_so(trained):
    scales = {(op, file.scales.size) for op, place, _, file in constants(trained("per-tensor dense")) if place == 1}
    assert scales == {("CONV_2D", 8), ("DEPTHWISE_CONV_2D", 8), ("FULLY_CONNECTED", 1)}


def test_only_what_integer_layers_read_or_put_out_is_rounded_when_schemes_are_mixed(trained):
    one = trained("mixed")
    assert set(by_op(one, read_rounding(one.tuned.rounding).ranges)) == {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD"}
    assert {file.dtype for op, place, _, file in constants(one) if op == "DEPTHWISE_CONV_2D"} == {"float32"}
