"""The preprocessing steps of a recipe, one class each; what they compute is in preprocessing.py."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tflite_pipeline.spec import Count, Finite, Many, Positive, Section


class Resize(Section):
    """Resize an image (height, width, channels) as `tf.image.resize` does: half-pixel centres, no antialiasing."""

    height: Count
    """Pixels from top to bottom. Example: `224`."""
    width: Count
    """Pixels from left to right. Example: `224`."""
    method: Literal["bilinear", "nearest", "area"] = "bilinear"
    """How a pixel is made of those of the original; must be what the model was trained with. Example: `bilinear`.

    - `bilinear`: the weighted mean of the four nearest
    - `nearest`: the nearest one
    - `area`: the mean of all that it covers; for making images much smaller
    """


class Crop(Section):
    """Cut the centre out of an image."""

    height: Count
    """Pixels from top to bottom that are kept. Example: `224`."""
    width: Count
    """Pixels from left to right that are kept. Example: `224`."""


class Pad(Section):
    """Centre an image on a larger canvas of one value."""

    height: Count
    """Pixels from top to bottom of the canvas. Example: `256`."""
    width: Count
    """Pixels from left to right of the canvas. Example: `256`."""
    value: Finite = 0.0
    """What the canvas is filled with. Example: `127.5`."""


class Scale(Section):
    """Compute `x * factor + offset` in float32."""

    factor: Finite = 1.0
    """What values are multiplied by. Example: `0.00784313725490196`."""
    offset: Finite = 0.0
    """What is added after that. Example: `-1.0`."""


class Normalize(Section):
    """Compute `(x - mean) / std` in float32; a number, or one number a channel (the last axis)."""

    mean: Annotated[Many[Finite], Field(min_length=1)] | Finite
    """What is taken away. Example: `[123.675, 116.28, 103.53]`."""
    std: Annotated[Many[Positive], Field(min_length=1)] | Positive
    """What the rest is divided by. Example: `[58.395, 57.12, 57.375]`."""


class ChannelOrder(Section):
    """Give the channels of an RGB image in this order."""

    order: Literal["rgb", "bgr"]
    """The order that the model takes. Example: `bgr`.

    - `rgb`: red, green, blue, as images are read
    - `bgr`: blue, green, red
    """


class GrayscaleToRgb(Section):
    """Repeat the one channel of an image three times."""


class Reshape(Section):
    """Give a sample another shape, without the batch dimension."""

    shape: Many[Count]
    """Sizes of all dimensions but the batch's. Example: `[49, 10, 1]`."""


class Cast(Section):
    """Convert to another dtype; to an integer by rounding to nearest and clipping."""

    dtype: Literal["float32", "int8", "uint8", "int16", "int32", "int64"]
    """What values become. Example: `float32`.

    - `float32`: 32-bit floating point
    - `int8`: integers from -128 to 127
    - `uint8`: integers from 0 to 255
    - `int16`: integers from -32768 to 32767
    - `int32`: integers of 32 bits
    - `int64`: integers of 64 bits
    """


def _bare_name(value: Any) -> Any:
    return {str(value): {}} if isinstance(value, str) else value


class Step(Section):
    """One preprocessing step: exactly one key, the name of the step."""

    resize: Resize | None = None
    """Resize an image as `tf.image.resize` does: half-pixel centres, no antialiasing.
    Example: `{height: 224, width: 224}`."""
    crop: Crop | None = None
    """Cut the centre out of an image. Example: `{height: 224, width: 224}`."""
    pad: Pad | None = None
    """Centre an image on a larger canvas of one value. Example: `{height: 256, width: 256, value: 0}`."""
    scale: Scale | None = None
    """Compute `x * factor + offset`. Example: `{factor: 0.00784313725490196, offset: -1.0}`."""
    normalize: Normalize | None = None
    """Compute `(x - mean) / std`, for all channels or for each. Example: `{mean: 127.5, std: 127.5}`."""
    channel_order: ChannelOrder | None = None
    """Give the channels of an RGB image in another order. Example: `{order: bgr}`."""
    grayscale_to_rgb: GrayscaleToRgb | None = None
    """Repeat the one channel of an image three times; the bare name is enough. Example: `{}`."""
    reshape: Reshape | None = None
    """Give a sample another shape. Example: `{shape: [49, 10, 1]}`."""
    cast: Cast | None = None
    """Convert to another dtype. Example: `{dtype: float32}`."""

    def chosen(self) -> list[tuple[str, Section]]:
        """List the keys that were given with their values; a sound step has one."""
        return [(name, value) for name in type(self).model_fields if (value := getattr(self, name)) is not None]


def _for_the_only_input(value: Any) -> Any:
    return {"": value} if isinstance(value, list | tuple) else value


Steps = Many[Annotated[Step, BeforeValidator(_bare_name, json_schema_input_type=Step | Literal["grayscale_to_rgb"])]]
Preprocessing = Annotated[
    dict[str, Steps], BeforeValidator(_for_the_only_input, json_schema_input_type=dict[str, Steps] | Steps)
]
"""Steps by input name; a bare list is for the only input, stored under the empty name."""
