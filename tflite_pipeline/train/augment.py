"""A batch of training images in, the same images mirrored, moved and cropped at random out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.tensorflow import tensorflow
from tflite_pipeline.train.spec import Augment

Inputs = dict[str, Any]
DRAWS = 6
"""Random numbers a sample: two mirrors, two shifts, two places of the crop."""


def image_input(inputs: Mapping[str, Sequence[int]], labels: Mapping[str, Sequence[int]]) -> str:
    """Name the one input that is a batch of images; both arguments are shapes by name, samples first.

    Raises:
        StageError: where no input or more than one is an image [samples, height, width, channels], or where labels
            have places of their own (masks, boxes), which would no longer belong to the image.
    """
    images = [name for name, shape in inputs.items() if len(shape) == 4]
    if len(images) != 1:
        got = ", ".join(f"{name or 'the input'} {_listed(shape)}" for name, shape in inputs.items())
        raise StageError(
            f"training.augment needs exactly one input of images, (height, width, channels). Got {got}.",
            "Leave training.augment out.",
        )
    for name, shape in labels.items():
        if len(shape) > 2:
            raise StageError(
                f"training.augment moves what is in the image, but not the labels of shape {_listed(shape)}"
                f"{f' of {name}' if name else ''}, which tell where it is.",
                "Leave training.augment out.",
            )
    return images[0]


def _listed(shape: Sequence[int]) -> str:
    return "(" + ", ".join(map(str, shape[1:])) + ")"


def augmentation(spec: Augment, image: str, key: int) -> Callable[[Any, Inputs], Inputs]:
    """Give a TensorFlow function of the number of the batch and its inputs by name; only `image` is changed.

    What is drawn depends on `key` and the number of the batch only. `image` is [samples, height, width, channels] of
    any number type; shape, dtype and range of values stay. A crop of integers is rounded.
    """
    tf = tensorflow()

    def change(number: Any, inputs: Inputs) -> Inputs:
        images = inputs[image]
        draws = tf.random.stateless_uniform((tf.shape(images)[0], DRAWS), tf.stack([tf.cast(key, tf.int64), number]))
        if spec.flip or spec.shift:
            rows = _places(spec.flip in ("vertical", "both"), spec.shift or 0.0, images.shape[1], draws[:, 0:2])
            columns = _places(spec.flip in ("horizontal", "both"), spec.shift or 0.0, images.shape[2], draws[:, 2:4])
            images = tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
        if spec.crop:
            images = _crop(images, spec.crop, draws[:, 4:6])
        return inputs | {image: images}

    return change


def _places(flip: bool, shift: float, size: int, draws: Any) -> Any:
    """Give for each sample which row (or column) comes where, int32 [samples, size]; beyond the edge, the edge."""
    tf = tensorflow()
    most = round(shift * size)
    moves = tf.cast(tf.floor(draws[:, 1:2] * (2 * most + 1)), tf.int32) - most
    places = tf.clip_by_value(tf.range(size)[None, :] + moves, 0, size - 1)
    return tf.where(draws[:, 0:1] < 0.5, size - 1 - places, places) if flip else places


def _crop(images: Any, share: float, draws: Any) -> Any:
    """Cut a window of that share of height and width out of each image and resize it back, bilinear."""
    tf = tensorflow()
    sizes = tf.constant(images.shape[1:3].as_list(), tf.float32)
    spans = tf.maximum(sizes - 1.0, 1.0)
    inner = tf.maximum(share * sizes - 1.0, 0.0)  # between the centres of a window's outer pixels
    begin = draws * (sizes - 1.0 - inner)
    boxes = tf.concat([begin / spans, (begin + inner) / spans], axis=1)
    cropped = tf.image.crop_and_resize(
        tf.cast(images, tf.float32), boxes, tf.range(tf.shape(images)[0]), images.shape[1:3]
    )
    return tf.cast(cropped if images.dtype.is_floating else tf.round(cropped), images.dtype)
