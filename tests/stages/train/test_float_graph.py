"""Whole networks: the same outputs as LiteRT for any batch, a gradient for every weight, values that are replaced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import KerasModel
from tflite_pipeline.convert.export import export
from tflite_pipeline.runtime import litert
from tflite_pipeline.train.tune.graph import read_float_graph, refusals

pytestmark = pytest.mark.tf
DATA = Path(__file__).parents[2] / "data"
NETS = [
    *(f"float_nets:{name}" for name in ("transformer", "patches", "sequence", "u_net", "unrolled", "frames", "groups")),
    *(f"architectures:{name}" for name in ("resnet8", "ds_cnn", "two_inputs", "rescaled")),
]


def feeds_of(path, batch):
    """Make noise for each input; integers are the numbers 0 to 4."""
    noise = np.random.default_rng(0)
    for info in litert.describe(path)[0]:
        shape = (batch, *info.shape[1:])
        whole = np.dtype(info.dtype).kind == "i"
        yield (noise.integers(0, 5, shape) if whole else noise.uniform(-1, 1, shape)).astype(info.dtype)


def check(path, one_by_one):
    """Compare outputs with LiteRT, traced once for every batch, and ask for the gradient of every weight."""
    import tensorflow as tf

    graph = read_float_graph(path)
    assert refusals(graph) == []
    floats = {n: values for n, values in graph.constants.items() if values.dtype.kind == "f" and values.size}
    variables = {number: tf.Variable(tf.cast(values, tf.float32)) for number, values in floats.items()}
    feeds = list(feeds_of(path, 3))

    @tf.function(input_signature=[tf.TensorSpec((None, *feed.shape[1:]), feed.dtype) for feed in feeds])
    def step(*inputs):
        with tf.GradientTape() as tape:
            weights = {number: tf.cast(variables[number], floats[number].dtype) for number in variables}
            outputs = graph(inputs, weights)
            loss = tf.add_n([tf.reduce_sum(tf.square(output)) for output in outputs])
        return outputs, [gradient is None for gradient in tape.gradient(loss, list(variables.values()))]

    for batch in (3, 1):
        part = [feed[:batch] for feed in feeds]
        outputs, lacking = step(*part)
        assert not any(lacking)
        for got, expected in zip(outputs, one_by_one(path, part), strict=True):
            np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    return graph


@pytest.mark.parametrize("name", ["conv_net", "float16", "float32", "float32_dynamic_batch", "two_by_two", "upscale"])
def test_a_stored_file_equals_litert(name, one_by_one):
    check(DATA / f"{name}.tflite", one_by_one)


@pytest.mark.parametrize("function", NETS)
def test_a_network_equals_litert(workers, tmp_path, function, one_by_one):
    model = KerasModel("factory", {"function": function, "arguments": {}}, 3, "", 0)
    check(workers.run("keras3", export, model, 1, None, 0, tmp_path).path, one_by_one)


@pytest.mark.parametrize("name", ["keyword_spotting/kws.h5", "image_classification/resnet8.h5"])
def test_a_trained_network_equals_litert(workers, shared_data, tmp_path, name, one_by_one):
    model = KerasModel("keras_file", {"path": str(shared_data / name)}, 2, "", 0)
    check(workers.run("keras2", export, model, 1, None, 0, tmp_path).path, one_by_one)


def test_the_observer_sees_inputs_and_results_and_may_replace_them():
    import tensorflow as tf

    graph = read_float_graph(DATA / "conv_net.tflite")
    (feed,) = feeds_of(DATA / "conv_net.tflite", 2)
    seen = {}

    def observe(number, value):
        seen[number] = value.numpy()
        return tf.zeros_like(value) if number == graph.nodes[-2].outputs[0] else value

    (output,) = graph([feed], observe=observe)
    assert list(seen) == [*graph.inputs, *(node.outputs[0] for node in graph.nodes)]
    # Behind the activation that is fused into the convolution.
    assert seen[graph.nodes[0].outputs[0]].min() == 0
    np.testing.assert_allclose(output.numpy(), np.full((2, 4), 0.25), atol=1e-7)


def test_a_constant_is_replaced():
    graph = read_float_graph(DATA / "float32.tflite")
    weights = graph.nodes[1].inputs[1]
    (feed,) = feeds_of(DATA / "float32.tflite", 2)
    (output,) = graph([feed], {weights: np.zeros(graph.shapes[weights], np.float32)})
    np.testing.assert_allclose(output.numpy(), np.full((2, 4), 0.25), atol=1e-7)


def test_a_kernel_without_all_gradients_is_computed_otherwise(workers, tmp_path, monkeypatch, one_by_one):
    from tflite_pipeline.train.tune import ops_conv

    monkeypatch.setattr(ops_conv, "_has_all_gradients", lambda tf: False)
    model = KerasModel("factory", {"function": "float_nets:groups", "arguments": {}}, 3, "", 0)
    check(workers.run("keras3", export, model, 1, None, 0, tmp_path).path, one_by_one)
