"""The float reference in; the same model, with ops put in the place of those that quantizers fail at, out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tflite_pipeline.convert.folding import fold
from tflite_pipeline.runtime.revision import Revision

Rewrite = Callable[[Revision, Any], bool]
"""Puts others in the place of an op and tells that it did; else it leaves all as it was, and the op is kept."""

_HIGHEST_POWER = 4


def rewritten(content: bytes) -> bytes:
    """Give the file with every op of REWRITES replaced, and the bytes themselves where it has none that fits.

    What an op made keeps its name and its number, and outputs differ by the rounding of float32 at most. Only float32
    is rewritten, and only subgraph 0: the bodies of loops stay float in any case.
    """
    revision = Revision(content)
    changed = False
    for op in revision.ops():
        rewrite = REWRITES.get(revision.name(op))
        if rewrite is not None and revision.dtype(op.outputs[0]) == "float32" and rewrite(revision, op):
            changed = True
        else:
            revision.keep(op)
    return revision.content() if changed else content


def _negate(revision: Revision, op: Any) -> bool:
    revision.put("MUL", [op.inputs[0], revision.number(-1)], op.outputs[0])
    return True


def _square(revision: Revision, op: Any) -> bool:
    revision.put("MUL", [op.inputs[0], op.inputs[0]], op.outputs[0])
    return True


def _raise_to_power(revision: Revision, op: Any) -> bool:
    base, exponent = op.inputs
    values = revision.stored(exponent)
    if values is None or values.size != 1 or values[0] not in range(2, _HIGHEST_POWER + 1):
        return False
    product = base
    for count in range(2, int(values[0])):
        product = revision.put("MUL", [product, base], revision.beside(op.outputs[0], f"power_{count}"))
    revision.put("MUL", [product, base], op.outputs[0])
    return True


def _add_all(revision: Revision, op: Any) -> bool:
    total, *middle, last = op.inputs
    for count, part in enumerate(middle, 2):
        total = revision.put("ADD", [total, part], revision.beside(op.outputs[0], f"sum_{count}"))
    revision.put("ADD", [total, last], op.outputs[0])
    return True


def _split(revision: Revision, op: Any) -> bool:
    return _cut_out(revision, op, whole=op.inputs[1], axes=revision.stored(op.inputs[0]))


def _split_by_sizes(revision: Revision, op: Any) -> bool:
    return _cut_out(revision, op, whole=op.inputs[0], axes=revision.stored(op.inputs[2]))


def _cut_out(revision: Revision, op: Any, whole: int, axes: Any) -> bool:
    """Cut out each part that is read by an op of its own, where one part is read by none."""
    read = [revision.readers(part) > 0 for part in op.outputs]
    if axes is None or all(read):
        return False
    place = 0
    for part, wanted in zip(op.outputs, read, strict=True):
        shape = revision.shape(part)
        axis = int(axes[0]) % len(shape)
        if wanted:
            begin = [place if along == axis else 0 for along in range(len(shape))]
            size = [shape[axis] if along == axis else -1 for along in range(len(shape))]
            revision.put("SLICE", [whole, revision.integers(begin), revision.integers(size)], part)
        place += shape[axis]
    return True


def _elu(revision: Revision, op: Any) -> bool:
    """Compute relu(x) + (exp(x - relu(x)) - 1); x - relu(x) is min(x, 0) without a rounding.

    MINIMUM itself would not do: it reads and writes at one scale, and the quantizer narrows x to what MINIMUM writes.
    """
    (x,), (output,) = op.inputs, op.outputs
    above = revision.put("RELU", [x], revision.beside(output, "above"))
    below = revision.put("SUB", [x, above], revision.beside(output, "below"))
    power = revision.put("EXP", [below], revision.beside(output, "exp"))
    bent = revision.put("SUB", [power, revision.number(1)], revision.beside(output, "expm1"))
    revision.put("ADD", [above, bent], output)
    return True


def _part(revision: Revision, op: Any) -> bool:
    """Let the op read what others read too through a MUL by 1, which has a scale of its own.

    The quantizer gives what these ops read the scale of what they write, and so cuts off, for the other readers too,
    what they do not let pass.
    """
    shared = [index for index in dict.fromkeys(op.inputs) if revision.readers(index) > 1 and revision.varies(index)]
    for index in shared:
        own = revision.put("MUL", [index, revision.number(1)], revision.beside(index, "own"))
        op.inputs = [own if operand == index else operand for operand in op.inputs]
    if shared:
        revision.keep(op)
    return bool(shared)


def _reverse(revision: Revision, op: Any) -> bool:
    """Gather from last to first: the kernel of REVERSE_V2 copies, though the quantizer lets it write another scale."""
    turned, axes = op.inputs
    directions, shape = revision.stored(axes), revision.shape(turned)
    if directions is None or any(revision.is_open(turned, int(axis)) for axis in directions):
        return False
    *first, last = map(int, directions)
    for axis in first:
        turned = _gather_back(revision, turned, shape, axis, revision.beside(op.outputs[0], f"axis_{axis}"))
    _gather_back(revision, turned, shape, last, op.outputs[0])
    return True


def _gather_back(revision: Revision, turned: int, shape: list[int], axis: int, output: int) -> int:
    places = revision.integers(range(shape[axis] - 1, -1, -1))
    return revision.put("GATHER", [turned, places], output, axis=axis % len(shape))


def _count_flags(revision: Revision, op: Any) -> bool:
    if revision.dtype(op.inputs[0]) != "bool":
        return False
    revision.put("SELECT_V2", [op.inputs[0], revision.number(1), revision.number(0)], op.outputs[0])
    return True


REWRITES: dict[str, Rewrite] = {
    "ADD_N": _add_all,  # a sum of more than two tensors, as Lambda layers and TensorFlow models write it
    "CAST": _count_flags,  # of flags, which masks become before they are multiplied
    "CONV_2D": fold,  # ConvNeXt, whose first convolution reads an input that a layer normalizes
    "DEPTHWISE_CONV_2D": fold,
    "ELU": _elu,
    "FULLY_CONNECTED": fold,
    "MAXIMUM": _part,
    "MINIMUM": _part,  # celu
    "NEG": _negate,  # LayerNormalization and GroupNormalization of Keras 3, and log_sigmoid
    "POW": _raise_to_power,  # polynomials
    "REVERSE_V2": _reverse,  # Bidirectional layers
    "SELECT": _part,  # ELU with alpha
    "SELECT_V2": _part,  # ReLU with a threshold, masked sequences
    "SPLIT": _split,  # the first step of an unrolled LSTM, which has nothing to forget, and so no use for that gate
    "SPLIT_V": _split_by_sizes,  # the same of GRU
    "SQUARE": _square,  # RMSNormalization, UnitNormalization, L2 norms
}
"""By op: what replaces it. The quantizers leave these float, or spoil them; what is put in becomes integer.

Ops without such a rewrite stay float: FLOOR, CEIL, ROUND and SIGN jump, so a step of the input more or less would be a
whole step of the output; SIN, COS, ATAN2, CUMSUM, CONV_3D and LOCAL_RESPONSE_NORMALIZATION have no exact substitute
that is integer.
"""
