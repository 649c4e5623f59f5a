"""A model in; what it takes, gives and holds out. Runs in a worker process of the model's Keras."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import KerasModel
from tflite_pipeline.convert.export import load_saved_model
from tflite_pipeline.errors import StageError
from tflite_pipeline.inspecting import look
from tflite_pipeline.model.border import argument_names, input_shapes, output_names
from tflite_pipeline.model.identify import read_keras_file
from tflite_pipeline.model.load import open_model
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.runtime.tensorflow import keras, tensorflow
from tflite_pipeline.starter.looks import ModelLook, Port, Steps

_ENDINGS = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid", "Softmax": "softmax", "Sigmoid": "sigmoid"}
"""Ops of LiteRT and of TensorFlow that say what an output is."""
_SCALING = ("Rescaling", "Normalization")
_PASSING = frozenset({"Identity", "Reshape", "RESHAPE", "Squeeze", "StatefulPartitionedCall", "PartitionedCall"})
"""Ops that change no number."""
_DULL = frozenset({"InputLayer"})


def look_at_keras(model: KerasModel) -> ModelLook:
    """Open the model and look at its border, its layers, and what scales its input.

    Raises StageError where it cannot be opened or has no fixed inputs.
    """
    live = open_model(model)
    inputs = [
        Port(name, shape[1:], _dtype(tensor))
        for (name, shape), tensor in zip(input_shapes(live).items(), live.inputs, strict=True)
    ]
    names = argument_names(output_names(live))
    outputs = [
        Port(name, tuple(tensor.shape)[1:], _dtype(tensor), _ending(_maker(tensor)))
        for name, tensor in zip(names, live.outputs, strict=True)
    ]
    layers = [layer for layer in _layers(live) if type(layer).__name__ not in _DULL]
    kind = f"Keras {_saved_by(model)} model"
    if model.source == "application":
        kind = f"keras.applications.{model.spec['name']}"
    return ModelLook(
        kind=kind,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        layers=dict(Counter(type(layer).__name__ for layer in layers).most_common()),
        parameters=live.count_params(),
        scaling=tuple(_scaling_text(layer) for layer in layers if type(layer).__name__ in _SCALING),
        wanted=_wanted(model) if model.source == "application" else None,
    )


def _dtype(tensor: Any) -> str:
    return str(tensorflow().as_dtype(tensor.dtype).name)


def _saved_by(model: KerasModel) -> str:
    path = model.spec.get("path")
    return read_keras_file(Path(path))[0] if path else str(keras(model.generation).__version__)


def _maker(tensor: Any) -> Any:
    history = getattr(tensor, "_keras_history", None)
    return getattr(history, "operation", None) or getattr(history, "layer", None)


def _ending(layer: Any) -> str:
    """Name the function that a layer ends with; empty where it has none or that cannot be seen."""
    inner = getattr(layer, "layers", None)
    if inner:
        return _ending(inner[-1])
    activation = getattr(layer, "activation", None)
    if activation is not None:
        return str(getattr(activation, "__name__", ""))
    return "softmax" if type(layer).__name__ == "Softmax" else ""


def _layers(live: Any) -> Iterator[Any]:
    for layer in live.layers:
        if getattr(layer, "layers", None):
            yield from _layers(layer)
        else:
            yield layer


def _scaling_text(layer: Any) -> str:
    if type(layer).__name__ == "Rescaling":
        factor, offset = np.asarray(layer.scale), np.asarray(layer.offset)
        if factor.size == offset.size == 1:
            return f"Rescaling '{layer.name}', x * {float(factor):g} + {float(offset):g}"
    return f"{type(layer).__name__} '{layer.name}'"


def _wanted(model: KerasModel) -> Steps | None:
    """Find out by trying what the architecture's own `preprocess_input` computes; None where it is no such thing."""
    build = getattr(keras(model.generation).applications, model.spec["name"])
    prepare = getattr(sys.modules.get(build.__module__), "preprocess_input", None)
    if prepare is None:
        return None
    pixels = np.zeros((4, 1, 1, 3), np.float32)
    pixels[1:, 0, 0] = 255 * np.eye(3, dtype=np.float32)
    black, *colours = np.asarray(prepare(pixels.copy()), np.float64).reshape(4, 3)
    return _as_steps(np.stack(colours).T - black[:, None], black)


def _as_steps(span: Any, offset: Any) -> Steps | None:
    """Write as steps what makes of a channel's 0 `offset` and of its 255 `span` more; `span` is by new, old channel."""
    order = np.abs(span).argmax(axis=1)
    if sorted(order) != [0, 1, 2] or np.count_nonzero(np.abs(span) > 1e-6) != 3:
        return None
    factor = span[np.arange(3), order] / 255
    swapped: Steps = ({"channel_order": {"order": "bgr"}},) if list(order) == [2, 1, 0] else ()
    if np.ptp(factor) < 1e-9 and np.ptp(offset) < 1e-6:
        scale = {"factor": _short(factor[0]), "offset": _short(offset[0])}
        return swapped if (scale["factor"], scale["offset"]) == (1, 0) else (*swapped, {"scale": scale})
    mean, std = [_short(value) for value in -offset / factor], [_short(value) for value in 1 / factor]
    return (*swapped, {"normalize": {"mean": mean, "std": std}})


def _short(value: float) -> float:
    """Cut off what float32 made of a number; as many digits stay as change anything."""
    return float(f"{value:.7g}")


def look_at_saved_model(path: str) -> ModelLook:
    """Look at the border of the signature that would be converted; its layers are not in the file."""
    loaded = load_saved_model(path)
    if not loaded.signatures:
        raise StageError(f"the SavedModel '{path}' has no signature.", "Export the model by Keras: model.export(path).")
    key = "serving_default" if "serving_default" in loaded.signatures else sorted(loaded.signatures)[0]
    signature = loaded.signatures[key]
    taken = signature.structured_input_signature[1]
    given = signature.structured_outputs
    endings = _endings(signature, list(given))
    return ModelLook(
        kind="TensorFlow SavedModel",
        inputs=tuple(Port(name, _inner(spec), spec.dtype.name) for name, spec in taken.items()),
        outputs=tuple(Port(name, _inner(spec), spec.dtype.name, endings[name]) for name, spec in given.items()),
        parameters=sum(int(np.prod(variable.shape)) for variable in getattr(loaded, "variables", ())) or None,
        signature=key,
    )


def _inner(spec: Any) -> tuple[int | None, ...]:
    return tuple(spec.shape)[1:]


def _endings(signature: Any, names: list[str]) -> dict[str, str]:
    """Follow each output back through what changes no number, into functions that are called, to the op it is from."""
    functions = {function.signature.name: function for function in signature.graph.as_graph_def().library.function}
    found = [_origin(tensor.op, tensor.value_index, functions) for tensor in signature.outputs]
    # TensorFlow flattens a dict in the order of its keys.
    return dict(zip(sorted(names), found, strict=True)) if len(found) == len(names) else dict.fromkeys(names, "")


def _origin(op: Any, index: int, functions: dict[str, Any]) -> str:
    while op.type in _PASSING and op.inputs:
        if op.type.endswith("PartitionedCall"):
            return _origin_in(functions.get(op.get_attr("f").name), index, functions)
        op, index = op.inputs[0].op, op.inputs[0].value_index
    return _ENDINGS.get(op.type, "")


def _origin_in(function: Any, index: int, functions: dict[str, Any]) -> str:
    if function is None or index >= len(function.signature.output_arg):
        return ""
    nodes = {node.name: node for node in function.node_def}
    name = function.ret[function.signature.output_arg[index].name]
    while True:
        word, _, rest = name.partition(":")
        node = nodes.get(word)
        if node is None:
            return ""
        if node.op.endswith("PartitionedCall"):
            inner = rest.split(":")[-1]
            return _origin_in(functions.get(node.attr["f"].func.name), int(inner) if inner else 0, functions)
        if node.op not in _PASSING:
            return _ENDINGS.get(node.op, "")
        name = node.input[0]


def look_at_tflite(path: Path) -> tuple[ModelLook, str]:
    """Look at a file that may be damaged; give its scheme too."""
    told = look(path).told
    graph = read_graphs(path)[0]
    makers = {index: op for op in graph.ops for index in op.outputs}
    endings = [_ending_op(makers, index) for index in sorted(graph.outputs)]
    found = ModelLook(
        kind=".tflite file",
        inputs=tuple(_port(row) for row in told["inputs"]),
        outputs=tuple(
            _port(row, endings[number] if len(endings) == 1 else "") for number, row in enumerate(told["outputs"])
        ),
        layers=dict(Counter(op.name for op in graph.ops).most_common()),
    )
    return found, told["scheme"]


def _ending_op(makers: dict[int, Any], index: int) -> str:
    while index in makers and makers[index].name in _PASSING:
        index = makers[index].inputs[0]
    return _ENDINGS.get(makers[index].name, "") if index in makers else ""


def _port(row: dict[str, Any], ending: str = "") -> Port:
    return Port(row["name"], tuple(size if size >= 0 else None for size in row["shape"][1:]), row["dtype"], ending)
