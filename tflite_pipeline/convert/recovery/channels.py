"""A reference in; the channels whose scale is free, and the same file with these channels scaled, out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Reference
from tflite_pipeline.convert.recovery.ties import DEPTHS, Part, Survey
from tflite_pipeline.runtime.biases import separated
from tflite_pipeline.runtime.revision import Revision
from tflite_pipeline.runtime.sums import LEFT_OUT, SUMS
from tflite_pipeline.runtime.writeback import write_back

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Group:
    """Channels that one positive factor each may scale, from the kernels that make them to those that read them.

    `size` is the number of channels; along the last axis of each of `tensors`, which are activations, they lie over and
    over. What is `made` is to be multiplied with the factors, what is `read` divided by them. `caps` are the tensors
    with a largest absolute value, which must not be reached.
    """

    size: int
    tensors: tuple[int, ...]
    made: tuple[Part, ...]
    read: tuple[Part, ...]
    caps: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Rewrite:
    """A reference that computes the same as another: how many groups or layers are changed, what was left and why."""

    reference: Reference
    changed: int
    left: tuple[str, ...]


def find_groups(reference: Path) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Find the groups of channels whose scale is free, and tell which kernels' channels have none and why.

    Numbers are those of the file in which each kernel has a bias of its own, as `runtime.biases.separated` gives it.
    """
    survey = Survey(Revision(separated(reference)))
    survey.walk()
    found: list[Group] = []
    left: dict[str, list[str]] = {}
    for tensors in survey.united().values():
        root = survey.root(tensors[0])
        made, read = survey.parts("made", root), survey.parts("read", root)
        if not made or not read or survey.sizes[root] == 1:
            continue
        if root in survey.reasons:
            left.setdefault(survey.reasons[root], []).append(survey.name(tensors[0]).split(";")[0])
            continue
        caps = tuple((tensor, survey.caps[tensor]) for tensor in tensors if tensor in survey.caps)
        found.append(Group(survey.sizes[root], tuple(tensors), made, read, caps))
    told = list(itertools.starmap(_told, left.items()))
    if survey.refused:
        told.append(
            f"layers whose channels keep their scale, since their kernels are shared or not plain: {survey.refused}."
        )
    return tuple(found), tuple(told)


def _told(reason: str, names: list[str]) -> str:
    more = f" and of {len(names) - 1} more tensors" if len(names) > 1 else ""
    return f"the channels of '{names[0]}'{more} keep their scale: {reason}."


def scaled(reference: Reference, factors: Mapping[Group, Array], out: Path) -> Reference:
    """Write `reference.tflite` below `out`, the channels of each group times its positive factors [channels].

    It computes the same, up to rounding, as long as no cap of a group is reached.
    """
    revision, values = Revision(separated(reference.path)), dict[int, Array]()
    for group, row in factors.items():
        for parts, times in ((group.made, row), (group.read, 1 / row)):
            for part in parts:
                constant = values[part.tensor] if part.tensor in values else constant_of(revision, part.tensor)
                values[part.tensor] = constant * part.spread(times, constant.shape)
    return with_constants(reference, values, out)


def with_constants(reference: Reference, values: Mapping[int, Array], out: Path) -> Reference:
    """Write `reference.tflite` below `out`: a bias of its own for each kernel, and then new values of constants."""
    path = out / "reference.tflite"
    path.write_bytes(separated(reference.path))
    return write_back(replace(reference, path=path), values, out)


def constant_of(revision: Revision, tensor: int) -> Array:
    """Give the values of a float32 constant in its shape, float64."""
    values = revision.stored(tensor)
    if values is None:
        raise ValueError(f"tensor {tensor} is no constant")
    return values.astype(np.float64).reshape(revision.shape(tensor))


def summed(name: str, kernel: Array, values: Array) -> Array:
    """Give what such an op sums up, without bias, where all it reads has the values [channels] everywhere."""
    axis, channels = DEPTHS[name], SUMS[name].channels
    each = kernel.shape[axis] // len(values) if name == "DEPTHWISE_CONV_2D" else 1
    products = kernel * Part(LEFT_OUT, axis, each).spread(values, kernel.shape)
    return np.asarray(products.sum(axis=tuple(other for other in range(kernel.ndim) if other != channels)))
