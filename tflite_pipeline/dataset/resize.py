"""An image and a size come in, the resized image goes out, as `tf.image.resize` computes it without antialiasing."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tflite_pipeline.dataset.table import Array


def resize(image: Array, height: int, width: int, method: str) -> Array:
    """Resize (height, width, channels); `nearest` keeps the dtype, `bilinear` and `area` give float32."""
    if method == "nearest":
        return image[_nearest(image.shape[0], height)][:, _nearest(image.shape[1], width)]
    used_rows, down = _weights(image.shape[0], height, method)
    used_columns, across = _weights(image.shape[1], width, method)
    # Only the pixels that have a weight are touched: a large photo is cut down before any arithmetic.
    part = image[used_rows][:, used_columns].astype(np.float32)
    lines = np.tensordot(down, part, axes=(1, 0))
    return np.ascontiguousarray(np.tensordot(lines, across, axes=(1, 1)).transpose(0, 2, 1))


@lru_cache(maxsize=16)
def _nearest(size: int, wanted: int) -> Array:
    centres = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * (np.float32(size) / np.float32(wanted))
    places: Array = np.minimum(np.floor(centres).astype(np.int64), size - 1)
    return places


@lru_cache(maxsize=16)
def _weights(size: int, wanted: int, method: str) -> tuple[Array, Array]:
    """Give the input positions that count, and the float32 matrix (wanted, positions) of their weights."""
    matrix = {"bilinear": _bilinear, "area": _area}[method](size, wanted)
    used = np.flatnonzero(matrix.any(axis=0))
    return used, np.ascontiguousarray(matrix[:, used])


def _bilinear(size: int, wanted: int) -> Array:
    # Positions in float32, as TensorFlow has them: on a large image their rounding shows in the pixels.
    scale = np.float32(size) / np.float32(wanted)
    places = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    below = np.floor(places)
    share = places - below
    matrix = np.zeros((wanted, size), np.float32)
    rows = np.arange(wanted)
    np.add.at(matrix, (rows, np.maximum(below.astype(np.int64), 0)), 1 - share)
    np.add.at(matrix, (rows, np.minimum(below.astype(np.int64) + 1, size - 1)), share)
    return matrix


def _area(size: int, wanted: int) -> Array:
    scale = np.float32(size) / np.float32(wanted)
    edges = (np.arange(wanted + 1, dtype=np.float32) * scale)[:, None]
    pixels = np.arange(size, dtype=np.float32)
    covered = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    matrix: Array = (np.maximum(covered, 0) / scale).astype(np.float32)
    return matrix
