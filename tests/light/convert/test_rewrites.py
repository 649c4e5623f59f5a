"""Ops that quantizers fail at are replaced; what the file computes, and the names of its tensors, stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tflite_pipeline.convert.folding import fold
from tflite_pipeline.convert.rewrites import REWRITES, rewritten
from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.graph import Graph, read_graphs

SHAPE = (1, 4, 6)
Array = np.ndarray
Written = tuple[str, Sequence[Any], str]
"""An op: its name, what it reads (names, or arrays of constants), and the name of what it makes."""

OPTIONS = {
    "ADD_N": {},
    "CONV_2D": {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "padding": 1},
    "DEPTHWISE_CONV_2D": {"strideH": 1, "strideW": 1, "depthMultiplier": 2, "padding": 1},
    "FULLY_CONNECTED": {"keepNumDims": True},
    "CAST": {"inDataType": schema.TensorType.BOOL, "outDataType": schema.TensorType.FLOAT32},
    "GREATER": {},
    "NEG": {},
    "POW": {},
    "SELECT": {},
    "SELECT_V2": {},
    "SPLIT": {"numSplits": 3},
    "SPLIT_V": {"numSplits": 3},
    "SQUARE": {},
}
TITLES = {"ADD_N": "AddN", "SELECT_V2": "SelectV2", "SPLIT_V": "SplitV", "REVERSE_V2": "ReverseV2"}
TITLES |= {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "FULLY_CONNECTED": "FullyConnected"}
TITLES |= {"MINIMUM": "MaximumMinimum", "MAXIMUM": "MaximumMinimum"}


class Writer:
    """A file that is written op by op."""

    def __init__(self, *inputs: str, dtype: str = "FLOAT32", shape: Sequence[int] = SHAPE) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs, self.model.buffers = 3, [self.graph], [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph.tensors, self.graph.operators, self.names = [], [], {}
        self.graph.inputs = [self.tensor(name, shape, dtype) for name in inputs]

    def tensor(self, name: str, shape: Sequence[int], dtype: str = "FLOAT32", values: Array | None = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), list(shape), getattr(schema.TensorType, dtype)
        tensor.buffer = 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        self.names[name] = len(self.graph.tensors) - 1
        return self.names[name]

    def constant(self, values: Array) -> int:
        return self.tensor(f"constant{len(self.names)}", values.shape, values.dtype.name.upper(), values)

    def op(
        self, name: str, inputs: Sequence[Any], *outputs: str, shape: Sequence[int] = SHAPE, **options: Any
    ) -> Writer:
        code, op = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        self.model.operatorCodes.append(code)
        op.opcodeIndex = len(self.model.operatorCodes) - 1
        op.inputs = [self.names[i] if isinstance(i, str) else self.constant(i) for i in inputs]
        dtype = "BOOL" if name == "GREATER" else "FLOAT32"
        op.outputs = [self.tensor(output, shape, dtype) for output in outputs]
        title = TITLES.get(name, name.capitalize()) + "Options"
        if hasattr(schema, f"{title}T"):
            op.builtinOptionsType = getattr(schema.BuiltinOptions, title)
            op.builtinOptions = getattr(schema, f"{title}T")()
            vars(op.builtinOptions).update(OPTIONS.get(name, {}) | options)
        self.graph.operators.append(op)
        return self

    def finish(self, *outputs: str) -> bytes:
        self.graph.outputs = [self.names[name] for name in outputs]
        return flatbuffer.pack(self.model)


def number(value: float) -> Array:
    return np.array(value, np.float32)


def integers(*values: int) -> Array:
    return np.array(values, np.int32)


def axis(value: int) -> Array:
    return np.array(value, np.int32)


def one(name: str, *more: Any) -> Callable[[], bytes]:
    return lambda: Writer("x").op(name, ["x", *more], "layer/out").finish("layer/out")


def sum_of_three() -> bytes:
    file = Writer("x").op("ABS", ["x"], "a").op("RELU", ["x"], "b")
    return file.op("ADD_N", ["x", "a", "b"], "layer/out").finish("layer/out")


def flags() -> bytes:
    return Writer("x").op("GREATER", ["x", number(0)], "f").op("CAST", ["f"], "layer/out").finish("layer/out")


def chosen(op: str) -> Callable[[], bytes]:
    def make() -> bytes:
        file = Writer("x").op("GREATER", ["x", number(0)], "f").op("ABS", ["x"], "a")
        return file.op(op, ["f", "x", "a"], "layer/out").finish("layer/out")

    return make


def clipped(op: str) -> Callable[[], bytes]:
    def make() -> bytes:
        file = Writer("x").op("RELU", ["x"], "a").op(op, ["x", number(0.5)], "b")
        return file.op("ADD", ["a", "b"], "layer/out").finish("layer/out")

    return make


def halves(op: str, *operands: Any) -> Callable[[], bytes]:
    """The second of three parts is read by none."""

    def make() -> bytes:
        parts = ("layer/p0", "layer/p1", "layer/p2")
        file = Writer("x").op(op, operands, *parts, shape=(1, 4, 2))
        return file.op("ADD", [parts[0], parts[2]], "layer/out", shape=(1, 4, 2)).finish("layer/out")

    return make


CASES = {
    "ADD_N": (sum_of_three, ["ABS", "RELU", "ADD", "ADD"]),
    "CAST": (flags, ["GREATER", "SELECT_V2"]),
    "ELU": (one("ELU"), ["RELU", "SUB", "EXP", "SUB", "ADD"]),
    "MAXIMUM": (clipped("MAXIMUM"), ["RELU", "MUL", "MAXIMUM", "ADD"]),
    "MINIMUM": (clipped("MINIMUM"), ["RELU", "MUL", "MINIMUM", "ADD"]),
    "NEG": (one("NEG"), ["MUL"]),
    "POW": (one("POW", number(3)), ["MUL", "MUL"]),
    "REVERSE_V2": (one("REVERSE_V2", integers(1)), ["GATHER"]),
    "SELECT": (chosen("SELECT"), ["GREATER", "ABS", "MUL", "SELECT"]),
    "SELECT_V2": (chosen("SELECT_V2"), ["GREATER", "ABS", "MUL", "SELECT_V2"]),
    "SPLIT": (halves("SPLIT", axis(2), "x"), ["SLICE", "SLICE", "ADD"]),
    "SPLIT_V": (halves("SPLIT_V", "x", integers(2, 2, 2), axis(-1)), ["SLICE", "SLICE", "ADD"]),
    "SQUARE": (one("SQUARE"), ["MUL"]),
}
KEPT = {
    "integers": lambda: Writer("x", dtype="INT32").op("ABS", ["x"], "y").finish("y"),
    "a power that is no product": one("POW", number(0.7)),
    "a minimum that nothing else reads around": one("MINIMUM", number(0.5)),
    "a split whose parts are all read": lambda: (
        Writer("x").op("SPLIT", [axis(2), "x"], "a", "b", "c", shape=(1, 4, 2)).finish("a", "b", "c")
    ),
    "an op without a rewrite": one("SIN"),
}


def stored(content: bytes, path: Path) -> Graph:
    path.write_bytes(content)
    return read_graphs(path)[0]


def answers(path: Path, values: Array) -> list[Array]:
    interpreter = litert.open_interpreter(path)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(row["index"]).copy() for row in interpreter.get_output_details()]


def test_every_rewrite_has_a_case() -> None:
    assert set(CASES) == {name for name, rewrite in REWRITES.items() if rewrite is not fold}


@pytest.mark.parametrize("name", CASES)
def test_file_computes_the_same_when_an_op_is_rewritten(name: str, tmp_path: Path) -> None:
    make, expected = CASES[name]
    before, after = stored(make(), tmp_path / "a.tflite"), stored(rewritten(make()), tmp_path / "b.tflite")
    assert [op.name for op in after.ops] == expected
    values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    for left, right in zip(answers(tmp_path / "a.tflite", values), answers(tmp_path / "b.tflite", values), strict=True):
        assert right == pytest.approx(left, rel=1e-6, abs=1e-7)
    assert [after.tensors[i].name for i in after.outputs] == [before.tensors[i].name for i in before.outputs]


@pytest.mark.parametrize("name", CASES)
def test_names_are_unique_and_lie_in_the_layer_when_an_op_is_rewritten(name: str, tmp_path: Path) -> None:
    graph = stored(rewritten(CASES[name][0]()), tmp_path / "b.tflite")
    names = [tensor.name for tensor in graph.tensors]
    assert len(set(names)) == len(names)
    made = [graph.tensors[i].name for op in graph.ops for i in op.outputs]
    assert all(text.startswith("layer/") or text.removesuffix("_own") in "xabf" for text in made)


@pytest.mark.parametrize("name", KEPT)
def test_file_keeps_its_bytes_when_no_rewrite_fits(name: str) -> None:
    content = KEPT[name]()
    assert rewritten(content) == content


def test_integers_are_left_alone() -> None:
    file = Writer("x", dtype="INT32").op("NEG", ["x"], "y")
    file.graph.tensors[file.names["y"]].type = schema.TensorType.INT32
    content = file.finish("y")
    assert rewritten(content) == content


def test_file_does_not_name_the_op_that_was_replaced(tmp_path: Path) -> None:
    """The plain kernels know no ELU, and would refuse a file that lists it."""
    stored(rewritten(one("ELU")()), tmp_path / "b.tflite")
    assert litert.open_interpreter(tmp_path / "b.tflite", kernels="reference")


def test_all_axes_are_reversed(tmp_path: Path) -> None:
    graph = stored(rewritten(one("REVERSE_V2", integers(2, 1))()), tmp_path / "b.tflite")
    assert [op.name for op in graph.ops] == ["GATHER", "GATHER"]
    values = np.arange(24, dtype=np.float32).reshape(SHAPE)
    assert answers(tmp_path / "b.tflite", values)[0].tolist() == values[:, ::-1, ::-1].tolist()


IMAGE = (1, 5, 5, 3)
FACTOR, OFFSET = np.array([2, -1, 0.7], np.float32), np.array([0.5, 3, -2], np.float32)


def noise(*shape: int) -> Array:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def normalized(op: str = "CONV_2D", factor: Array = FACTOR, fused: int = 0, **options: Any) -> Writer:
    """A factor and an offset, then an op with weights."""
    file = Writer("x", shape=IMAGE).op("MUL", ["x", factor], "m", shape=IMAGE)
    file.op("SUB", ["m", OFFSET], "s", shape=IMAGE, fusedActivationFunction=fused)
    weight, made = {
        "CONV_2D": (noise(4, 2, 2, 3), (1, 4, 4, 4)),
        "DEPTHWISE_CONV_2D": (noise(1, 2, 2, 6), (1, 4, 4, 6)),
        "FULLY_CONNECTED": (noise(4, 3), (1, 5, 5, 4)),
    }[op]
    return file.op(
        op, ["s", weight, noise(weight.shape[-1 if "DEPTH" in op else 0])], "layer/out", shape=made, **options
    )


@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_constants_before_weights_are_folded_into_them(op: str, tmp_path: Path) -> None:
    content = normalized(op).finish("layer/out")
    stored(content, tmp_path / "a.tflite")
    assert [found.name for found in stored(rewritten(content), tmp_path / "b.tflite").ops] == [op]
    (left,), (right,) = (answers(tmp_path / f"{name}.tflite", noise(*IMAGE)) for name in "ab")
    assert right == pytest.approx(left, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("file", "outputs"),
    [
        (lambda: normalized(padding=0), ["layer/out"]),
        (lambda: normalized(fused=1), ["layer/out"]),
        (lambda: normalized(), ["layer/out", "s"]),
    ],
    ids=["padded", "activated", "read elsewhere"],
)
def test_constants_stay_when_folding_would_change_results(file: Callable[[], Writer], outputs: list[str]) -> None:
    content = file().finish(*outputs)
    assert rewritten(content) == content


def test_factors_stay_when_they_are_uneven(tmp_path: Path) -> None:
    """The small weights that they make would be rounded to nothing."""
    uneven = np.array([1, 1, 50], np.float32)
    graph = stored(rewritten(normalized(factor=uneven).finish("layer/out")), tmp_path / "b.tflite")
    assert [op.name for op in graph.ops] == ["MUL", "CONV_2D"]
