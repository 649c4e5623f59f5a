"""A raw sample and the steps of the recipe come in, the sample as the model takes it goes out; NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tflite_pipeline.dataset import steps as forms
from tflite_pipeline.dataset.resize import resize
from tflite_pipeline.dataset.table import Array
from tflite_pipeline.errors import StageError


class _UnfitError(Exception):
    """What a step needs, what it got where that is not the shape, and a remedy."""

    def __init__(self, needed: str, remedy: str = "", got: str = "") -> None:
        super().__init__(needed)
        self.needed, self.remedy, self.got = needed, remedy, got


def preprocess(sample: Array, steps: Sequence[forms.Step]) -> Array:
    """Apply the steps in their order to one sample without a batch dimension.

    Raises:
        StageError: where the sample holds no numbers, or where a step cannot take what came; names the step, the
            shape that came and the shape that it needs.
    """
    array = np.asarray(sample)
    if array.dtype.kind not in "biuf":
        raise StageError(f"a sample must hold numbers. Got dtype {array.dtype}.", "Store it as an array of numbers.")
    for number, step in enumerate(steps, start=1):
        ((name, section),) = step.chosen()
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # infinities are told with their row later
                array = STEPS[name](array, section)
        except _UnfitError as error:
            got = error.got or f"shape {array.shape}"
            raise StageError(
                f"preprocessing step {number} ({name}) needs {error.needed}. Got {got}.", error.remedy
            ) from error
    return array


def _need_image(array: Array) -> None:
    if array.ndim == 2:
        shape = [*array.shape, 1]
        raise _UnfitError("an image (height, width, channels)", f"Put `- reshape: {{shape: {shape}}}` before it.")
    if array.ndim != 3:
        raise _UnfitError("an image (height, width, channels)")


def _resize(array: Array, step: forms.Resize) -> Array:
    _need_image(array)
    return resize(array, step.height, step.width, step.method)


def _crop(array: Array, step: forms.Crop) -> Array:
    _need_image(array)
    top, left = ((size - wanted) // 2 for size, wanted in zip(array.shape, (step.height, step.width), strict=False))
    if top < 0 or left < 0:
        raise _UnfitError(f"an image of at least ({step.height}, {step.width})", "Resize or pad before cropping.")
    return array[top : top + step.height, left : left + step.width]


def _pad(array: Array, step: forms.Pad) -> Array:
    _need_image(array)
    height, width, channels = array.shape
    top, left = (step.height - height) // 2, (step.width - width) // 2
    if top < 0 or left < 0:
        raise _UnfitError(f"an image of at most ({step.height}, {step.width})", "Resize or crop before padding.")
    if array.dtype.kind != "f" and _clipped(np.asarray(step.value), array.dtype) != step.value:
        got = f"dtype {array.dtype}"
        raise _UnfitError(f"a dtype that holds {step.value:g}", "Put `- cast: {dtype: float32}` before it.", got)
    canvas = np.full((step.height, step.width, channels), step.value, array.dtype)
    canvas[top : top + height, left : left + width] = array
    return canvas


def _scale(array: Array, step: forms.Scale) -> Array:
    return array.astype(np.float32) * np.float32(step.factor) + np.float32(step.offset)


def _normalize(array: Array, step: forms.Normalize) -> Array:
    for values in (step.mean, step.std):
        if isinstance(values, tuple) and array.shape[-1:] != (len(values),):
            raise _UnfitError(f"{len(values)} channels, one for each number of mean or std")
    mean, std = np.asarray(step.mean, np.float32), np.asarray(step.std, np.float32)
    normalized: Array = (array.astype(np.float32) - mean) / std
    return normalized


def _channel_order(array: Array, step: forms.ChannelOrder) -> Array:
    _need_image(array)
    if array.shape[-1] != 3:
        raise _UnfitError("an image of 3 channels (height, width, 3)")
    return array[..., ::-1] if step.order == "bgr" else array


def _grayscale_to_rgb(array: Array, step: forms.GrayscaleToRgb) -> Array:
    _need_image(array)
    if array.shape[-1] != 1:
        raise _UnfitError("an image of 1 channel (height, width, 1)", "Leave the step out where images have colour.")
    return np.repeat(array, 3, axis=-1)


def _reshape(array: Array, step: forms.Reshape) -> Array:
    if array.size != np.prod(step.shape, dtype=np.int64):
        raise _UnfitError(f"{np.prod(step.shape, dtype=np.int64)} values, as many as shape {tuple(step.shape)} holds")
    return array.reshape(step.shape)


def _cast(array: Array, step: forms.Cast) -> Array:
    if step.dtype == "float32":
        return array.astype(np.float32)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _UnfitError("finite numbers", "Repair or remove the sample.", "NaN or infinity")
    return _clipped(array, np.dtype(step.dtype))


def _clipped(array: Array, dtype: np.dtype[Any]) -> Array:
    limits = np.iinfo(dtype if dtype.kind != "b" else np.uint8)
    if array.dtype.kind == "b":
        return array.astype(dtype)
    if array.dtype.kind in "iu":
        own = np.iinfo(array.dtype)
        return np.clip(array, max(own.min, limits.min), min(own.max, limits.max)).astype(dtype)
    highest = np.float64(limits.max)
    if int(highest) > limits.max:  # 2**63 - 1 is no float64; the next one below it is
        highest = np.nextafter(highest, 0)
    return np.clip(np.rint(array.astype(np.float64)), limits.min, highest).astype(dtype)


STEPS: dict[str, Callable[[Array, Any], Array]] = {
    "resize": _resize,
    "crop": _crop,
    "pad": _pad,
    "scale": _scale,
    "normalize": _normalize,
    "channel_order": _channel_order,
    "grayscale_to_rgb": _grayscale_to_rgb,
    "reshape": _reshape,
    "cast": _cast,
}
"""By the name of the step: sample and parameters come in, the changed sample goes out."""
