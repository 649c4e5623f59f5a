"""The table SHAPES: ops that put values in other places, without computing with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tflite_pipeline.train.tune.batch import limits, moved, sizes_of
from tflite_pipeline.train.tune.call import Call, Op
from tflite_pipeline.train.tune.node import axes_of


def _reshaped(call: Call) -> Any:
    return call.reshaped(call.values[0], call.before(call.node.input_shapes[0]))


def _transposed(call: Call) -> Any:
    return call.tf.transpose(call.values[0], call.values[1])


def _sliced(call: Call) -> Any:
    # -1 takes all that is left, which along the batch is all of it.
    return call.tf.slice(call.values[0], call.values[1], call.open_shape())


def _strided(call: Call) -> Any:
    slices = limits(call.node, *call.values[1:4])
    if (place := call.places[0]) is not None:
        slices[place.axis] = slice(None)
    before = call.before(sizes_of(slices, call.node.input_shapes[0]))
    return call.reshaped(call.values[0][tuple(slices)], before)


def _split(call: Call) -> Any:
    axis, value = call.values
    return list(call.tf.split(value, len(call.node.outputs), int(np.squeeze(axis))))


def _split_unevenly(call: Call) -> Any:
    (axis,) = axes_of(call.values[2], len(call.node.input_shapes[0]))
    return list(call.tf.split(call.values[0], [shape[axis] for shape in call.node.output_shapes], axis))


def _packed(call: Call) -> Any:
    (axis,) = axes_of(call.node.option("axis"), len(call.node.output_shapes[0]))
    place = call.results[0]
    within = place and moved(place, -1 if axis < place.axis else 0)
    return call.tf.stack(call.together(within), axis)


def _unpacked(call: Call) -> Any:
    (axis,) = axes_of(call.node.option("axis"), len(call.node.input_shapes[0]))
    if (place := call.places[0]) is not None and axis == place.axis:
        return [_reshaped(call)]
    return list(call.tf.unstack(call.values[0], len(call.node.outputs), axis))


def _concatenated(call: Call) -> Any:
    (axis,) = axes_of(call.node.option("axis"), len(call.node.output_shapes[0]))
    return call.tf.concat(call.together(call.results[0], axis), axis)


def _padded(call: Call) -> Any:
    fill = call.values[2] if len(call.values) > 2 else 0
    return call.tf.pad(call.values[0], call.values[1], constant_values=fill)


def _mirrored(call: Call) -> Any:
    return call.tf.pad(call.values[0], call.values[1], ("REFLECT", "SYMMETRIC")[call.node.option("mode")])


def _gathered(call: Call) -> Any:
    option = call.node.option
    return call.tf.gather(*call.values[:2], axis=option("axis"), batch_dims=option("batchDims"))


def _broadcast(call: Call) -> Any:
    return call.tf.broadcast_to(call.values[0], call.full_shape())


def _filled(call: Call) -> Any:
    return call.tf.fill(call.node.output_shapes[0], call.values[1])


def _shape(call: Call) -> Any:
    # That of one sample: what is computed from it is the same for each.
    return call.tf.constant(call.node.input_shapes[0], call.node.output_dtypes[0])


def _rank(call: Call) -> Any:
    return call.tf.constant(len(call.node.input_shapes[0]))


def _blocks(name: str) -> Op:
    return lambda call: getattr(call.tf.nn, name)(call.values[0], call.node.option("blockSize"))


SHAPES: dict[str, Op] = {
    "BATCH_TO_SPACE_ND": lambda call: call.tf.batch_to_space(*call.values),
    "BROADCAST_TO": _broadcast,
    "CONCATENATION": _concatenated,
    "DEPTH_TO_SPACE": _blocks("depth_to_space"),
    "EMBEDDING_LOOKUP": lambda call: call.tf.gather(call.values[1], call.values[0]),
    "EXPAND_DIMS": _reshaped,
    "FILL": _filled,
    "GATHER": _gathered,
    "GATHER_ND": lambda call: call.tf.gather_nd(*call.values),
    "MIRROR_PAD": _mirrored,
    "PACK": _packed,
    "PAD": _padded,
    "PADV2": _padded,
    "RANK": _rank,
    "RESHAPE": _reshaped,
    "REVERSE_V2": lambda call: call.tf.reverse(*call.values),
    "SHAPE": _shape,
    "SLICE": _sliced,
    "SPACE_TO_BATCH_ND": lambda call: call.tf.space_to_batch(*call.values),
    "SPACE_TO_DEPTH": _blocks("space_to_depth"),
    "SPLIT": _split,
    "SPLIT_V": _split_unevenly,
    "SQUEEZE": _reshaped,
    "STRIDED_SLICE": _strided,
    "TILE": lambda call: call.tf.tile(*call.values),
    "TRANSPOSE": _transposed,
    "UNPACK": _unpacked,
}
