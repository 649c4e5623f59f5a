"""The samples of the golden vectors as the dataset has them: what an app starts from."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.dataset.load import SOURCES
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.handoff.vectors import Vectors, keep

MOST_VALUES = 1 << 20
"""A larger sample, such as a photo of a camera, is left out: it would be larger than the model."""


def add_raw(vectors: Vectors, dataset: Dataset, seed: int) -> None:
    """Put the sample of each vector that is one row of the dataset beside it, as PNG where it is an image of bytes."""
    table = SOURCES[dataset.source](dataset, seed)
    for number, row in enumerate(vectors.told["samples"]):
        if "row" not in row:
            continue
        names = list(row["inputs"]) if set(table.inputs) != {""} else [""]
        raw = {name: np.asarray(table.inputs[name][row["row"]]) for name in names}
        small = {name or next(iter(row["inputs"])): value for name, value in raw.items() if value.size <= MOST_VALUES}
        row["raw"] = {name: keep(vectors, number, name, *_as_file(value)) for name, value in small.items()}


def _as_file(value: npt.NDArray[Any]) -> tuple[str, bytes]:
    """Give the end of the name and the content."""
    file = io.BytesIO()
    if value.dtype == np.uint8 and value.ndim == 3 and value.shape[-1] in (1, 3):
        from PIL import Image

        Image.fromarray(value.squeeze(-1) if value.shape[-1] == 1 else value).save(file, "PNG")
        return "raw.png", file.getvalue()
    np.save(file, value, allow_pickle=False)
    return "raw.npy", file.getvalue()
