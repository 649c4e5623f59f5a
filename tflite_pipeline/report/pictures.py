"""Prepared samples in; what each one looks like, as a small picture or a curve for the page, out."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from tflite_pipeline.artifacts import Samples
from tflite_pipeline.report.charts import QUANTIZED, draw
from tflite_pipeline.runtime.rows import stored_rows

LONGEST_SIDE = 96
"""Pixels of a picture; of larger ones every second, third … is taken."""
LONGEST_SERIES = 400
_FEW_CHANNELS = 4
_LONG = 1.5
"""So many times as long as wide is no picture."""
_SERIES = (200, 90)
_EDGES = (1, 99)
"""Percentiles of the values that are shown as black and as white: an outlier would leave all else grey."""

Array = npt.NDArray[Any]


def draw_samples(rows: Sequence[int], samples: Samples) -> list[Markup]:
    """Draw the first input of the samples with these rows of the dataset, as the model takes it.

    The values are spread from black to white for each sample of its own, which no model does.
    """
    places = {row: position for position, row in enumerate(samples.rows)}
    stored = stored_rows(next(iter(samples.inputs.values())))
    values = (np.asarray(stored[places[row] : places[row] + 1], np.float32)[0] for row in rows)
    return [_draw(value, row, number) for number, (row, value) in enumerate(zip(rows, values, strict=True))]


def _draw(value: Array, row: int, number: int) -> Markup:
    value = value.squeeze()
    if value.ndim == 3 and value.shape[2] in (3, 4):
        return _picture(value[..., :3], f"Sample of row {row} as a picture")
    if value.ndim == 2 and min(value.shape) > _FEW_CHANNELS:
        if len(value) >= _LONG * value.shape[1]:  # features by time: time to the right, the first feature at the bottom
            value = value.T[::-1]
        return _picture(value, f"Sample of row {row} as a picture of its values, brighter is more")
    if value.ndim == 2:
        return _curve(value if len(value) > _FEW_CHANNELS else value.T, row, number)
    return _curve(value.reshape(-1), row, number)


def _picture(value: Array, told: str) -> Markup:
    from PIL import Image

    step = -(-max(value.shape[:2], default=1) // LONGEST_SIDE)
    value = value[::step, ::step]
    low, high = (float(edge) for edge in np.percentile(value, _EDGES))
    grey: Array = (np.clip((value - low) / (high - low or 1.0), 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    return Markup('<img src="data:image/png;base64,{}" alt="{}" width="{}" height="{}">').format(
        data, told, grey.shape[1], grey.shape[0]
    )


def _curve(value: Array, row: int, number: int) -> Markup:
    value = value[:: -(-len(value) // LONGEST_SERIES)]

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.plot(value, color=QUANTIZED, linewidth=1)
        axes.set_axis_off()

    return draw(f"sample-{number}", f"Sample of row {row} as a curve", _SERIES, paint)
