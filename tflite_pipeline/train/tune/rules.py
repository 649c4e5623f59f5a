"""The table of where the batch lies in what an op computes, given where it lies in what it reads."""

from __future__ import annotations

import math

from tflite_pipeline.train.tune.batch import (
    Case,
    Rule,
    Unbatchable,
    common,
    is_whole,
    limits,
    moved,
    padded,
    placed,
    sizes_of,
)
from tflite_pipeline.train.tune.node import Place, axes_of


def _elementwise(case: Case) -> Place:
    return common(case, range(len(case.places)), case.node.output_shapes[0])


def _select(case: Case) -> Place:
    """A condition with one value a row stands for whole rows in SELECT, which does not broadcast."""
    shapes = case.node.input_shapes
    if len(shapes[0]) == 1 < len(shapes[1]):
        condition, *rest = case.places
        if condition is not None and any(place not in (None, condition) for place in rest):
            raise Unbatchable("its inputs have the batch along different axes")
        return next(place for place in case.places if place is not None)
    return _elementwise(case)


def _at_front(case: Case, position: int = 0) -> Place:
    place = case.only(position)
    if place.axis != 0:
        raise Unbatchable("its batch is not the first axis")
    return place


def _front(position: int) -> Rule:
    """Ops over images, or the like, that treat each entry of the first axis by itself."""
    return lambda case: _at_front(case, position)


def _along_last(case: Case) -> Place:
    return case.apart(0, [len(case.node.input_shapes[0]) - 1])


def _along(axes: int, position: int = 0) -> Rule:
    """Ops that mix values along the axes that their input number `axes` tells."""

    def rule(case: Case) -> Place:
        return case.apart(position, axes_of(case.constant(axes), len(case.node.input_shapes[position])))

    return rule


def _reshaped(case: Case) -> Place:
    if math.prod(case.node.input_shapes[0]) != math.prod(case.node.output_shapes[0]):
        raise Unbatchable("the file leaves its shape open: export the model with a static batch of 1")
    return placed(case.only(0).before(case.node.input_shapes[0]), case.node.output_shapes[0])


def _reduced(case: Case) -> Place:
    place, shape = case.only(0), case.node.input_shapes[0]
    axes = axes_of(case.constant(1), len(shape))
    if place.axis in axes and shape[place.axis] != 1:
        raise Unbatchable("it reduces an axis that the batch is merged with")
    if case.node.option("keepDims", False):
        return place
    left = [shape[axis] for axis in range(place.axis) if axis not in axes]
    if place.axis not in axes:
        return Place(len(left), place.outer)
    return placed(math.prod(left), case.node.output_shapes[0])


def _arg(case: Case) -> Place:
    rank = len(case.node.input_shapes[0])
    (axis,) = axes_of(case.constant(1), rank)
    place = case.apart(0, [axis])
    return moved(place, -1 if axis < place.axis else 0)


def _fully_connected(case: Case) -> Place:
    place, shape = case.only(0), case.node.input_shapes[0]
    before = place.before(shape)
    if (math.prod(shape) // before) % case.node.input_shapes[1][1]:
        raise Unbatchable("it works along the axis of the batch")
    return placed(before, case.node.output_shapes[0][:-1])


def _batch_matmul(case: Case) -> Place:
    left, right = case.node.input_shapes
    rank, out = max(len(left), len(right)), case.node.output_shapes[0]
    row = rank - 1 if case.node.option("adjX", False) else rank - 2
    column = rank - 2 if case.node.option("adjY", False) else rank - 1
    found = [place and moved(place, rank - len(shape)) for place, shape in zip(case.places, (left, right), strict=True)]
    if all(place is None or place.axis < rank - 2 for place in found):
        return common(case, (0, 1), out)
    for position, axis, result in ((0, row, rank - 2), (1, column, rank - 1)):
        place = found[position]
        if place is not None and place.axis == axis and found[1 - position] is None:
            return Place(result, place.outer)
    raise Unbatchable("it sums over the axis of the batch, or over two")


def _transposed(case: Case) -> Place:
    place = case.only(0)
    return Place(axes_of(case.constant(1), len(case.node.input_shapes[0])).index(place.axis), place.outer)


def _concatenated(case: Case) -> Place:
    shapes = case.node.input_shapes
    out = case.node.output_shapes[0]
    (axis,) = axes_of(case.node.option("axis"), len(out))
    places = {place for place in case.places if place is not None}
    if all(place.axis != axis for place in places):
        return common(case, range(len(shapes)), out)
    # The samples of one input lie behind those of the other: each axis must hold nothing behind the batch.
    for place, shape in zip(case.places, shapes, strict=True):
        if place is not None and (place.axis != axis or place.outer != shape[axis]):
            raise Unbatchable("it joins along the axis of the batch")
    return Place(axis, out[axis])


def _packed(case: Case) -> Place:
    (axis,) = axes_of(case.node.option("axis"), len(case.node.output_shapes[0]))
    place = common(case, range(len(case.places)), case.node.input_shapes[0])
    return moved(place, 1 if axis <= place.axis else 0)


def _unpacked(case: Case) -> Place:
    shape, place = case.node.input_shapes[0], case.only(0)
    (axis,) = axes_of(case.node.option("axis"), len(shape))
    if axis != place.axis:
        return moved(place, -1 if axis < place.axis else 0)
    if shape[axis] != 1:
        raise Unbatchable("it takes apart the axis of the batch")
    return placed(place.before(shape), case.node.output_shapes[0])


def _same_size(case: Case) -> Place:
    """Ops that may cut or lengthen any axis but that of the batch."""
    place = case.only(0)
    if case.node.input_shapes[0][place.axis] != case.node.output_shapes[0][place.axis]:
        raise Unbatchable("it changes the length of the axis of the batch")
    return place


def _padded(case: Case) -> Place:
    place = case.only(0)
    if case.constant(1)[place.axis].any():
        raise Unbatchable("it pads the axis of the batch")
    return place


def _strided(case: Case) -> Place:
    place, shape = case.only(0), case.node.input_shapes[0]
    slices = limits(case.node, *(case.constant(position) for position in (1, 2, 3)))
    if not is_whole(slices[place.axis], shape[place.axis]):
        raise Unbatchable("it takes a part of the axis of the batch")
    return placed(place.before(sizes_of(slices, shape)), case.node.output_shapes[0])


def _split(value: int, axis: int) -> Rule:
    def rule(case: Case) -> Place:
        place = case.only(value)
        if (
            axes_of(case.constant(axis), len(case.node.input_shapes[value])) == [place.axis]
            and len(case.node.outputs) > 1
        ):
            raise Unbatchable("it takes apart the axis of the batch")
        return place

    return rule


def _tiled(case: Case) -> Place:
    place = case.only(0)
    return Place(place.axis, place.outer * int(case.constant(1)[place.axis]))


def _broadcast(case: Case) -> Place:
    shape, out = case.node.input_shapes[0], case.node.output_shapes[0]
    place = moved(case.only(0), len(out) - len(shape))
    if padded(shape, len(out))[place.axis] != out[place.axis]:
        raise Unbatchable("it repeats values along the axis of the batch")
    return place


def _gathered(case: Case) -> Place:
    values, numbers = case.node.input_shapes[:2]
    (axis,), shared = axes_of(case.node.option("axis"), len(values)), case.node.option("batchDims")
    first, second = case.places[:2]
    if first is None:
        # Of the axes of the numbers, those that both inputs share are not inserted.
        return moved(case.apart(1, range(shared)), axis - shared)
    if second is None:
        place = case.apart(0, [axis])
        if place.axis < shared:
            raise Unbatchable("its numbers are the same for all samples, its values are not")
        return moved(place, len(numbers) - shared - 1 if axis < place.axis else 0)
    if first == second and first.axis < shared:
        return first
    raise Unbatchable("values and numbers both differ between samples, and it takes each with each")


def _gathered_nd(case: Case) -> Place:
    numbers = case.node.input_shapes[1]
    if case.places[0] is None:
        return case.apart(1, [len(numbers) - 1])
    return moved(case.apart(0, range(numbers[-1])), len(numbers) - 1 - numbers[-1])


def _looked_up(case: Case) -> Place:
    return case.only(0)


def _one_hot(case: Case) -> Place:
    (axis,) = axes_of(case.node.option("axis", -1), len(case.node.output_shapes[0]))
    place = case.only(0)
    return moved(place, 1 if axis <= place.axis else 0)


def _to_batch(case: Case) -> Place:
    """Blocks come before the batch in what SPACE_TO_BATCH_ND makes of the first axis."""
    place = _at_front(case)
    return Place(0, place.outer * math.prod(case.constant(1).tolist()))


def _to_space(case: Case) -> Place:
    place, blocks = case.only(0), math.prod(case.constant(1).tolist())
    if place.axis != 0 or place.outer % blocks:
        raise Unbatchable("it takes its blocks from the axis of the batch")
    return Place(0, place.outer // blocks)


def _of_one(_: Case) -> None:
    """What reads the shape of a tensor was made for one sample, so it is told that of one."""


def _of_all(_: Case) -> Place:
    raise Unbatchable("its result would have another shape for each sample")


_RULES: dict[Rule, str] = {
    _elementwise: """ABS ADD ADD_N ATAN2 CAST CEIL COS DEQUANTIZE DIV ELU EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD GELU
        GREATER GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC
        MAXIMUM MINIMUM MUL NEG NOT_EQUAL POW PRELU QUANTIZE RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 ROUND RSQRT
        SELECT_V2 SIGN SIN SQRT SQUARE SQUARED_DIFFERENCE SUB TANH ZEROS_LIKE""",
    _of_one: "SHAPE RANK",
    _select: "SELECT",
    _front(0): """AVERAGE_POOL_2D CONV_2D CONV_3D DEPTHWISE_CONV_2D DEPTH_TO_SPACE L2_POOL_2D MAX_POOL_2D
        LOCAL_RESPONSE_NORMALIZATION RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SPACE_TO_DEPTH""",
    _front(2): "TRANSPOSE_CONV CONV_3D_TRANSPOSE",
    _along_last: "SOFTMAX LOG_SOFTMAX L2_NORMALIZATION TOPK_V2",
    _along(1): "CUMSUM REVERSE_V2",
    _reshaped: "RESHAPE SQUEEZE EXPAND_DIMS",
    _reduced: "MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD REDUCE_ALL REDUCE_ANY",
    _arg: "ARG_MAX ARG_MIN",
    _fully_connected: "FULLY_CONNECTED",
    _batch_matmul: "BATCH_MATMUL",
    _transposed: "TRANSPOSE",
    _concatenated: "CONCATENATION",
    _packed: "PACK",
    _unpacked: "UNPACK",
    _same_size: "SLICE",
    _padded: "PAD PADV2 MIRROR_PAD",
    _strided: "STRIDED_SLICE",
    _split(1, 0): "SPLIT",
    _split(0, 2): "SPLIT_V",
    _tiled: "TILE",
    _broadcast: "BROADCAST_TO",
    _gathered: "GATHER",
    _gathered_nd: "GATHER_ND",
    _looked_up: "EMBEDDING_LOOKUP",
    _one_hot: "ONE_HOT",
    _to_batch: "SPACE_TO_BATCH_ND",
    _to_space: "BATCH_TO_SPACE_ND",
    _of_all: "FILL RANGE",
}
RULES: dict[str, Rule] = {name: rule for rule, names in _RULES.items() for name in names.split()}
"""By name of the op; a rule is asked only where at least one input differs between samples. It takes the batch to be
where it is, and refuses; the batch is then tried elsewhere."""
