"""The declared preprocessing of an input in; each step in words, and what of it code can do value by value, out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["same", "gray", "mirrored"]
_SAME: Source = "same"
Step = Mapping[str, Any]
"""One step of the recipe as plain JSON values: the name and its parameters."""
_WORDS: dict[str, str] = {
    "resize": "resize to {height} x {width}, {method}, as tf.image.resize does without antialiasing",
    "crop": "cut {height} x {width} out of the centre",
    "pad": "centre on {height} x {width} of the value {value}",
    "scale": "x * {factor} + {offset}",
    "normalize": "(x - {mean}) / {std}",
    "channel_order": "channels in the order {order}",
    "grayscale_to_rgb": "repeat the one channel three times",
    "reshape": "reshape a sample to {shape}",
    "cast": "cast to {dtype}; to integers by rounding and clipping",
}


@dataclass(frozen=True)
class Pointwise:
    """The last steps as one: value `i` is `x[source of i] * factor + offset`, factors and offsets by channel.

    `source` tells where a value comes from: its own place, the one channel of its pixel, or the mirrored channel.
    `first` and `last` are the numbers of the steps, from 1.
    """

    source: Source
    factor: tuple[float, ...]
    offset: tuple[float, ...]
    first: int
    last: int


def tell_steps(steps: Sequence[Step]) -> list[str]:
    """Say each step in words."""
    return [
        _WORDS[name].format(**values).replace("+ -", "- ").replace("- -", "+ ") for name, values in map(_parts, steps)
    ]


def fold_steps(steps: Sequence[Step], channels: int) -> Pointwise | None:
    """Make one of the last steps that need no neighbours of a value; None where they change nothing.

    `channels` is the size of the input's last axis. What stands before `first` is left to the app.
    """
    start = len(steps)
    while start and _foldable(*_parts(steps[start - 1]), channels):
        start -= 1
    factor, offset, source = [1.0] * channels, [0.0] * channels, _SAME
    for name, values in map(_parts, steps[start:]):
        factor, offset = _apply(name, values, factor, offset)
        source = _moved(name, values, source)
    if source == _SAME and set(factor) == {1.0} and set(offset) == {0.0}:
        return None
    return Pointwise(source, _shared(factor), _shared(offset), start + 1, len(steps))


def affine(value: str, fold: Pointwise, number: Callable[[float], str], channel: str = "") -> str:
    """Write what becomes of a value in code; `channel` indexes the lists `factor` and `offset` where they are lists."""
    if fold.factor != (1.0,):
        value += f" * {number(fold.factor[0]) if len(fold.factor) == 1 else 'factor' + channel}"
    if len(fold.offset) > 1:
        return f"{value} + offset{channel}"
    (offset,) = fold.offset
    return value if offset == 0 else f"{value} {'-' if offset < 0 else '+'} {number(abs(offset))}"


def source_index(fold: Pointwise, index: str, gray: str = "{} / 3") -> str:
    """Write the index of the value that value `index` is made of, in a flat list of samples."""
    if fold.source == "gray":
        return gray.format(index)
    return f"{index} + 2 - 2 * ({index} % 3)" if fold.source == "mirrored" else index


def _parts(step: Step) -> tuple[str, Mapping[str, Any]]:
    ((name, values),) = step.items()
    return name, values


def _moved(name: str, values: Mapping[str, Any], source: Source) -> Source:
    if name == "grayscale_to_rgb" or source == "gray":
        return "gray"
    mirrors = name == "channel_order" and values["order"] == "bgr"
    return source if not mirrors else "mirrored" if source == _SAME else _SAME


def _foldable(name: str, values: Mapping[str, Any], channels: int) -> bool:
    """Tell whether a step works on values one by one, or on the channels of one pixel."""
    if name == "cast":
        return bool(values["dtype"] == "float32")
    if name == "normalize":
        return all(len(_listed(values[key])) in (1, channels) for key in ("mean", "std"))
    return name == "scale" or (name in {"grayscale_to_rgb", "channel_order"} and channels == 3)


def _apply(
    name: str, values: Mapping[str, Any], factor: list[float], offset: list[float]
) -> tuple[list[float], list[float]]:
    if name == "scale":
        times, plus = [values["factor"]] * len(factor), [values["offset"]] * len(factor)
    elif name == "normalize":
        mean, std = (_spread(values[key], len(factor)) for key in ("mean", "std"))
        times = [1 / one for one in std]
        plus = [-one / other for one, other in zip(mean, std, strict=True)]
    elif name == "channel_order" and values["order"] == "bgr":
        return factor[::-1], offset[::-1]
    else:
        return factor, offset
    pairs = list(zip(factor, offset, times, plus, strict=True))
    return [f * t for f, _, t, _ in pairs], [o * t + p for _, o, t, p in pairs]


def _spread(value: Any, size: int) -> list[float]:
    listed = _listed(value)
    return listed * size if len(listed) == 1 else listed


def _listed(value: Any) -> list[float]:
    return list(value) if isinstance(value, Sequence) else [value]


def _shared(values: list[float]) -> tuple[float, ...]:
    return tuple(values[:1] if len(set(values)) == 1 else values)
