"""The table of schemes: what each one stores, computes in, needs and allows. A new scheme is one row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scheme:
    """One way to quantize; `calibrated` schemes need a representative dataset."""

    weights: str
    activations: str
    calibrated: bool
    io: tuple[str, ...]
    summary: str


SCHEMES: dict[str, Scheme] = {
    "float32": Scheme("float32", "float32", False, ("float32",), "no quantization: the reference itself"),
    "float16": Scheme(
        "float16", "float32", False, ("float32",), "half the size; computes in float32, or float16 on a GPU"
    ),
    "dynamic_int8": Scheme(
        "int8",
        "float32",
        False,
        ("float32",),
        "int8 weights; activations are quantized on the fly by dense and conv kernels",
    ),
    "full_int8": Scheme(
        "int8",
        "int8",
        True,
        ("float32", "int8", "uint8"),
        "int8 weights and activations; what NPUs and microcontrollers need",
    ),
    "int16x8": Scheme(
        "int8",
        "int16",
        True,
        ("float32", "int16"),
        "int8 weights, int16 activations; close to float, slower, few accelerators",
    ),
}
