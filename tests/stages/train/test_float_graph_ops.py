"""Each op, as the converter makes it of small functions, for one and for three samples against LiteRT."""

from __future__ import annotations

import numpy as np
import pytest

from tflite_pipeline.runtime.draft import Draft
from tflite_pipeline.train.tune.graph import read_float_graph, refusals

pytestmark = pytest.mark.tf


def weights(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


IMAGE, ROW, STEPS = (1, 6, 6, 4), (1, 8), (1, 5, 4)

UNARY = {
    "ABS": "abs",
    "CEIL": "math.ceil",
    "COS": "cos",
    "ELU": "nn.elu",
    "EXP": "exp",
    "FLOOR": "floor",
    "LOGISTIC": "sigmoid",
    "LOG_SOFTMAX": "nn.log_softmax",
    "NEG": "negative",
    "RELU": "nn.relu",
    "RELU6": "nn.relu6",
    "ROUND": "round",
    "SIGN": "sign",
    "SIN": "sin",
    "SOFTMAX": "nn.softmax",
    "SQUARE": "square",
    "TANH": "tanh",
}
BINARY = {
    "ADD": "add",
    "EQUAL": "equal",
    "FLOOR_DIV": "math.floordiv",
    "FLOOR_MOD": "math.floormod",
    "GREATER": "greater",
    "GREATER_EQUAL": "greater_equal",
    "LESS": "less",
    "LESS_EQUAL": "less_equal",
    "MAXIMUM": "maximum",
    "MINIMUM": "minimum",
    "MUL": "multiply",
    "NOT_EQUAL": "not_equal",
    "SQUARED_DIFFERENCE": "math.squared_difference",
    "SUB": "subtract",
}
REDUCTIONS = {"MEAN": "mean", "SUM": "sum", "REDUCE_MAX": "max", "REDUCE_MIN": "min", "REDUCE_PROD": "prod"}

CONVOLUTIONS = {
    "CONV_2D": [
        (lambda tf, x: tf.nn.relu6(tf.nn.conv2d(x, weights(3, 3, 4, 5), 2, "SAME") + weights(5)), [IMAGE]),
        (lambda tf, x: tf.nn.conv2d(x, weights(3, 2, 4, 5), [1, 2], "VALID"), [IMAGE]),
        (lambda tf, x: tf.nn.conv2d(x, weights(2, 2, 4, 5), 1, "SAME", dilations=[2, 1]), [IMAGE]),
        (lambda tf, x: tf.nn.conv2d(x, weights(3, 3, 2, 6), 1, "SAME"), [IMAGE]),
    ],
    "DEPTHWISE_CONV_2D": [
        (lambda tf, x: tf.nn.relu(tf.nn.depthwise_conv2d(x, weights(3, 3, 4, 2), [1, 2, 2, 1], "SAME")), [IMAGE]),
        (lambda tf, x: tf.nn.depthwise_conv2d(x, weights(3, 3, 4, 1), [1] * 4, "SAME", dilations=[2, 2]), [IMAGE]),
    ],
    "CONV_3D": [(lambda tf, x: tf.nn.conv3d(x, weights(2, 2, 2, 3, 4), [1, 1, 2, 1, 1], "SAME"), [(1, 4, 5, 4, 3)])],
    "CONV_3D_TRANSPOSE": [
        (
            lambda tf, x: tf.nn.conv3d_transpose(x, weights(2, 2, 2, 4, 3), [1, 4, 6, 4, 4], [1, 2, 2, 2, 1]),
            [(1, 2, 3, 2, 3)],
        )
    ],
    "TRANSPOSE_CONV": [
        (lambda tf, x: tf.nn.conv2d_transpose(x, weights(3, 3, 5, 4), [1, 12, 12, 5], 2) + weights(5), [IMAGE]),
        (lambda tf, x: tf.nn.conv2d_transpose(x, weights(3, 3, 5, 4), [1, 8, 8, 5], 1, "VALID"), [IMAGE]),
    ],
    "AVERAGE_POOL_2D": [(lambda tf, x: tf.nn.avg_pool2d(x, [3, 2], 2, "SAME"), [IMAGE])],
    "MAX_POOL_2D": [(lambda tf, x: tf.nn.max_pool2d(x, 2, [1, 2], "VALID"), [IMAGE])],
    "FULLY_CONNECTED": [
        (lambda tf, x: tf.nn.relu(x @ weights(8, 3) + weights(3)), [ROW]),
        (lambda tf, x: tf.tensordot(x, weights(4, 3), 1) + weights(3), [STEPS]),
        (lambda tf, x: tf.reshape(x, (5, 4)) @ weights(4, 3), [STEPS]),
    ],
    "BATCH_MATMUL": [
        (lambda tf, x, y: tf.matmul(x, y, transpose_b=True), [(1, 2, 5, 4), (1, 2, 3, 4)]),
        (lambda tf, x, y: tf.matmul(x, y, adjoint_a=True), [(1, 2, 4, 5), (1, 2, 4, 3)]),
        (lambda tf, x: tf.matmul(weights(1, 3, 5), x), [STEPS]),
        (lambda tf, x: tf.matmul(tf.reshape(x, (2, 5, 4)), weights(2, 4, 3)), [(1, 2, 5, 4)]),
    ],
    "RESIZE_BILINEAR": [
        (lambda tf, x: tf.image.resize(x, (9, 12)), [IMAGE]),
        (lambda tf, x: tf.compat.v1.image.resize_bilinear(x, (4, 11), align_corners=True), [IMAGE]),
        (lambda tf, x: tf.compat.v1.image.resize_bilinear(x, (4, 11)), [IMAGE]),
    ],
    "RESIZE_NEAREST_NEIGHBOR": [
        (lambda tf, x: tf.image.resize(x, (9, 12), "nearest"), [IMAGE]),
        (lambda tf, x: tf.compat.v1.image.resize_nearest_neighbor(x, (4, 11), align_corners=True), [IMAGE]),
        (lambda tf, x: tf.compat.v1.image.resize_nearest_neighbor(x, (4, 11)), [IMAGE]),
    ],
}
ELEMENTWISE = {
    "ADD": [(lambda tf, x, y: x + y, [IMAGE, (1, 1, 1, 4)]), (lambda tf, x, y: x + y, [IMAGE, (1, 4)])],
    "ADD_N": [(lambda tf, x, y: tf.add_n([x, y, weights(*ROW)]), [ROW, ROW])],
    "ATAN2": [(lambda tf, x, y: tf.atan2(x, y), [ROW, ROW])],
    "DIV": [(lambda tf, x, y: x / (y + 2), [STEPS, (1, 1, 4)])],
    "CAST": [(lambda tf, x: tf.cast(x * 4, tf.int32), [ROW])],
    "CUMSUM": [(lambda tf, x: tf.cumsum(x, 1, exclusive=True, reverse=True), [STEPS])],
    "GELU": [(lambda tf, x: tf.nn.gelu(x), [ROW]), (lambda tf, x: tf.nn.gelu(x, approximate=True), [ROW])],
    "HARD_SWISH": [(lambda tf, x: x * tf.nn.relu6(x + 3) * (1 / 6), [ROW])],
    "L2_NORMALIZATION": [(lambda tf, x: tf.nn.l2_normalize(x, -1), [ROW])],
    "LEAKY_RELU": [(lambda tf, x: tf.nn.leaky_relu(x, 0.3), [ROW])],
    "LOCAL_RESPONSE_NORMALIZATION": [(lambda tf, x: tf.nn.lrn(x, 2, 1.0, 0.5, 0.7), [IMAGE])],
    "LOG": [(lambda tf, x: tf.math.log(tf.abs(x) + 1), [ROW])],
    "LOGICAL_AND": [(lambda tf, x: tf.cast((x > 0) & (x < 0.5), tf.float32), [ROW])],
    "LOGICAL_OR": [(lambda tf, x: tf.cast((x < 0) | (x > 0.5), tf.float32), [ROW])],
    "LOGICAL_NOT": [(lambda tf, x: tf.logical_not(tf.cast(tf.cast(x, tf.int32), tf.bool)), [ROW])],
    "POW": [(lambda tf, x: tf.pow(tf.abs(x), weights(8)), [ROW])],
    "PRELU": [(lambda tf, x: tf.nn.relu(x) + weights(1, 1, 4) * tf.nn.relu(-x), [IMAGE])],
    "RSQRT": [(lambda tf, x: tf.math.rsqrt(tf.abs(x) + 1), [ROW])],
    "SQRT": [(lambda tf, x: tf.sqrt(tf.abs(x)), [ROW])],
    "SELECT": [(lambda tf, x, y: tf.where(x > 0, x, y), [ROW, ROW])],
    "SELECT_V2": [(lambda tf, x, y: tf.where(x > 0, y, weights(1, 5, 8)), [ROW, (1, 5, 8)])],
    "MEAN": [(lambda tf, x: tf.reduce_mean(x, [1, 2], keepdims=True), [IMAGE])],
    "SUM": [(lambda tf, x: tf.reduce_sum(x, [0, 2]), [STEPS]), (lambda tf, x: tf.reduce_sum(x, -1), [STEPS])],
    "REDUCE_ANY": [(lambda tf, x: tf.reduce_any(x > 0.9, 1), [STEPS])],
    "REDUCE_ALL": [(lambda tf, x: tf.reduce_all(x > -0.5, 1), [STEPS])],
    "ARG_MAX": [(lambda tf, x: tf.argmax(x, 1), [STEPS])],
    "ARG_MIN": [(lambda tf, x: tf.argmin(x, -1, tf.int32), [STEPS])],
    "TOPK_V2": [(lambda tf, x: tf.math.top_k(x, 3), [ROW])],
    "ONE_HOT": [
        (lambda tf, x: tf.one_hot(tf.cast(tf.abs(x) * 4, tf.int32), 4, 2.0, 0.5), [ROW]),
        (lambda tf, x: tf.one_hot(tf.cast(tf.abs(x) * 4, tf.int32), 4, axis=0), [ROW]),
    ],
}
SHAPES = {
    "RESHAPE": [
        (lambda tf, x: tf.reshape(x, (1, 12, 12)), [IMAGE]),
        (lambda tf, x: tf.reshape(tf.nn.relu(tf.reshape(x, (5, 4)) + weights(5, 1)), STEPS), [STEPS]),
    ],
    "TRANSPOSE": [
        (lambda tf, x: tf.transpose(x, (0, 3, 1, 2)), [IMAGE]),
        (lambda tf, x: tf.transpose(tf.exp(tf.transpose(x, (3, 0, 2, 1))), (1, 0, 2, 3)), [IMAGE]),
    ],
    "SLICE": [(lambda tf, x: tf.slice(x, (0, 1, 2), (1, 3, 2)), [STEPS])],
    "STRIDED_SLICE": [
        (lambda tf, x: x[:, ::2, 1:-1, 2], [IMAGE]),
        (lambda tf, x: x[0:1, 4:1:-1], [STEPS]),
        (lambda tf, x: x[..., tf.newaxis, 1:], [STEPS]),
        (lambda tf, x: x[0], [STEPS]),
    ],
    "SPLIT": [(lambda tf, x: tf.split(x, 2, -1), [IMAGE])],
    "SPLIT_V": [(lambda tf, x: tf.split(x, [1, 3, 2], 1), [IMAGE])],
    "PACK": [
        (lambda tf, x: tf.stack([x, x * 2, weights(*ROW)], 1), [ROW]),
        (lambda tf, x: tf.transpose(tf.stack([x, tf.exp(x)]), (1, 0, 2)), [ROW]),
    ],
    "UNPACK": [
        (lambda tf, x: tf.unstack(x, axis=1), [STEPS]),
        (lambda tf, x: tf.unstack(tf.transpose(x, (1, 0, 2))), [STEPS]),
        (lambda tf, x: tf.unstack(x, axis=0), [STEPS]),
    ],
    "CONCATENATION": [
        (lambda tf, x, y: tf.concat([x, y], -1), [IMAGE, (1, 6, 6, 2)]),
        (lambda tf, x: tf.concat([weights(1, 1, 4), x], 1), [STEPS]),
        (lambda tf, x, y: tf.reduce_sum(tf.concat([x, weights(2, 8), y], 0), 0, keepdims=True), [ROW, ROW]),
    ],
    "PAD": [(lambda tf, x: tf.pad(x, [[0, 0], [1, 2], [0, 1]]), [STEPS])],
    "PADV2": [(lambda tf, x: tf.pad(x, [[0, 0], [1, 2], [0, 1]], constant_values=-3.0), [STEPS])],
    "MIRROR_PAD": [
        (lambda tf, x: tf.pad(x, [[0, 0], [1, 2], [0, 1]], "REFLECT"), [STEPS]),
        (lambda tf, x: tf.pad(x, [[0, 0], [1, 2], [0, 1]], "SYMMETRIC"), [STEPS]),
    ],
    "TILE": [(lambda tf, x: tf.tile(x, (1, 2, 3)), [STEPS])],
    "GATHER": [
        (lambda tf, x: tf.gather(x, [3, 1], axis=1), [STEPS]),
        (lambda tf, x: tf.gather(weights(9, 3), tf.cast(tf.abs(x) * 8, tf.int32)), [ROW]),
        (lambda tf, x, y: tf.gather(x, tf.cast(tf.abs(y) * 4, tf.int32), batch_dims=1), [STEPS, ROW]),
    ],
    "GATHER_ND": [
        (lambda tf, x: tf.gather_nd(weights(2, 2, 3), tf.cast(tf.abs(x) * 2, tf.int32)), [(1, 5, 2)]),
    ],
    "REVERSE_V2": [(lambda tf, x: tf.reverse(x, [1]), [STEPS])],
    "BROADCAST_TO": [(lambda tf, x: tf.broadcast_to(x, (1, 6, 4)), [(1, 1, 4)])],
    "DEPTH_TO_SPACE": [(lambda tf, x: tf.nn.depth_to_space(x, 2), [IMAGE])],
    "SPACE_TO_DEPTH": [(lambda tf, x: tf.nn.space_to_depth(x, 3), [IMAGE])],
    "SPACE_TO_BATCH_ND": [
        (
            lambda tf, x: tf.batch_to_space(
                tf.nn.max_pool2d(tf.space_to_batch(x, [2, 2], [[0, 2], [1, 1]]), 2, 1, "SAME"), [2, 2], [[0, 2], [1, 1]]
            ),
            [IMAGE],
        )
    ],
}
CASES = [
    *((name, lambda tf, x, path=path: reach(tf, path)(x), [ROW]) for name, path in UNARY.items()),
    *((name, lambda tf, x, path=path: reach(tf, path)(x, weights(5, 1)), [STEPS]) for name, path in BINARY.items()),
    *(
        (name, lambda tf, x, kind=kind: getattr(tf, f"reduce_{kind}")(x, [1]), [STEPS])
        for name, kind in REDUCTIONS.items()
    ),
    *(
        (name, function, shapes)
        for table in (CONVOLUTIONS, ELEMENTWISE, SHAPES)
        for name, rows in table.items()
        for function, shapes in rows
    ),
]

POOL = (("filterHeight", 2), ("filterWidth", 3), ("strideH", 1), ("strideW", 2))
DRAFTED = [
    ("RELU_0_TO_1", (), None, IMAGE),
    ("RELU_N1_TO_1", (), None, IMAGE),
    ("ZEROS_LIKE", (), None, IMAGE),
    ("L2_POOL_2D", ("Pool2DOptions", *POOL), None, (1, 6, 3, 4)),
    ("EXPAND_DIMS", (), 0, (1, 1, 6, 6, 4)),
    ("EXPAND_DIMS", (), -1, (1, 6, 6, 4, 1)),
    ("SQUEEZE", ("SqueezeOptions", ("squeezeDims", [0])), None, (6, 6, 4)),
    ("MEAN", ("ReducerOptions", ("keepDims", False)), [0, 3], (6, 6)),
]


def reach(tf, path):
    for part in path.split("."):
        tf = getattr(tf, part)
    return tf


def convert(function, shapes):
    """Convert a function of float32 inputs of these shapes."""
    import tensorflow as tf

    specs = [tf.TensorSpec(shape, tf.float32, f"input_{i}") for i, shape in enumerate(shapes)]
    concrete = tf.function(lambda *x: function(tf, *x), input_signature=specs, autograph=False).get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()


@pytest.mark.parametrize(("name", "function", "shapes"), CASES, ids=[case[0] for case in CASES])
def test_an_op_equals_litert_when_the_batch_is_1_and_3(name, function, shapes, tmp_path, one_by_one):
    path = tmp_path / "op.tflite"
    path.write_bytes(convert(function, shapes))
    assert_equal(path, name, shapes, one_by_one)


@pytest.mark.parametrize(("name", "options", "operand", "shape"), DRAFTED, ids=[row[0] for row in DRAFTED])
def test_an_op_that_the_converter_does_not_make_equals_litert(name, options, operand, shape, tmp_path, one_by_one):
    draft = Draft(convert(lambda tf, x: tf.exp(x), [IMAGE]))
    (value,) = draft.graph.outputs
    operands = [value] if operand is None else [value, draft.constant(np.array(operand, np.int32))]
    path = tmp_path / "op.tflite"
    path.write_bytes(draft.finish([draft.op(name, operands, shape, *options[:1], **dict(options[1:]))]))
    assert_equal(path, name, [IMAGE], one_by_one)


def assert_equal(path, name, shapes, one_by_one):
    graph = read_float_graph(path)
    assert name in [node.name for node in graph.nodes]
    assert refusals(graph) == []
    noise = np.random.default_rng(1)
    for batch in (1, 3):
        feeds = [noise.uniform(-1, 1, (batch, *shape[1:])).astype(np.float32) for shape in shapes]
        for got, expected in zip(graph(feeds), one_by_one(path, feeds), strict=True):
            size = np.abs(expected).max() if expected.dtype.kind == "f" else 1
            np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-5 * max(size, 1e-6))
