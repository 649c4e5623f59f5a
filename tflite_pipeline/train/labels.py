"""The shapes of the outputs, the loss and the labels in; an error where they do not belong together out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tflite_pipeline.errors import StageError
from tflite_pipeline.model.border import Shape, listed

CLASS_NUMBERS = "sparse_categorical_crossentropy"


def check_labels(outputs: Mapping[str, Shape], loss: str, labels: Mapping[str, Any], rows: Sequence[int]) -> None:
    """Raise StageError where there are no labels, or their names, shapes or values do not fit the outputs.

    `outputs` are shapes by name, without the batch; `labels` are arrays by output name, first axis the samples; `rows`
    are their rows of the dataset. The names of an only output and its labels need not agree.
    """
    _check_presence(loss, labels)
    shapes = dict(outputs)
    if len(shapes) == len(labels) == 1:
        shapes = dict(zip(labels, shapes.values(), strict=True))
    if set(shapes) != set(labels):
        raise StageError(
            f"training needs labels for the model's outputs, {', '.join(shapes)}. "
            f"Got {', '.join(labels) if any(labels) else 'one array, unnamed'}.",
            "Name the arrays in dataset.labels by the model's outputs.",
        )
    for name, array in labels.items():
        if loss == "binary_crossentropy":
            _check_shares(array, rows)
        if loss == CLASS_NUMBERS:
            _check_class_numbers(array, shapes[name], rows)
        elif not _fits(array.shape[1:], shapes[name]):
            raise StageError(
                f"the loss {loss} needs labels of the output's shape {listed(shapes[name])}. "
                f"Got {listed(array.shape[1:])}.",
                "Name the right array in dataset.labels, or change the model.",
            )


def _check_shares(array: Any, rows: Sequence[int]) -> None:
    wrong = np.argwhere(((array < 0) | (array > 1)).reshape(len(array), -1))
    if len(wrong):
        first, column = wrong[0].tolist()
        raise StageError(
            "the loss binary_crossentropy needs labels from 0 to 1. "
            f"Got {array.reshape(len(array), -1)[first, column]} on row {rows[first]} of the dataset.",
            "Check the labels, or set another training.loss.",
        )


def _check_presence(loss: str, labels: Mapping[str, Any]) -> None:
    if not labels:
        raise StageError("training needs labels, and the dataset has none.", "Set dataset.labels.")
    if loss == "categorical_crossentropy" and any(label.ndim == 1 for label in labels.values()):
        raise StageError(
            "categorical_crossentropy needs one-hot labels, and the dataset gives class numbers.",
            "Set training.loss: sparse_categorical_crossentropy.",
        )


def _fits(sizes: Sequence[int], output: Sequence[int | None]) -> bool:
    """Compare shapes; labels without an axis go with an output of one number."""
    if not sizes and tuple(output) == (1,):
        return True
    return len(sizes) == len(output) and all(a in (None, b) for a, b in zip(output, sizes, strict=True))


def _check_class_numbers(array: Any, output: Sequence[int | None], rows: Sequence[int]) -> None:
    if not _fits(array.shape[1:], output[:-1]):
        one_hot = _fits(array.shape[1:], output)
        raise StageError(
            f"the loss {CLASS_NUMBERS} needs one class number a sample. Got labels of shape {listed(array.shape[1:])}.",
            "Set training.loss: categorical_crossentropy." if one_hot else "Name the right array in dataset.labels.",
        )
    classes = output[-1]
    if classes is None:
        return
    flat = array.reshape(len(array), -1)
    wrong = np.argwhere((flat < 0) | (flat >= classes))
    if len(wrong):
        first, column = wrong[0].tolist()
        raise StageError(
            f"labels must be class numbers from 0 to {classes - 1}, as the model has {classes} outputs. "
            f"Got {flat[first, column]} on row {rows[first]} of the dataset.",
            "Check the labels, or give the model as many outputs as there are classes.",
        )
