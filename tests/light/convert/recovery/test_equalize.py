"""Equalized channels: the outputs stay, a net whose channels were scaled is as good as before, caps are not reached."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import Reference, file_digest
from tflite_pipeline.convert.calibrate import calibrate
from tflite_pipeline.convert.recovery.channels import find_groups, scaled
from tflite_pipeline.convert.recovery.equalize import equalize
from tflite_pipeline.convert.recovery.extremes import largest, measure
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.answers import compute

DATA = Path(__file__).parents[3] / "data"
C = 6
IMAGE = (1, 8, 8, 3)
MAP = (1, 8, 8, C)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


@pytest.fixture
def images(make_samples):
    values = np.random.default_rng(0).uniform(-1, 1, (16, *IMAGE[1:])).astype(np.float32)
    return values, make_samples({"image": values[:8]})


def answers(path: Path, values: np.ndarray) -> np.ndarray:
    return next(iter(compute(path, {"": values}).values()))


def change(before: np.ndarray, after: np.ndarray) -> float:
    return float(np.abs(after - before).max() / np.abs(before).max())


def folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def two_layers(drawing, first, bias, second):
    """Two convolutions with RELU between, and the number of the tensor between."""
    net = drawing(IMAGE)
    made = net.conv(0, first, bias, MAP)
    return net.reference(net.conv(made, second, normal(4), (1, 8, 8, 4), fused=0)), made


def test_outputs_stay_on_samples_that_were_not_seen(conv_net, noise, tmp_path):
    found = equalize(conv_net, noise, 1, tmp_path)
    values = np.random.default_rng(5).uniform(-1, 1, (32, 8, 8, 1)).astype(np.float32)
    assert found.changed == 2
    assert change(answers(conv_net.path, values), answers(found.reference.path, values)) < 1e-5


def test_a_scaled_net_is_as_good_as_before_when_equalized(conv_net, noise, quantized, tmp_path):
    groups, _ = find_groups(conv_net.path)
    factors = {group: np.geomspace(1e-3, 1, group.size) for group in groups}
    spoilt = scaled(conv_net, factors, folder(tmp_path, "spoilt"))
    mended = equalize(spoilt, noise, 1, folder(tmp_path, "mended")).reference
    values = np.load(noise.inputs[""])
    exact, errors = answers(conv_net.path, values), []
    for place, reference in enumerate((conv_net, spoilt, mended)):
        limits = calibrate(reference, noise, 1, folder(tmp_path, f"ranges{place}"))
        errors.append(np.abs(answers(quantized(reference, limits, scheme="full_int8").path, values) - exact).max())
    plain, spoilt_error, mended_error = errors
    assert spoilt_error > 4 * plain
    assert mended_error < 1.5 * plain


def test_the_result_does_not_depend_on_how_channels_were_scaled(drawing, images, tmp_path):
    reference, made = two_layers(drawing, normal(C, 3, 3, 3), normal(C), normal(4, 3, 3, C))
    (group,), _ = find_groups(reference.path)
    other = scaled(reference, {group: np.geomspace(1, 1000, C)}, folder(tmp_path, "scaled"))
    reached = []
    for place, start in enumerate((reference, other)):
        out = folder(tmp_path, str(place))
        found = equalize(start, images[1], 1, out).reference
        reached.append(largest(measure(found, images[1], 1, [made], out))[made])
    one, two = (row / row.max() for row in reached)
    assert two == pytest.approx(one, rel=0.01)


def test_channels_reach_as_far_as_each_other_when_only_depthwise_filters_read_them(drawing, images, tmp_path):
    net = drawing(IMAGE)
    made = net.conv(0, normal(C, 3, 3, 3) * np.geomspace(0.01, 1, C)[:, None, None, None], np.zeros(C), MAP)
    reference = net.reference(net.depthwise(made, normal(1, 3, 3, C), normal(C), MAP))
    found = equalize(reference, images[1], 1, tmp_path).reference
    reached = largest(measure(found, images[1], 1, [made], tmp_path))[made]
    assert reached == pytest.approx(np.full(C, reached.max()), rel=0.01)


def test_dead_and_unread_channels_stay_finite(drawing, images, tmp_path):
    first, bias, second = normal(C, 3, 3, 3), normal(C), normal(4, 3, 3, C)
    first[0], bias[0] = 0, 0
    bias[1] = -1e3  # never passes its RELU
    second[..., 2] = 0
    first[3] *= 1e-30
    bias[3] = 0
    values, samples = images
    reference, _ = two_layers(drawing, first, bias, second)
    found = equalize(reference, samples, 1, tmp_path).reference
    after = answers(found.path, values)
    assert np.isfinite(after).all()
    assert change(answers(reference.path, values), after) < 1e-5


def test_no_cap_is_reached_by_scaling(drawing, images, tmp_path):
    values, samples = images
    net, sizes = drawing(IMAGE), np.geomspace(0.01, 1, C)
    made = net.conv(0, normal(C, 3, 3, 3) * sizes[:, None, None, None], np.zeros(C), MAP, fused=3)
    reference = net.reference(net.depthwise(made, normal(1, 3, 3, C), normal(C), MAP))
    before = largest(measure(reference, samples, 1, [made], tmp_path))[made]
    found = equalize(reference, samples, 1, tmp_path)
    after = largest(measure(found.reference, samples, 1, [made], tmp_path))[made]
    near = before > 3
    assert near.any()
    assert after[near] == pytest.approx(before[near])
    assert (after[~near] <= 3.001).all()
    assert after.min() > 10 * before.min()
    text = f"{near.sum()} of {C} channels with a RELU6 keep their scale: the samples come near to its cap."
    assert found.left == (text,)
    assert change(answers(reference.path, values), answers(found.reference.path, values)) < 1e-5


@pytest.mark.parametrize("name", ["float32", "float32_batch4", "float32_dynamic_batch"])
def test_files_of_any_batch_are_equalized(name, features, make_samples, tmp_path):
    path = DATA / f"{name}.tflite"
    reference = Reference(path, file_digest(path), *litert.describe(path), None, None, "tflite")
    found = equalize(reference, make_samples({"": features}), 2, tmp_path)
    assert found.changed == 1
    before, after = (answers(one, features) for one in (path, found.reference.path))
    assert change(before, after) < 1e-5
    assert found.reference.inputs == tuple(litert.describe(found.reference.path)[0])


def test_grouped_convolutions_keep_the_scale_of_what_they_read(drawing, images, tmp_path):
    values, samples = images
    net = drawing(IMAGE)
    made = net.conv(0, normal(C, 3, 3, 3), normal(C), MAP)
    grouped = net.conv(made, normal(C, 3, 3, C // 2), normal(C), MAP)
    reference = net.reference(net.conv(grouped, normal(4, 1, 1, C), normal(4), (1, 8, 8, 4), fused=0))
    found = equalize(reference, samples, 1, tmp_path)
    assert found.changed == 0
    assert found.left == ("layers whose channels keep their scale, since their kernels are shared or not plain: 1.",)
    assert np.array_equal(answers(reference.path, values), answers(found.reference.path, values))


def test_transposed_convolutions_are_equalized(drawing, images, tmp_path):
    values, samples = images
    net, shape, options = (
        drawing(IMAGE),
        (1, 16, 16, C),
        {"options": "TransposeConvOptions", "strideH": 2, "strideW": 2},
    )
    constants = net.integers(shape), net.floats(normal(C, 3, 3, C))
    made = net.conv(0, normal(C, 3, 3, 3), normal(C), MAP)
    wide = net.op("TRANSPOSE_CONV", (*constants, made, net.floats(normal(C))), shape, **options)
    reference = net.reference(net.conv(wide, normal(4, 1, 1, C), normal(4), (1, 16, 16, 4), fused=0))
    found = equalize(reference, samples, 1, tmp_path)
    assert (found.changed, found.left) == (2, ())
    assert change(answers(reference.path, values), answers(found.reference.path, values)) < 1e-5


def test_a_net_that_overflows_is_refused(drawing, images, tmp_path):
    reference, _ = two_layers(drawing, normal(C, 3, 3, 3) * 1e38, normal(C), normal(4, 3, 3, C))
    with pytest.raises(StageError, match="must hold finite numbers"):
        equalize(reference, images[1], 1, tmp_path)
