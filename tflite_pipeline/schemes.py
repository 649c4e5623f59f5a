"""The table of schemes: what each one stores, computes in, needs and allows. A new scheme is one row."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "float16", "int16", "int8", "int4"]
"""What weights or activations are held in."""


@dataclass(frozen=True)
class Scheme:
    """One way to quantize; `calibrated` schemes need a representative dataset.

    `engines` can make it, the preferred one first. `block` is the number of weights that share a scale along the depth
    of a dense layer; 0 is one scale a channel. `unpacked` weights are turned to float before they are used.
    """

    weights: str
    activations: str
    calibrated: bool
    io: tuple[str, ...]
    engines: tuple[str, ...]
    summary: str
    block: int = 0
    unpacked: bool = False


_FLOAT_IO = ("float32",)
_INT8_IO = ("float32", "int8", "uint8")

SCHEMES: dict[str, Scheme] = {
    "float32": Scheme("float32", "float32", False, _FLOAT_IO, ("none",), "no quantization: the reference itself"),
    "float16": Scheme(
        "float16",
        "float32",
        False,
        _FLOAT_IO,
        ("ai_edge", "converter"),
        "half the size; computes in float32, or float16 on a GPU",
    ),
    "dynamic_int8": Scheme(
        "int8",
        "float32",
        False,
        _FLOAT_IO,
        ("ai_edge", "converter"),
        "int8 weights; activations are quantized on the fly by dense and conv kernels",
    ),
    "dynamic_int4": Scheme(
        "int4",
        "float32",
        False,
        _FLOAT_IO,
        ("ai_edge",),
        "int4 weights where a kernel exists, int8 in other layers; activations are quantized on the fly",
    ),
    **{
        f"dynamic_int4_block{size}": Scheme(
            "int4",
            "float32",
            False,
            _FLOAT_IO,
            ("ai_edge",),
            f"dynamic_int4 with one scale for every {size} weights of a dense layer; not for reference kernels",
            block=size,
        )
        for size in (32, 64, 128)
    },
    "weight_int8": Scheme(
        "int8",
        "float32",
        False,
        _FLOAT_IO,
        ("ai_edge",),
        "int8 weights, turned to float before they are used: small file, float accuracy and speed",
        unpacked=True,
    ),
    "weight_int4": Scheme(
        "int4",
        "float32",
        False,
        _FLOAT_IO,
        ("ai_edge",),
        "int4 weights where a kernel exists, int8 in other layers, turned to float before they are used",
        unpacked=True,
    ),
    "full_int8": Scheme(
        "int8",
        "int8",
        True,
        _INT8_IO,
        ("mlir", "converter", "ai_edge"),
        "int8 weights and activations; what NPUs and microcontrollers need",
    ),
    "int8x4": Scheme(
        "int4",
        "int8",
        True,
        _INT8_IO,
        ("ai_edge",),
        "int8 activations, int4 weights in conv and dense layers, int8 weights in the others",
    ),
    "int16x8": Scheme(
        "int8",
        "int16",
        True,
        ("float32", "int16"),
        ("mlir", "converter", "ai_edge"),
        "int8 weights, int16 activations; close to float, slower, few accelerators",
    ),
    "mixed": Scheme(
        "mixed",
        "mixed",
        True,
        ("float32", "int8", "uint8", "int16"),
        ("ai_edge",),
        "a scheme for each layer, by quantization.rules; a layer without a rule stays float32",
    ),
}


def precisions_of(scheme: str) -> tuple[str, ...]:
    """List what a scheme holds weights and activations in; those of int4 weights have int8 where there is no kernel."""
    row = SCHEMES[scheme]
    return tuple(dict.fromkeys((row.weights, *(("int8",) if row.weights == "int4" else ()), row.activations)))


def permits(allow: Collection[str], scheme: str) -> bool:
    """Tell whether a scheme holds nothing but what is allowed; of `mixed` the rules decide."""
    return scheme != "mixed" and set(precisions_of(scheme)) <= set(allow)
