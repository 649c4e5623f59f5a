"""The trainable network of a reference: before training it computes what the reference and its draft compute."""

from __future__ import annotations

import numpy as np
import pytest

from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.grids import Range, read_grids, scale_of
from tflite_pipeline.train.tune.network import nudged
from tflite_pipeline.validate.interpreter import predict

pytestmark = pytest.mark.tf

NETS = ("everything", "two_by_two")


@pytest.fixture(scope="module")
def inputs(tuning):
    images, _ = tuning.digits()
    extra = np.random.default_rng(0).uniform(-1, 1, (64, 5)).astype(np.float32)
    return {"everything": {"image": images[:64]}, "two_by_two": {"zebra": images[:64], "apple": extra}}


def computed(course, file, arrays):
    done = course.workers.run("plain", predict, file, course.samples(arrays), 1, course.place())
    return [np.load(done.outputs[info.name]) for info in litert.describe(file)[1]]


@pytest.mark.parametrize("net", NETS)
def test_outputs_are_those_of_the_float_file_when_nothing_is_rounded(course, tuning, inputs, net):
    reference = course.reference(net)
    found = course.workers.run("keras2", tuning.untrained, reference, None, inputs[net])
    for output, wanted in zip(found["outputs"], computed(course, reference.path, inputs[net]), strict=True):
        np.testing.assert_allclose(output, wanted, atol=1e-5)
    assert "ranges" not in found["variables"]
    assert found["missing"] == 0


@pytest.mark.parametrize("net", NETS)
def test_outputs_are_near_those_of_the_draft_when_it_rounds(course, tuning, inputs, net):
    reference = course.reference(net)
    draft = course.draft(Quantization(scheme="full_int8"), reference, course.samples(inputs[net]))[0].path
    found = course.workers.run("keras2", tuning.untrained, reference, draft, inputs[net])
    outputs = zip(
        found["outputs"], computed(course, draft, inputs[net]), litert.describe(reference.path)[1], strict=True
    )
    for output, wanted, info in outputs:
        step = 1 / 256 if info.name in ("scores", "output_0") else np.ptp(wanted) / 255
        assert (np.abs(output - wanted) <= 2.01 * step).mean() > 0.98, info.name
    grids = read_grids(reference.path, draft, False)
    free = [one for one in grids.groups.values() if one.free]
    assert found["variables"]["ranges"].shape == (len(free), 2)
    assert not found["variables"]["ranges"].any()
    assert found["missing"] == 0
    assert set(found["ranges"]) == set(grids.ranges)
    for number, one in found["ranges"].items():
        assert scale_of(one) == pytest.approx(scale_of(grids.ranges[number]), rel=1e-6)


def test_any_batch_and_a_nameless_input_will_do(course, tuning, inputs):
    reference, images = course.reference("everything"), inputs["everything"]["image"]
    whole = course.workers.run("keras2", tuning.untrained, reference, None, images)["outputs"][0]
    parts = [
        course.workers.run("keras2", tuning.untrained, reference, None, images[rows])["outputs"][0]
        for rows in (slice(0, 1), slice(1, 8), slice(8, 64))
    ]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


@pytest.mark.parametrize(
    "one",
    [
        Range(8, -0.713, 1.9, False, 0, True),
        Range(8, 0.0, 1.0, False, 0, True),
        Range(8, -1.0, 0.0, False, 0, True),
        Range(16, -2.0, 2.0, True, 0, True),
        Range(8, -1.0, 1.5, True, 0, True),
    ],
)
def test_zero_is_on_the_grid_of_every_range(one):
    moved = nudged(one)
    zero = moved.low / scale_of(moved)
    assert zero == pytest.approx(round(zero), abs=1e-2 if one.bits == 16 else 1e-4)
    assert scale_of(moved) == pytest.approx(scale_of(one))
    assert abs(moved.low - one.low) <= 0.51 * scale_of(one) or one.symmetric
    assert nudged(moved).high == pytest.approx(moved.high)
    assert moved.low == -moved.high or not one.symmetric
