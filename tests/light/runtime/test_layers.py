"""Names of layers out of the names that TensorFlow and the converter give to tensors."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.graph import Graph, Op, Tensor, read_graphs
from tflite_pipeline.runtime.layers import fits, layers_at, layers_of, refuse_strangers
from tflite_pipeline.spec import Selector

DATA = Path(__file__).parents[2] / "data"
LAYERS = ("image", "conv", "spread", "conv_1", "twin", "add", "flat", "wide", "narrow", "scores")
FLOAT, TAIL = "audit_float32", "audit_full_int8_float_tail"


def chain(*outputs: str, constants: Collection[str] = (), titles: Collection[str] = ()) -> Graph:
    """One ADD after the other, each with these constants; `titles` are of the last one."""
    names = [*constants, "input", *outputs]
    tensors = tuple(Tensor(name, "float32", (1,), "", name in constants, False) for name in names)
    first, fixed = len(constants), tuple(range(len(constants)))
    ops = tuple(Op(i, "ADD", False, (first + i, *fixed), (first + i + 1,)) for i in range(len(outputs)))
    last = len(names) - 1
    return Graph(0, tensors, ops, frozenset({first}), frozenset({last}), dict.fromkeys([last] * len(titles), *titles))


def read(name: str) -> Graph:
    return read_graphs(DATA / f"{name}.tflite")[0]


@pytest.mark.parametrize(
    ("tensor", "layers", "found"),
    [
        ("functional_1/conv_1/BiasAdd", ["conv"], ["conv"]),
        ("functional_1/conv_1_2/BiasAdd", ["conv", "conv_1"], ["conv_1"]),
        ("model/conv/BiasAdd", ["conv", "conv_1"], ["conv"]),
        (
            "functional_1/act_1/Relu;functional_1/bn_1/batchnorm/add_1;functional_1/c_1/convolution;1",
            "act bn c",
            "act bn c",
        ),
        ("functional_1/body_1/conv_1/BiasAdd;functional_1/body_1/conv_1/convolution", ["body", "conv"], ["conv"]),
        ("functional_1/bn_1/batchnorm/add_1", ["add", "bn"], ["bn"]),
        ("functional_1/add_1/Add", ["add"], ["add"]),
        ("scores", ["scores"], ["scores"]),
        ("scores_1", ["scores", "scores_1"], ["scores_1"]),
        ("StatefulPartitionedCall:0", ["conv"], []),
        ("arith.constant", [], []),
        ("", ["conv"], []),
    ],
)
def test_a_tensor_s_name_tells_its_layers(tensor: str, layers: list[str] | str, found: list[str] | str) -> None:
    names = layers.split() if isinstance(layers, str) else layers
    assert layers_of(tensor, names) == (found.split() if isinstance(found, str) else found)


def test_a_number_is_a_call_or_part_of_the_name_as_the_whole_graph_tells() -> None:
    layers = ("conv", "conv_1", "relu")
    keras3 = chain("functional_1/conv_1/BiasAdd", "functional_1/conv_1_2/BiasAdd", "functional_1/relu_1/Relu")
    assert [layers_at(keras3, op, layers) for op in keras3.ops] == [["conv"], ["conv_1"], ["relu"]]
    keras2 = chain("model/conv/BiasAdd", "model/conv_1/BiasAdd", "model/relu/Relu")
    assert [layers_at(keras2, op, layers) for op in keras2.ops] == [["conv"], ["conv_1"], ["relu"]]


def test_every_op_of_a_converted_model_has_its_layers() -> None:
    graph = read(FLOAT)
    assert [layers_at(graph, op, LAYERS) for op in graph.ops] == [
        ["conv"],
        ["spread"],
        ["conv_1"],
        ["twin"],
        ["add"],
        ["flat"],
        ["wide"],
        ["narrow"],
        ["scores"],
    ]


def test_the_last_op_is_found_by_its_weights_when_its_output_tells_nothing() -> None:
    graph = chain("PartitionedCall:0", constants=["arith.constant", "functional_1/scores_1/MatMul"])
    assert layers_at(graph, graph.ops[0], ["scores", "conv"]) == ["scores"]


def test_the_last_op_is_found_by_the_name_of_the_output_when_it_has_no_weights() -> None:
    graph = chain("functional_1/conv_1/BiasAdd", "PartitionedCall:0", titles=["scores"])
    assert layers_at(graph, graph.ops[1], ["scores", "conv"]) == ["scores"]


def test_weights_tell_nothing_where_the_output_does() -> None:
    graph = chain("functional_1/conv_1/BiasAdd", constants=["functional_1/other_1/MatMul"])
    assert layers_at(graph, graph.ops[0], ["other", "conv"]) == ["conv"]


@pytest.mark.parametrize(
    ("keys", "ops"),
    [
        ({"op": "CONV_2D"}, [0, 2, 3]),
        ({"layer": "conv"}, [0]),
        ({"layer": "conv_1"}, [2]),
        ({"layer": "scores"}, [8]),
        ({"tensor": "*/conv_1/*"}, [0]),
        ({"tensor": "StatefulPartitionedCall:0"}, [8]),
        ({"tensor": "scores"}, [8]),
        ({"tensor": "conv"}, []),
        ({"tensor": "*Relu*"}, [0, 2, 6]),
    ],
)
def test_a_selector_fits_ops_of_its_kind(keys: dict[str, str], ops: list[int]) -> None:
    graph = read(FLOAT)
    assert [op.index for op in graph.ops if fits(Selector(**keys), graph, op, LAYERS)] == ops


def test_a_pattern_fits_the_op_whose_name_a_dequantize_took() -> None:
    graph = read("full_int8_float_io")
    fit = [op.name for op in graph.ops if fits(Selector(tensor="StatefulPartitionedCall:0"), graph, op, ())]
    assert fit == ["SOFTMAX"]


def test_inserted_ops_bear_no_name_of_a_layer() -> None:
    graph = read(TAIL)
    named = [op.name for op in graph.ops if layers_at(graph, op, LAYERS)]
    assert named.count("QUANTIZE") == named.count("DEQUANTIZE") == 0
    assert len(named) == 9


def test_selectors_that_fit_are_not_refused() -> None:
    refuse_strangers([Selector(layer="conv"), Selector(op="SOFTMAX")], [read(FLOAT)], LAYERS, "rules")


@pytest.mark.parametrize(
    ("keys", "layers", "remedy"),
    [
        ({"layer": "spred"}, LAYERS, "There is no layer 'spred'. Did you mean 'spread'?"),
        (
            {"layer": "xyz"},
            LAYERS,
            "There is no layer 'xyz'. There are 'add', 'conv', 'conv_1', 'flat', 'image', 'narrow' and 4 more.",
        ),
        (
            {"layer": "image"},
            LAYERS,
            "No op bears the name of layer 'image': it became none, or lost the name; name its op or tensor.",
        ),
        ({"layer": "conv"}, (), "No Keras layers are known of this model: name ops or tensors."),
        ({"op": "SOFTMX"}, LAYERS, "There is no op 'SOFTMX'. Did you mean 'SOFTMAX'?"),
        (
            {"op": "LSTM"},
            LAYERS,
            "There is no op 'LSTM'. There are 'ADD', 'CONV_2D', 'DEPTHWISE_CONV_2D', 'FULLY_CONNECTED', 'RESHAPE', "
            "'SOFTMAX'.",
        ),
        (
            {"tensor": "nothing*"},
            LAYERS,
            "No op has an output of that name; one has 'functional_1/conv_1/Relu;functional_1/conv_1/convolution'.",
        ),
    ],
)
def test_a_selector_that_fits_no_op_is_refused(keys: dict[str, str], layers: Collection[str], remedy: str) -> None:
    with pytest.raises(StageError) as told:
        refuse_strangers([Selector(op="ADD"), Selector(**keys)], [read(FLOAT)], layers, "quantization.rules")
    (name, value), *_ = keys.items()
    expected = f"every entry of quantization.rules must fit an op of the reference. Got {name} '{value}'."
    assert (told.value.what, told.value.remedy) == (expected, remedy)


def test_all_selectors_that_fit_nothing_are_told_at_once() -> None:
    with pytest.raises(StageError) as told:
        refuse_strangers([Selector(layer="spred"), Selector(op="SOFTMX")], [read(FLOAT)], LAYERS, "rules")
    assert told.value.what.endswith("Got layer 'spred', op 'SOFTMX'.")
    assert told.value.remedy.count("Did you mean") == 2
