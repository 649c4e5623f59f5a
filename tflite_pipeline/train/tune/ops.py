"""The table OPS: an op of LiteRT with the values that it reads in, what TensorFlow computes for it out."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np

from tflite_pipeline.train.tune.call import Call, Op
from tflite_pipeline.train.tune.node import axes_of
from tflite_pipeline.train.tune.ops_conv import CONVOLUTIONS
from tflite_pipeline.train.tune.ops_shape import SHAPES

ACTIVATIONS: dict[int, Callable[[Any, Any], Any]] = {
    0: lambda tf, value: value,
    1: lambda tf, value: tf.nn.relu(value),
    2: lambda tf, value: tf.clip_by_value(value, -1.0, 1.0),
    3: lambda tf, value: tf.nn.relu6(value),
    4: lambda tf, value: tf.tanh(value),
}
"""By the schema's number of the function that is fused into an op."""

_NAMED = {
    "ABS": "math.abs",
    "CEIL": "math.ceil",
    "COS": "math.cos",
    "ELU": "nn.elu",
    "EXP": "math.exp",
    "FLOOR": "math.floor",
    "LOG": "math.log",
    "LOGICAL_NOT": "math.logical_not",
    "LOGISTIC": "math.sigmoid",
    "LOG_SOFTMAX": "nn.log_softmax",
    "NEG": "math.negative",
    "RELU": "nn.relu",
    "RELU6": "nn.relu6",
    "ROUND": "math.round",
    "RSQRT": "math.rsqrt",
    "SIGN": "math.sign",
    "SIN": "math.sin",
    "SQRT": "math.sqrt",
    "SQUARE": "math.square",
    "TANH": "math.tanh",
    "ZEROS_LIKE": "zeros_like",
}
_BROADCASTING = {
    "ADD": "math.add",
    "ATAN2": "math.atan2",
    "EQUAL": "math.equal",
    "FLOOR_DIV": "math.floordiv",
    "FLOOR_MOD": "math.floormod",
    "GREATER": "math.greater",
    "GREATER_EQUAL": "math.greater_equal",
    "LESS": "math.less",
    "LESS_EQUAL": "math.less_equal",
    "LOGICAL_AND": "math.logical_and",
    "LOGICAL_OR": "math.logical_or",
    "MAXIMUM": "math.maximum",
    "MINIMUM": "math.minimum",
    "MUL": "math.multiply",
    "NOT_EQUAL": "math.not_equal",
    "POW": "math.pow",
    "SELECT_V2": "where",
    "SQUARED_DIFFERENCE": "math.squared_difference",
    "SUB": "math.subtract",
}
_REDUCTIONS = {
    "MEAN": "math.reduce_mean",
    "REDUCE_ALL": "math.reduce_all",
    "REDUCE_ANY": "math.reduce_any",
    "REDUCE_MAX": "math.reduce_max",
    "REDUCE_MIN": "math.reduce_min",
    "REDUCE_PROD": "math.reduce_prod",
    "SUM": "math.reduce_sum",
}


def _named(path: str) -> Op:
    return lambda call: attrgetter(path)(call.tf)(call.values[0])


def _broadcasting(path: str) -> Op:
    return lambda call: attrgetter(path)(call.tf)(*call.aligned())


def _reduction(path: str) -> Op:
    def reduce(call: Call) -> Any:
        shape, place = call.node.input_shapes[0], call.places[0]
        axes = axes_of(call.values[1], len(shape))
        # Of one sample, the axis of the batch has one value: reducing it only takes it out of the shape.
        axes = [axis for axis in axes if place is None or axis != place.axis]
        result = attrgetter(path)(call.tf)(call.values[0], axes, keepdims=True)
        left = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
        return result if call.node.option("keepDims", False) else call.reshaped(result, call.before(left))

    return reduce


def _divided(call: Call) -> Any:
    left, right = call.aligned()
    whole = call.node.output_dtypes[0].startswith("int")
    return call.tf.truncatediv(left, right) if whole else call.tf.math.divide(left, right)


def _sum_of_all(call: Call) -> Any:
    return call.tf.add_n(call.together(call.results[0]))


def _prelu(call: Call) -> Any:
    value, slope = call.aligned()
    return call.tf.nn.relu(value) + slope * call.tf.minimum(value, 0)


def _select(call: Call) -> Any:
    condition, left, right = call.values
    shapes = call.node.input_shapes
    if len(shapes[0]) == 1 < len(shapes[1]):
        # One value of the condition stands for a row.
        condition = call.tf.reshape(condition, [-1] + [1] * (len(shapes[1]) - 1))
        return call.tf.where(condition, left, right)
    return call.tf.where(*call.aligned())


def _hard_swish(call: Call) -> Any:
    value = call.values[0]
    return value * (call.tf.nn.relu6(value + 3.0) * (1 / 6))


def _gelu(call: Call) -> Any:
    return call.tf.nn.gelu(call.values[0], approximate=call.node.option("approximate", False))


def _leaky_relu(call: Call) -> Any:
    return call.tf.nn.leaky_relu(call.values[0], call.node.option("alpha", 0.0))


def _softmax(call: Call) -> Any:
    beta, value = call.node.option("beta", 1.0), call.values[0]
    return call.tf.nn.softmax(value if beta == 1 else value * beta)


def _l2_normalized(call: Call) -> Any:
    return call.tf.nn.l2_normalize(call.values[0], -1)


def _cast(call: Call) -> Any:
    return call.tf.cast(call.values[0], call.node.output_dtypes[0])


def _cumulated(call: Call) -> Any:
    value, axis = call.values
    flags = {name: bool(call.node.option(name)) for name in ("exclusive", "reverse")}
    return call.tf.cumsum(value, int(np.squeeze(axis)), **flags)


def _greatest(name: str) -> Op:
    def find(call: Call) -> Any:
        value, axis = call.values
        return getattr(call.tf, name)(value, int(np.squeeze(axis)), output_type=call.node.output_dtypes[0])

    return find


def _top(call: Call) -> Any:
    return list(call.tf.math.top_k(call.values[0], call.values[1]))


def _one_hot(call: Call) -> Any:
    return call.tf.one_hot(*call.values, axis=call.node.option("axis", -1))


def _range(call: Call) -> Any:
    return call.tf.range(*call.values)


def _response_normalized(call: Call) -> Any:
    option = call.node.option
    return call.tf.nn.lrn(call.values[0], option("radius"), option("bias"), option("alpha"), option("beta"))


OPS: dict[str, Op] = {
    **{name: _named(path) for name, path in _NAMED.items()},
    **{name: _broadcasting(path) for name, path in _BROADCASTING.items()},
    **{name: _reduction(path) for name, path in _REDUCTIONS.items()},
    **CONVOLUTIONS,
    **SHAPES,
    "ADD_N": _sum_of_all,
    "ARG_MAX": _greatest("argmax"),
    "ARG_MIN": _greatest("argmin"),
    "CAST": _cast,
    "CUMSUM": _cumulated,
    "DEQUANTIZE": _cast,
    "DIV": _divided,
    "GELU": _gelu,
    "HARD_SWISH": _hard_swish,
    "L2_NORMALIZATION": _l2_normalized,
    "LEAKY_RELU": _leaky_relu,
    "LOCAL_RESPONSE_NORMALIZATION": _response_normalized,
    "ONE_HOT": _one_hot,
    "PRELU": _prelu,
    "QUANTIZE": _cast,
    "RANGE": _range,
    "RELU_0_TO_1": lambda call: call.tf.clip_by_value(call.values[0], 0.0, 1.0),
    "RELU_N1_TO_1": lambda call: call.tf.clip_by_value(call.values[0], -1.0, 1.0),
    "SELECT": _select,
    "SOFTMAX": _softmax,
    "TOPK_V2": _top,
}
"""By name of the op in the schema: its value, or values in the order of its outputs, before a fused activation."""


def compute(call: Call) -> list[Any]:
    """Give what an op computes, one value an output."""
    result = OPS[call.node.name](call)
    values = result if isinstance(result, list) else [result]
    activate = ACTIVATIONS[call.node.option("fusedActivationFunction")]
    return [activate(call.tf, value) for value in values]
