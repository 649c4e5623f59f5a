"""Raw samples and an input of a model in; the preprocessing steps that may lie between, out."""

from __future__ import annotations

import math
from typing import Any

from tflite_pipeline.errors import StageError
from tflite_pipeline.model.border import listed
from tflite_pipeline.starter.looks import Scaling, Shape, Steps

IMAGE_SIZE = 224
"""Height and width of images where the model takes any."""
_NOMINAL = ((0.0, 1.0), (-1.0, 1.0), (0.0, 16.0), (0.0, 255.0))
"""Ranges that values of images usually have; of those that hold all values, the first counts."""
_OF_DTYPE = {"uint8": (0.0, 255.0), "int8": (-128.0, 127.0), "int16": (-32768.0, 32767.0)}
AS_THEY_ARE = "as they are"
_IMAGENET: Steps = ({"normalize": {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}},)
_CAFFE: Steps = (
    {"channel_order": {"order": "bgr"}},
    {"normalize": {"mean": [103.939, 116.779, 123.68], "std": [1, 1, 1]}},
)


def can_become(raw: Shape, wanted: Shape, images: bool = True) -> bool:
    """Tell whether steps can make a sample of shape `raw` one of shape `wanted`; `images` may be resized."""
    try:
        steps = shape_steps(raw, wanted)
    except StageError:
        return False
    return images or not any("resize" in step for step in steps)


def shape_steps(raw: Shape, wanted: Shape) -> Steps:
    """Give the steps from one shape to the other. Raises StageError where there are none."""
    if _fits(raw, wanted):
        return ()
    if _is_image(wanted) and (len(raw) in (2, 3)) and (len(raw) == 2 or raw[-1] in (1, 3)):
        return _image_steps(raw, wanted)
    if None not in raw and None not in wanted and math.prod(_known(raw)) == math.prod(_known(wanted)):
        return ({"reshape": {"shape": list(wanted)}},)
    raise _unfit(raw, wanted)


def _fits(raw: Shape, wanted: Shape) -> bool:
    pairs = zip(raw, wanted, strict=False)
    return len(raw) == len(wanted) and None not in raw and all(b in (None, a) for a, b in pairs)


def _is_image(shape: Shape) -> bool:
    return len(shape) == 3 and shape[-1] in (1, 3)


def _known(shape: Shape) -> list[int]:
    return [size for size in shape if size is not None]


def _image_steps(raw: Shape, wanted: Shape) -> Steps:
    steps: list[dict[str, Any]] = []
    height, width, channels = wanted
    if len(raw) == 2:
        raw = (*raw, 1)
        steps.append({"reshape": {"shape": list(raw)}})
    if raw[-1] == 3 and channels == 1:
        raise _unfit(raw, wanted)
    if not _fits(raw[:2], wanted[:2]) or None in raw[:2]:
        steps.append({"resize": {"height": height or IMAGE_SIZE, "width": width or IMAGE_SIZE}})
    if raw[-1] == 1 and channels == 3:
        steps.append({"grayscale_to_rgb": {}})
    return tuple(steps)


def _unfit(raw: Shape, wanted: Shape) -> StageError:
    if len(raw) == len(wanted) == 3 and raw[-1] == 3 and wanted[-1] == 1:
        return StageError(
            "the model takes images of one channel. Got colour images, and no step makes them grey.",
            "Convert them to grey and give them as an .npz: numpy.savez(path, x=images, y=labels).",
        )
    return StageError(
        f"the model takes samples of shape {listed(wanted)}. Got {listed(raw)}, and no step makes one of the other.",
        "Give data that the model was made for, one sample a row.",
    )


def scalings(dtype: str, low: float, high: float, shape: Shape) -> tuple[Scaling, ...]:
    """List the usual ways to scale values of this dtype that were seen between `low` and `high`; as they are first."""
    ways = [Scaling(AS_THEY_ARE, ())]
    bounds = nominal_range(dtype, low, high)
    if bounds is None:
        return tuple(ways)
    least, width = bounds[0], bounds[1] - bounds[0]
    bytes_too = [("to 0..255", 0.0, 255.0)] if dtype == "int8" or bounds == (0.0, 1.0) else []
    for name, bottom, top in (*bytes_too, ("to 0..1", 0.0, 1.0), ("to -1..1", -1.0, 1.0)):
        if bounds != (bottom, top):
            factor = (top - bottom) / width
            ways.append(Scaling(name, ({"scale": {"factor": factor, "offset": bottom - least * factor}},)))
    if bounds == (0.0, 255.0) and len(shape) == 3 and shape[-1] == 3:
        ways += [Scaling("ImageNet mean and deviation", _IMAGENET), Scaling("BGR less the ImageNet mean", _CAFFE)]
    return tuple(ways)


def nominal_range(dtype: str, low: float, high: float) -> tuple[float, float] | None:
    """Give the range that values may have, judged by their dtype or by those that were seen; None for any others."""
    if dtype in _OF_DTYPE:
        return _OF_DTYPE[dtype]
    return next((bounds for bounds in _NOMINAL if bounds[0] <= low and high <= bounds[1]), None)
