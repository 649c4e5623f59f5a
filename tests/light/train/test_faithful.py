"""Ops that cannot be trained are told together."""

from __future__ import annotations

import dataclasses

import pytest

from tflite_pipeline.artifacts import Reference
from tflite_pipeline.errors import StageError
from tflite_pipeline.train.tune.faithful import refuse
from tflite_pipeline.train.tune.graph import read_float_graph


def test_ops_that_cannot_train_are_told_at_once_with_their_layers_and_the_rest_counted(conv_net: Reference) -> None:
    graph = read_float_graph(conv_net.path)
    nodes = tuple(dataclasses.replace(node, name=f"STRANGE_{node.index}") for node in graph.nodes)
    layers = ("conv", "depthwise", "sum", "flat", "hidden", "scores")
    reference = dataclasses.replace(conv_net, layers=layers)
    with pytest.raises(StageError, match="cannot be trained on its graph") as caught:
        refuse(reference, dataclasses.replace(graph, nodes=nodes))
    for number, layer in enumerate(layers[:5]):
        assert f"STRANGE_{number} " in caught.value.what
        assert layer in caught.value.what
    assert "and 2 more" in caught.value.what
    assert "leave out the training steps prune, cluster and qat" in caught.value.remedy


def test_nothing_is_told_when_every_op_can_train(conv_net: Reference) -> None:
    refuse(conv_net, read_float_graph(conv_net.path))
