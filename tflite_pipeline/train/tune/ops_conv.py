"""The table CONVOLUTIONS: convolutions, pooling, products of matrices, and resizing of images."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from tflite_pipeline.train.tune.call import Call, Op

_PADDINGS = ("SAME", "VALID")


def _padding(call: Call) -> str:
    return _PADDINGS[call.node.option("padding")]


def _strides(call: Call) -> list[int]:
    return [call.node.option("strideH", 1), call.node.option("strideW", 1)]


def _dilations(call: Call) -> list[int]:
    return [call.node.option("dilationHFactor", 1), call.node.option("dilationWFactor", 1)]


def _biased(call: Call, value: Any, position: int = 2) -> Any:
    bias = call.value(position)
    return value if bias is None else call.tf.nn.bias_add(value, bias)


@cache
def _has_all_gradients(tf: Any) -> bool:
    """Whether the convolutions of this machine can be trained with groups, dilation and strides that differ.

    oneDNN's kernels can, which TensorFlow uses on most processors; its own for processors cannot.
    """
    one = {"strides": [1, 1, 1, 1], "padding": "VALID", "dilations": [1, 2, 2, 1]}
    with tf.init_scope():
        try:
            back = tf.ones((1, 3, 3, 1))
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=(1, 3, 3, 1), filter=tf.ones((1, 1, 1, 1)), out_backprop=back, **one
            )
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return False
    return True


def _conv(call: Call) -> Any:
    tf, value = call.tf, call.values[0]
    # (out, height, width, in) to TensorFlow's (height, width, in, out).
    kernel = tf.transpose(call.values[1], (1, 2, 3, 0))
    groups = call.node.input_shapes[0][3] // call.node.input_shapes[1][3]
    if groups == 1 or _has_all_gradients(tf):
        return _biased(call, _dilated(call, value, kernel))
    pairs = zip(tf.split(value, groups, 3), tf.split(kernel, groups, 3), strict=True)
    return _biased(call, tf.concat([_dilated(call, *pair) for pair in pairs], 3))


def _dilated(call: Call, value: Any, kernel: Any) -> Any:
    tf, strides, padding, dilations = call.tf, _strides(call), _padding(call), _dilations(call)
    if dilations == [1, 1] or strides != [1, 1] or _has_all_gradients(tf):
        return tf.nn.conv2d(value, kernel, strides, padding, dilations=dilations)
    dense: Callable[[Any, Any, str], Any] = lambda blocks, _, valid: tf.nn.conv2d(blocks, kernel, 1, valid)  # noqa: E731
    return tf.compat.v1.nn.with_space_to_batch(value, dilations, padding, dense, call.node.input_shapes[1][1:3])


def _depthwise(call: Call) -> Any:
    tf, value = call.tf, call.values[0]
    depth, (_, height, width, _) = call.node.input_shapes[0][3], call.node.input_shapes[1]
    kernel = tf.reshape(call.values[1], (height, width, depth, -1))
    strides, dilations, padding = _strides(call), _dilations(call), _padding(call)
    if strides[0] == strides[1] or _has_all_gradients(tf):
        result = tf.nn.depthwise_conv2d(value, kernel, [1, *strides, 1], padding, dilations=dilations)
        return _biased(call, result)
    if padding == "SAME":
        value = tf.pad(value, [[0, 0], *_margins(call, strides), [0, 0]])
    result = tf.nn.depthwise_conv2d(value, kernel, [1, 1, 1, 1], "VALID")
    return _biased(call, result[:, :: strides[0], :: strides[1]])


def _margins(call: Call, strides: list[int]) -> list[list[int]]:
    """Give the zeros before and behind height and width that padding "SAME" stands for."""
    sizes, kernel = call.node.input_shapes[0][1:3], call.node.input_shapes[1][1:3]
    rows = zip(sizes, kernel, strides, strict=True)
    missing = [max((-(-size // stride) - 1) * stride + width - size, 0) for size, width, stride in rows]
    return [[count // 2, count - count // 2] for count in missing]


def _conv_transposed(call: Call) -> Any:
    _, weights, value = call.values[:3]
    # (out, height, width, in) to TensorFlow's (height, width, out, in).
    kernel = call.tf.transpose(weights, (1, 2, 0, 3))
    shape = call.full_shape()
    return _biased(call, call.tf.nn.conv2d_transpose(value, kernel, shape, _strides(call), _padding(call)), 3)


def _in_space(call: Call, name: str) -> list[int]:
    sizes = [call.node.option(name.format(axis), 1) for axis in "DHW"]
    return [1, *sizes, 1]


def _conv_3d(call: Call) -> Any:
    strides, dilations = _in_space(call, "stride{}"), _in_space(call, "dilation{}Factor")
    result = call.tf.nn.conv3d(*call.values[:2], strides, _padding(call), dilations=dilations)
    return _biased(call, result)


def _conv_3d_transposed(call: Call) -> Any:
    _, kernel, value = call.values[:3]
    strides = _in_space(call, "stride{}")
    return _biased(call, call.tf.nn.conv3d_transpose(value, kernel, call.full_shape(), strides, _padding(call)), 3)


def _pool(name: str) -> Op:
    def pool(call: Call) -> Any:
        window = [call.node.option("filterHeight"), call.node.option("filterWidth")]
        return getattr(call.tf.nn, name)(call.values[0], window, _strides(call), _padding(call))

    return pool


def _root_mean_square_pool(call: Call) -> Any:
    window = [call.node.option("filterHeight"), call.node.option("filterWidth")]
    squares = call.tf.square(call.values[0])
    return call.tf.sqrt(call.tf.nn.avg_pool2d(squares, window, _strides(call), _padding(call)))


def _fully_connected(call: Call) -> Any:
    value, weights = call.values[:2]
    shape, depth = call.node.input_shapes[0], call.node.input_shapes[1][1]
    if shape[1:] != (depth,):
        value = call.tf.reshape(value, (-1, depth))
    result = _biased(call, call.tf.linalg.matmul(value, weights, transpose_b=True))
    return result if len(call.node.output_shapes[0]) == 2 else call.reshaped(result, call.before(shape))


def _batch_matmul(call: Call) -> Any:
    left, right = call.aligned()
    adjoint = {"transpose_a": call.node.option("adjX", False), "transpose_b": call.node.option("adjY", False)}
    return call.tf.linalg.matmul(left, right, **adjoint)


def _resized(name: str) -> Op:
    def resize(call: Call) -> Any:
        image, size = call.values
        option = call.node.option
        corners, centers = option("alignCorners", False), option("halfPixelCenters", False)
        function = getattr(call.tf.raw_ops, name)
        return function(images=image, size=size, align_corners=corners, half_pixel_centers=centers)

    return resize


CONVOLUTIONS: dict[str, Op] = {
    "AVERAGE_POOL_2D": _pool("avg_pool2d"),
    "BATCH_MATMUL": _batch_matmul,
    "CONV_2D": _conv,
    "CONV_3D": _conv_3d,
    "CONV_3D_TRANSPOSE": _conv_3d_transposed,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "L2_POOL_2D": _root_mean_square_pool,
    "MAX_POOL_2D": _pool("max_pool2d"),
    "RESIZE_BILINEAR": _resized("ResizeBilinear"),
    "RESIZE_NEAREST_NEIGHBOR": _resized("ResizeNearestNeighbor"),
    "TRANSPOSE_CONV": _conv_transposed,
}
