"""What the recipe's steps and classes say of a file's inputs and outputs, beyond what the file itself says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import TensorInfo
from tflite_pipeline.handoff.preparing import fold_steps

Preprocessing = Mapping[str, Sequence[Mapping[str, Any]]]
"""The recipe's declaration as plain JSON values: steps by input name, the empty name for the only input."""

_OF_IMAGES = frozenset({"resize", "crop", "pad", "channel_order", "grayscale_to_rgb"})
_BY_VALUE = frozenset({"scale", "normalize", "channel_order"})
_LAYOUTS = {4: "NHWC", 3: "NTC", 2: "NC"}


@dataclass(frozen=True)
class Normalization:
    """`(x - mean) / std` takes the sample as it is to what the model was made for; one number, or one a channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def is_image(info: TensorInfo, preprocessing: Preprocessing) -> bool:
    """Tell whether an input is an image of 1 or 3 channels, as its steps tell; a shape alone tells nothing."""
    named = {name for name, _ in _steps(info, preprocessing)}
    return len(info.shape) == 4 and info.shape[-1] in (1, 3) and bool(named & _OF_IMAGES)


def layout(info: TensorInfo, preprocessing: Preprocessing) -> dict[str, str]:
    """Give `layout` (NHWC, NTC, NC) of an input with steps, and `colors` of an image of 3 channels; else nothing."""
    steps, image = _steps(info, preprocessing), is_image(info, preprocessing)
    if not steps or len(info.shape) not in _LAYOUTS or (len(info.shape) == 4 and not image):
        return {}
    told = {"layout": _LAYOUTS[len(info.shape)]}
    if not image or info.shape[-1] != 3:
        return told
    orders = [values["order"] for name, values in steps if name == "channel_order"]
    return told | {"colors": "BGR" if orders.count("bgr") % 2 else "RGB"}


def normalization(info: TensorInfo, preprocessing: Preprocessing) -> Normalization | None:
    """Join the steps `scale` and `normalize` of an input; None where all steps together are no such thing."""
    steps, scaled = _steps(info, preprocessing), False
    for name, values in steps:
        if scaled and ((name == "cast" and values["dtype"] != "float32") or name == "pad"):
            return None  # rounded values, or a border that is not scaled
        scaled |= name in _BY_VALUE
    kept = [{name: values} for name, values in steps if name in _BY_VALUE]
    fold = fold_steps(kept, info.shape[-1] if info.shape else 1)
    if fold is None:
        return (
            None if {"scale", "normalize"} & {name for step in kept for name in step} else Normalization((0.0,), (1.0,))
        )
    if fold.first != 1 or not all(fold.factor):
        return None
    factor, offset = np.broadcast_arrays(fold.factor, fold.offset)
    mean, std = -offset / factor + 0.0, 1 / factor  # + 0.0: no negative zero
    return Normalization(tuple(mean.tolist()), tuple(std.tolist()))


def class_output(outputs: Sequence[TensorInfo], classes: Sequence[str]) -> int | None:
    """Give the position of the only output with one value a class; None where there is none, or more than one."""
    found = [place for place, info in enumerate(outputs) if classes and info.shape and info.shape[-1] == len(classes)]
    return found[0] if len(found) == 1 else None


def labels_text(classes: Sequence[str]) -> str:
    """Give the names of the classes, one a line."""
    return "".join(f"{' '.join(name.splitlines())}\n" for name in classes)


def real_range(info: TensorInfo) -> tuple[float, float] | None:
    """Give the lowest and the highest number that a quantized tensor can hold; None where it is not quantized."""
    if not info.scale:
        return None
    limits = np.iinfo(info.dtype)
    return (limits.min - info.zero_point) * info.scale, (limits.max - info.zero_point) * info.scale


def _steps(info: TensorInfo, preprocessing: Preprocessing) -> list[tuple[str, Mapping[str, Any]]]:
    """List the steps of an input by name, with their parameters."""
    steps = preprocessing.get(info.name, preprocessing.get("", ()))
    return [(name, values) for step in steps for name, values in step.items()]
