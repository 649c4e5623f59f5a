"""What ai-edge-quantizer can make of an op."""

from __future__ import annotations

from dataclasses import dataclass

_DENSE = frozenset({"FULLY_CONNECTED", "EMBEDDING_LOOKUP"})
_CASTABLE = _DENSE | {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"}
WEIGHTED = _CASTABLE | {"BATCH_MATMUL"}
"""Ops whose constant operand is a weight; a constant of any other op is quantized as an activation."""
_COMPUTE_INT16 = """
ADD AVERAGE_POOL_2D BATCH_MATMUL BROADCAST_TO CONCATENATION CONV_2D DEPTHWISE_CONV_2D DIV DYNAMIC_UPDATE_SLICE EQUAL
FULLY_CONNECTED GATHER GATHER_ND GELU LOGISTIC MAXIMUM MAX_POOL_2D MEAN MIRROR_PAD MUL NOT_EQUAL PACK PAD PADV2
REDUCE_MIN RELU RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SELECT SELECT_V2 SLICE SOFTMAX SPLIT SQRT
STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV UNPACK
"""
_INT16 = frozenset(_COMPUTE_INT16.split())
_INT8 = _INT16 | {"HARD_SWISH", "SPACE_TO_DEPTH", "SQUARED_DIFFERENCE"}


@dataclass(frozen=True)
class Treatment:
    """What becomes of an op: the bits of its weights and of its activations, 0 where these stay float32.

    Weights of 16 bits are float16. `unpacked` weights are turned to float before they are used. `per_channel` gives
    each output channel a scale of its own, `block` every so many weights along the depth.
    """

    weights: int
    activations: int = 0
    unpacked: bool = False
    per_channel: bool = True
    block: int = 0

    @property
    def ops(self) -> frozenset[str]:
        """The types of op that the library can treat so."""
        if self.activations:
            able = _INT16 if self.activations == 16 else _INT8
            return able if self.weights == 8 else frozenset({"CONV_2D", "FULLY_CONNECTED"})
        if self.weights == 16:
            return _CASTABLE
        if self.block:
            return _DENSE
        if self.weights == 8:
            return WEIGHTED
        return _DENSE | {"CONV_2D"} | ({"BATCH_MATMUL"} if self.unpacked else set())

    @property
    def label(self) -> str:
        """A name that no other treatment has."""
        return f"w{self.weights}a{self.activations}{'u' * self.unpacked}{'c' * self.per_channel}b{self.block}"
