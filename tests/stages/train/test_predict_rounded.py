"""The fake-quantized network computes what its file computes, step for step."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.runtime.output_steps import output_steps
from tflite_pipeline.train.spec import Prune, Qat
from tflite_pipeline.train.tune.predict import BATCH, predict_rounded

pytestmark = pytest.mark.tf

TRAIN, TEST = slice(320), slice(640, 1400)
NETS = {
    "plain_conv": {"CONV_2D", "FULLY_CONNECTED", "SOFTMAX"},
    "everything": {"DEPTHWISE_CONV_2D", "ADD", "CONCATENATION", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESHAPE"},
    "two_by_two": {"CONCATENATION", "TANH"},
}
SECTIONS = {
    "full_int8": {"scheme": "full_int8"},
    "int8 io": {"scheme": "full_int8", "io": "int8"},
    "symmetric": {"scheme": "full_int8", "symmetric_activations": True},
    "int16x8": {"scheme": "int16x8"},
    "int8x4": {"scheme": "int8x4"},
    "weight_int8": {"scheme": "weight_int8"},
    "weight_int4": {"scheme": "weight_int4"},
}


@pytest.fixture(scope="module")
def samples(course):
    images, classes = importlib.import_module("tuning").digits()
    extra = np.random.default_rng(0).uniform(-1, 1, (len(images), 5)).astype(np.float32)

    def make(net, rows):
        if net != "two_by_two":
            return course.digits(rows)
        return course.samples({"zebra": images[rows], "apple": extra[rows]}, {"scores": classes[rows]})

    return make


@pytest.fixture(scope="module")
def compared(course, samples):
    """By output: how many steps of the file lie between both, of every value."""

    def run(net, section):
        spec, reference, train = Quantization(**section), course.reference(net), samples(net, TRAIN)
        draft = course.draft(spec, reference, train)
        tuned = course.tune(Qat(method="qat", epochs=1, learning_rate=0.003), (reference,), draft, train)
        file = course.file(spec, tuned)
        assert {op.name for op in read_graphs(file)[0].ops} >= NETS[net]
        steps = [step for _, step in sorted(output_steps(file).items())]
        pairs = zip(course.outputs(tuned, file, samples(net, TEST)), steps, strict=True)
        return [np.abs(one.astype(np.float64) - other) / (step or 2**-20) for (one, other), step in pairs]

    return run


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", ["full_int8", "symmetric"])
def test_outputs_are_those_of_the_file_within_one_step(compared, net, name):
    for apart in compared(net, SECTIONS[name]):
        assert (apart <= 1.01).mean() >= 0.999
        # From TANH to the concatenation of the third, a QUANTIZE changes the scale, less exactly than other kernels.
        assert (apart <= 0.01).mean() >= (0.9 if net == "two_by_two" else 0.99)


def test_dtype_of_the_border_changes_nothing(compared):
    (apart,) = compared("plain_conv", SECTIONS["int8 io"])
    assert (apart <= 1.01).mean() >= 0.999


@pytest.mark.parametrize("name", ["weight_int8", "weight_int4"])
def test_outputs_are_those_of_the_file_when_activations_are_float(compared, name):
    (apart,) = compared("everything", SECTIONS[name])
    assert apart.max() <= 2  # millionths


@pytest.mark.parametrize(
    ("net", "name"), [("everything", "int16x8"), ("two_by_two", "int16x8"), ("everything", "int8x4")]
)
def test_outputs_are_near_those_of_the_file_when_its_kernels_round_twice(compared, net, name):
    """XNNPACK has no kernels for these: those of LiteRT round a product to more bits, and then to the integer."""
    for apart in compared(net, SECTIONS[name]):
        assert (apart <= 2.01).mean() >= 0.99
        assert apart.max() <= 5


def test_last_batch_may_be_smaller_and_bytes_are_taken(course, workers):
    images, _ = importlib.import_module("tuning").digits()
    raw = np.rint((images[: BATCH + 3] + 1) * 8).astype(np.uint8)
    reference, train = course.reference("plain_conv"), course.digits(TRAIN)
    draft = course.draft(Quantization(scheme="full_int8"), reference, train)
    tuned = course.tune(Qat(method="qat", epochs=1), (reference,), draft, train)
    found = [
        workers.run("keras2", predict_rounded, tuned, course.samples({"": array}), course.place())
        for array in (raw, raw.astype(np.float32))
    ]
    arrays = [np.load(one.outputs["scores"]) for one in found]
    assert (arrays[0].shape, arrays[0].dtype) == ((BATCH + 3, 10), np.float32)
    assert np.array_equal(*arrays)
    assert (found[0].count, found[0].digest) == (BATCH + 3, found[1].digest)


def test_nothing_is_rounded_when_nothing_was_made_so(course):
    reference, train = course.reference("plain_conv"), course.digits(TRAIN)
    tuned = course.tune(Prune(method="prune", epochs=1), (reference,), None, train)
    ((rounded, computed),) = course.outputs(tuned, tuned.reference.path, train)
    np.testing.assert_allclose(rounded, computed, atol=1e-5)
