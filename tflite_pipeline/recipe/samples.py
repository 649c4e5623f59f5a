"""The `dataset` section goes in; what it alone tells about its samples, their labels and shapes, comes out."""

from __future__ import annotations

import functools

from tflite_pipeline.dataset import spec as dataset_spec
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.dataset.steps import Step

Shape = tuple[int | None, ...]
"""Sizes without the batch dimension; None is one that the recipe alone does not tell."""


def lacks_labels(dataset: Dataset, role: str) -> bool:
    """Tell whether the samples of a role surely have no labels; a factory's are known only when it runs."""
    if isinstance(dataset, dataset_spec.Synthetic):
        return dataset.classes is None
    if isinstance(dataset, dataset_spec.Npz):
        rule = dataset.splits.get(getattr(dataset, role).split)
        return dataset.labels is None and (rule is None or rule.labels is None)
    return False


def unlabelled(dataset: Dataset) -> str:
    """Name the dataset and the key that would give it labels."""
    key = "classes" if isinstance(dataset, dataset_spec.Synthetic) else "labels"
    return f"source: {dataset.source} without {key}"


def raw_shapes(dataset: Dataset) -> dict[str, Shape]:
    """Give the shapes of a sample by input name, before preprocessing; an only input of unknown shape may be an image.

    Nothing where there may be several inputs that the recipe does not describe.
    """
    if isinstance(dataset, dataset_spec.Digits):
        return {"": (8, 8, 1)}
    if isinstance(dataset, dataset_spec.ImageFolder):
        return {"": (None, None, 3)}
    if isinstance(dataset, dataset_spec.Synthetic):
        by_name = dataset.shape if isinstance(dataset.shape, dict) else {"": dataset.shape}
        return {name: tuple(shape) for name, shape in by_name.items()}
    return {"": (None, None, None)} if set(dataset.preprocessing) <= {""} else {}


def sample_shapes(dataset: Dataset) -> dict[str, Shape]:
    """Give the shapes of a sample by input name, after preprocessing."""
    steps = dataset.preprocessing
    return {name: functools.reduce(after, steps.get(name, ()), shape) for name, shape in raw_shapes(dataset).items()}


def after(shape: Shape, step: Step) -> Shape:
    """Give the shape of a sample after a preprocessing step."""
    if step.reshape is not None:
        return tuple(step.reshape.shape)
    resized = step.resize or step.crop or step.pad
    if resized is not None:
        return (resized.height, resized.width, *shape[2:])
    return (*shape[:-1], 3) if step.grayscale_to_rgb is not None else shape
