"""What ops compute in and how their weights are stored in; the name of the scheme that this amounts to out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tflite_pipeline.runtime.graph import BORDER, NO_DATA, Graph, Op, Weight

FLOATS = frozenset({"float32", "float16", "bfloat16", "float64"})
INTEGERS = frozenset({"int4", "int8", "uint8", "int16"})

LEAST_QUANTIZED = 1024
"""Elements below which the converter leaves a weight float when only weights are quantized."""

WITH_INT4 = frozenset({"CONV_2D", "FULLY_CONNECTED", "EMBEDDING_LOOKUP"})
"""Ops with a kernel for int4 weights; the others hold int8 under an int4 scheme."""
IN_BLOCKS = frozenset({"FULLY_CONNECTED", "EMBEDDING_LOOKUP"})
"""Ops with a kernel for weights that share a scale in blocks along their last dimension."""

_ON_THE_FLY = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
"""Ops with a kernel for integer weights and float activations: a DEQUANTIZE before their weights was meant."""
_LOOKUPS = frozenset({"GATHER", "EMBEDDING_LOOKUP"})


@dataclass(frozen=True)
class Part:
    """An op in its graph: the dtypes of the numbers that it works on, and its weights.

    `allowed` says that it computes in float and may.
    """

    graph: Graph
    op: Op
    dtypes: frozenset[str]
    weights: tuple[Weight, ...]
    allowed: bool = False

    @property
    def in_float(self) -> bool:
        """Whether any number that it works on is a float."""
        return not self.dtypes.isdisjoint(FLOATS)


def computed_in(graph: Graph, op: Op) -> frozenset[str]:
    """Give the dtypes of the numbers that an op works on; whole numbers that stand for nothing else do not count.

    What only changes the dtype at the border works on none.
    """
    if op.name in BORDER | NO_DATA or (op.name == "CAST" and graph.at_border(op)):
        return frozenset()
    tensors = [graph.tensors[i] for i in graph.activations_of(op)]
    return frozenset(t.dtype for t in tensors if t.dtype in FLOATS or (t.dtype in INTEGERS and t.quantized))


def name_scheme(parts: Sequence[Part]) -> str:
    """Name the scheme of these ops taken together; `mixed` where no single one fits."""
    weights = [weight for part in parts for weight in part.weights]
    dtypes = {dtype for part in parts if not _only_looks_up(part) for dtype in part.dtypes}
    dtypes = dtypes or {dtype for part in parts for dtype in part.dtypes}
    if dtypes <= FLOATS:
        return _float_scheme(weights)
    if len(dtypes) > 1:
        return "mixed"
    dtype = dtypes.pop()
    stored = {weight.dtype for weight in weights if not is_activation_table(weight, dtype)}
    if dtype == "int16" and stored <= {"int8"}:
        return "int16x8"
    if dtype == "int8" and "int4" in stored:
        return "int8x4" if stored <= {"int8", "int4"} and not missed_int4(weights) else "mixed"
    return f"full_{dtype}" if stored <= {dtype} else "mixed"


def is_activation_table(weight: Weight, dtype: str) -> bool:
    """Tell whether a weight is a table of activations of this integer dtype: looking up a row leaves it as it is."""
    return weight.op in _LOOKUPS and weight.dtype == dtype == "int16"


def missed_int4(weights: Collection[Weight]) -> list[Weight]:
    """List the int8 weights of ops that could have int4 ones."""
    return [weight for weight in weights if weight.dtype == "int8" and weight.op in WITH_INT4]


def can_be_in_blocks(weight: Weight, block: int) -> bool:
    """Tell whether blocks of this size divide an int4 weight whose op could read them."""
    return weight.op in IN_BLOCKS and weight.dtype == "int4" and weight.shape[-1] % block == 0


def _only_looks_up(part: Part) -> bool:
    """Tell whether an op picks rows of a quantized table, which the converter leaves to be dequantized afterwards."""
    return part.op.name in _LOOKUPS and any(weight.dtype in INTEGERS for weight in part.weights)


def _float_scheme(weights: Sequence[Weight]) -> str:
    """Name the scheme of a graph that computes in float, from how its weights are stored and read."""
    packed = [weight for weight in weights if weight.dtype != "float32"]
    left = [weight for weight in weights if weight.dtype == "float32" and weight.elements >= LEAST_QUANTIZED]
    if not packed:
        return "float32"
    dtype = _stored_as(packed)
    if left or not dtype:
        return "mixed"
    if dtype == "float16":
        return dtype
    direct = any(not weight.unpacked for weight in packed)
    if direct and any(weight.unpacked and weight.op in _ON_THE_FLY for weight in packed):
        return "mixed"
    return _with_block(f"dynamic_{dtype}" if direct else f"weight_{dtype}", packed)


def _stored_as(weights: Sequence[Weight]) -> str:
    """Name the dtype of weights: int4 too where only ops without a kernel for it hold int8, "" for other mixes."""
    dtypes = {weight.dtype for weight in weights}
    if dtypes == {"int4", "int8"} and not missed_int4(weights):
        return "int4"
    return dtypes.pop() if len(dtypes) == 1 else ""


def _with_block(scheme: str, weights: Sequence[Weight]) -> str:
    """Add the size of the blocks to the name where there are any."""
    blocks = {weight.granularity for weight in weights if weight.granularity.startswith("block")}
    if not blocks:
        return scheme
    size = int(min(blocks).removeprefix("block"))
    whole = [weight for weight in weights if can_be_in_blocks(weight, size)]
    even = len(blocks) == 1 and all(weight.granularity in blocks for weight in whole)
    return f"{scheme}_block{size}" if even else "mixed"
