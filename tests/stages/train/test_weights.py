"""Which constants of a graph train, in which units, and what binds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import Reference, file_digest
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.grids import Steps, best_fractions
from tflite_pipeline.train.tune.clusters import Clusters
from tflite_pipeline.train.tune.graph import read_float_graph
from tflite_pipeline.train.tune.weights import FINE_BITS, Bonds, kernels, trainable

pytestmark = pytest.mark.tf

DATA = Path(__file__).parents[2] / "data"
PATH = DATA / "conv_net.tflite"
CONV, DEPTHWISE, BIAS, HIDDEN, HIDDEN_BIAS, SCORES, SCORES_BIAS = 7, 3, 8, 5, 1, 4, 2


@pytest.fixture(scope="module")
def reference():
    return Reference(PATH, file_digest(PATH), *litert.describe(PATH), None, None, "tflite")


@pytest.fixture(scope="module")
def graph():
    return read_float_graph(PATH)


def images():
    return np.random.default_rng(0).uniform(-1, 1, (16, 8, 8, 1)).astype(np.float32)


def test_weights_and_biases_train_and_shapes_do_not(graph):
    assert trainable(graph) == sorted([CONV, DEPTHWISE, BIAS, HIDDEN, HIDDEN_BIAS, SCORES, SCORES_BIAS])
    assert kernels(graph) == sorted([CONV, HIDDEN, SCORES])


def test_tables_and_scales_train(graph):
    found = read_float_graph(DATA / "lookup.tflite")
    shapes = [found.constants[number].shape for number in trainable(found)]
    assert shapes
    assert all(np.prod(shape) > 1 for shape in shapes)
    assert kernels(found) == []


def test_kernels_count_in_the_largest_weight_of_each_channel(course, tuning, reference):
    variables = course.workers.run("keras2", tuning.untrained, reference, None, images())["variables"]
    for number, axes in ((CONV, (1, 2, 3)), (DEPTHWISE, (0, 1, 2)), (HIDDEN, (1,)), (SCORES, (1,))):
        np.testing.assert_allclose(np.abs(variables[f"w{number}"]).max(axis=axes), 1, rtol=1e-6)
    assert set(variables) == {f"w{number}" for number in (1, 2, 3, 4, 5, 7, 8)}


def test_what_did_not_train_is_what_the_file_had(course, tuning, reference, graph):
    final = course.workers.run("keras2", tuning.untrained, reference, None, images())["final"]
    assert set(final) == set(trainable(graph))
    for number, values in final.items():
        np.testing.assert_allclose(values, graph.constants[number], rtol=3e-7)


def test_fractions_train_where_steps_are_few(course, tuning, reference, graph):
    draft = course.draft(Quantization(scheme="int8x4"), reference, course.samples({"": images()}))[0].path
    found = course.workers.run("keras2", tuning.untrained, reference, draft, images())
    fractions = {name: values for name, values in found["variables"].items() if name.startswith("fraction")}
    assert {name: values.shape for name, values in fractions.items()} == {
        f"fraction{CONV}": (8, 1, 1, 1),
        f"fraction{HIDDEN}": (12, 1),
        f"fraction{SCORES}": (4, 1),
    }
    assert all(((values >= 0.5) & (values <= 1)).all() for values in fractions.values())
    for number in (CONV, HIDDEN, SCORES):
        assert len(np.unique(found["final"][number][0])) <= 15


@pytest.mark.parametrize("axis", [0, None])
def test_best_fraction_leaves_the_least_error(graph, axis):
    values, steps = graph.constants[HIDDEN], Steps(FINE_BITS, 7, axis, True)
    found = best_fractions(values, steps)
    assert found.shape == ((12, 1) if axis == 0 else (1, 1))

    def error(fraction):
        scale = np.abs(values).max(axis=None if axis is None else 1, keepdims=True) / 7 * fraction
        return np.square(np.clip(np.rint(values / scale), -7, 7) * scale - values).sum(
            axis=None if axis is None else 1, keepdims=True
        )

    for other in np.linspace(0.5, 1, 26):
        assert (error(found) <= error(other) * (1 + 1e-4)).all()
    assert (found < 1).any()


def test_masked_weights_are_zero_and_the_others_what_they_were(course, tuning, reference, graph):
    mask = (np.random.default_rng(0).random(graph.constants[HIDDEN].shape) < 0.5).astype(np.float32)
    final, names = course.workers.run("keras2", tuning.bound, reference, Bonds({HIDDEN: mask}))
    np.testing.assert_allclose(final[HIDDEN], graph.constants[HIDDEN] * mask, rtol=3e-7)
    assert not np.signbit(final[HIDDEN][mask == 0]).any()
    assert f"mask{HIDDEN}" not in names
    assert f"w{HIDDEN}" in names


@pytest.mark.parametrize("members_move", [False, True])
def test_clustered_weights_have_the_values_of_their_centroids(course, tuning, reference, graph, members_move):
    values, centroids = graph.constants[HIDDEN], np.array([-0.2, 0.01, 0.3], np.float32)
    nearest = np.abs(values[..., None] - centroids).argmin(-1)
    shared = Clusters(centroids, (nearest + 1).astype(np.int32))
    final, names = course.workers.run(
        "keras2", tuning.bound, reference, Bonds(clusters={HIDDEN: shared}, members_move=members_move)
    )
    np.testing.assert_allclose(final[HIDDEN], centroids[nearest], rtol=1e-6)
    assert f"centroids{HIDDEN}" in names
    assert (f"w{HIDDEN}" in names) == members_move
