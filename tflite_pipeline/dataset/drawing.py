"""Rows and their classes come in, a seeded order goes out of which every stretch holds the classes in proportion."""

from __future__ import annotations

import zlib

import numpy as np

from tflite_pipeline.dataset.table import Array


def draw_order(rows: Array, classes: Array | None, seed: int, stream: str) -> Array:
    """Shuffle `rows` so that any stretch of the result has each class as often as its share, give or take one.

    The order depends on nothing but the arguments: it is made of raw PCG64 numbers, which NumPy keeps stable.

    Args:
        rows: row numbers, int64 (n,).
        classes: class numbers of all rows of the table, indexed by row; None for a plain shuffle.
        seed: the recipe's seed.
        stream: what is drawn; other names give independent orders.
    """
    entropy = np.random.SeedSequence([seed, zlib.crc32(stream.encode())])
    shuffled = rows[np.argsort(np.random.PCG64(entropy).random_raw(len(rows)), kind="stable")]
    if classes is None or not len(rows):
        return shuffled
    _, number, counts = np.unique(classes[shuffled], return_inverse=True, return_counts=True)
    rank = np.empty(len(rows), np.int64)
    starts = np.cumsum(counts) - counts
    rank[np.argsort(number, kind="stable")] = np.arange(len(rows)) - np.repeat(starts, counts)
    # The k-th of n of a class stands at (k + 1/2) / n of the whole, so all classes run out together.
    return shuffled[np.argsort((rank + 0.5) / counts[number], kind="stable")]
