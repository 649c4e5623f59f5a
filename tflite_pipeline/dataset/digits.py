"""The handwritten digits that scikit-learn carries: images (8, 8, 1) of 0..16, labels 0..9."""

from __future__ import annotations

import importlib.metadata

import numpy as np

from tflite_pipeline.dataset.spec import Digits
from tflite_pipeline.dataset.table import Table


def read(spec: Digits, seed: int) -> Table:
    """Give the 1797 images as float32."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = found.images.astype(np.float32)[..., None]
    return Table(
        count=len(images),
        inputs={"": images},
        labels={"": found.target.astype(np.int64)},
        classes=tuple(map(str, range(10))),
    )


def digest(spec: Digits) -> str:
    """Give the version of scikit-learn, which decides the images."""
    return importlib.metadata.version("scikit-learn")
