"""What targets demand of a file before it is made, as data: schemes, inputs and outputs, shapes, scales."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.targets.names import TARGET_SUMMARIES

DEFAULT_IO = "float32"


@dataclass(frozen=True)
class Demand:
    """What a target wants; what only a finished file can tell is left to its check.

    `io` are the dtypes that inputs and outputs may have, any where it is empty, and `io_why` says why. `fixed` shapes
    have no dimension that varies. `refuses` gives, by scheme, why no file of it can pass. `one_scale` gives, by scheme,
    why the weights of a dense layer must share one scale.
    """

    io: tuple[str, ...] = ()
    io_why: str = ""
    fixed: bool = False
    refuses: Mapping[str, str] = field(default_factory=dict)
    one_scale: Mapping[str, str] = field(default_factory=dict)

    def takes(self, scheme: str, io: str) -> bool:
        """Tell whether nothing speaks against a file of this scheme whose inputs and outputs have this dtype."""
        return scheme not in self.refuses and (not self.io or io in self.io)


_FLOAT = tuple(name for name, row in SCHEMES.items() if row.activations == "float32")
_INT4 = tuple(name for name, row in SCHEMES.items() if row.weights == "int4")
_BLOCKS = tuple(name for name, row in SCHEMES.items() if row.block)
_HYBRID = tuple(name for name in _FLOAT if SCHEMES[name].weights.startswith("int") and not SCHEMES[name].unpacked)


def _because(why: str, *schemes: str) -> dict[str, str]:
    return dict.fromkeys(schemes, why)


_OLD_INT4 = _because(
    "before 2.19 kernels refuse int4 weights at float data or get them wrong", *(set(_INT4) & set(_FLOAT))
)
_NO_FLOAT = _because("its ops are of integers", *_FLOAT)
_ETHOS_U = Demand(
    io=("int8", "uint8", "int16"),
    io_why="a float one is left to the CPU",
    fixed=True,
    refuses={**_NO_FLOAT, **_because("Vela has no weights of 4 bits", *_INT4)},
)

_TABLE: dict[str, Demand] = {
    "tflite-2.14": Demand(
        refuses=_OLD_INT4,
        one_scale=_because("before 2.16 kernels take the first one for all channels", "dynamic_int8"),
    ),
    "android-tflite-2.16": Demand(refuses=_OLD_INT4),
    "ios-tflite-2.17": Demand(refuses=_OLD_INT4),
    "litert-2.x": Demand(refuses=_because("before 2.21 kernels get scales for blocks wrong", *_BLOCKS)),
    "web": Demand(io=("float32", "uint8", "int32"), io_why="LiteRT.js takes arrays of no other type", fixed=True),
    "gpu": Demand(
        fixed=True,
        refuses={
            **_because("the delegate has no weights of 4 bits", *_INT4),
            **_because("the delegate has no activations of 16 bits", "int16x8"),
        },
    ),
    "edgetpu": Demand(
        fixed=True,
        refuses={
            **_NO_FLOAT,
            **_because("it has weights of 8 bits only", *_INT4),
            **_because("it has activations of 8 bits only", "int16x8"),
        },
        one_scale=_because("its compiler is older than scales by channel in dense layers", "full_int8", "mixed"),
    ),
    "tflm": Demand(
        fixed=True,
        refuses={
            **_because("its kernels read no integer weights at float data", *_HYBRID),
            **_because("it unpacks integers of 8 bits or more only", "float16", "weight_int4"),
        },
        one_scale=_because("it unpacks all channels with the scale of the first", "weight_int8"),
    ),
    "ethos-u55": _ETHOS_U,
    "ethos-u65": _ETHOS_U,
    "ethos-u85": _ETHOS_U,
}

DEMANDS: dict[str, Demand] = {name: _TABLE.get(name, Demand()) for name in TARGET_SUMMARIES}
"""By target; `litert` demands nothing. Where they are from is in docs/targets.md."""


def demands_of(targets: Iterable[str]) -> dict[str, Demand]:
    """Give the demands of the targets that are known."""
    return {name: DEMANDS[name] for name in targets if name in DEMANDS}


def able_schemes(targets: Iterable[str]) -> tuple[str, ...]:
    """List the schemes that no target refuses."""
    demands = demands_of(targets).values()
    return tuple(name for name in SCHEMES if not any(name in demand.refuses for demand in demands))


def able_io(scheme: str, targets: Iterable[str]) -> tuple[str, ...]:
    """List the dtypes of inputs and outputs that the scheme can have and all targets take, float32 first."""
    demands = demands_of(targets).values()
    return tuple(io for io in SCHEMES[scheme].io if all(not demand.io or io in demand.io for demand in demands))


def choose_io(scheme: str, targets: Sequence[str]) -> str:
    """Give the dtype of inputs and outputs where a recipe says none: float32 where the targets take it."""
    return next(iter(able_io(scheme, targets)), DEFAULT_IO)
