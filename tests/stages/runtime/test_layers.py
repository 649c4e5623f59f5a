"""What Keras and the converter call the tensors of a layer, and that the layer is found again by it."""

from __future__ import annotations

import pytest

from tflite_pipeline.artifacts import KerasModel
from tflite_pipeline.convert.export import export
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.runtime.layers import layers_at

pytestmark = pytest.mark.tf


@pytest.mark.parametrize(("kind", "generation"), [("keras3", 3), ("keras2", 2)])
def test_every_op_is_told_by_its_layers(workers, tmp_path, kind, generation) -> None:
    spec = {"function": f"named_layers:{kind}", "arguments": {}}
    model = KerasModel("factory", spec, generation, kind, 0)
    reference = workers.run(kind, export, model, 1, None, 0, tmp_path)
    (graph,) = read_graphs(reference.path)
    told = [(op.name, sorted(layers_at(graph, op, reference.layers))) for op in graph.ops]
    assert told == [
        ("CONV_2D", ["conv_1", "norm", "relu"]),
        ("DEPTHWISE_CONV_2D", ["conv"]),
        ("CONV_2D", ["conv_2"]),
        ("CONV_2D", ["conv_3"]),
        ("ADD", ["add"]),
        ("RESHAPE", ["flat"]),
        ("FULLY_CONNECTED", ["twice"]),
        ("FULLY_CONNECTED", ["twice"]),
        ("FULLY_CONNECTED", ["scores"]),
        ("SOFTMAX", ["shares"]),
    ]
