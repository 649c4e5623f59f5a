"""What a live Keras model takes and gives: names and shapes, compared with the samples that are there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import Samples
from tflite_pipeline.errors import StageError

Shape = tuple[int | None, ...]

OPEN_SIZES = "no samples say how large the open dimensions are"


def input_shapes(live: Any) -> dict[str, Shape]:
    """Give the shapes of the inputs by name, batch first; names are such as TensorFlow takes for arguments.

    Raises StageError where the model has no fixed inputs.
    """
    if not getattr(live, "inputs", None):
        raise StageError(
            f"'{live.name}' has no fixed inputs: it is a subclassed model, or was built without an Input.",
            "Give it an Input: inputs = keras.Input(…); keras.Model(inputs, model(inputs)).",
        )
    names = argument_names([_tensor_name(tensor) for tensor in live.inputs])
    return {name: tuple(tensor.shape) for name, tensor in zip(names, live.inputs, strict=True)}


def output_names(live: Any) -> list[str]:
    """List the names of the outputs as Keras calls them, in the order of `live.outputs`."""
    structure = getattr(live, "output", None)
    if isinstance(structure, dict):
        return sorted(structure)
    # A Sequential of Keras 3 has one output without a name, and no structure before it was called for the first time.
    return list(getattr(live, "output_names", None) or [live.layers[-1].name])


def layer_names(live: Any) -> tuple[str, ...]:
    """List the names of all layers, those of nested models too."""
    names = []
    for layer in live.layers:
        names += [layer.name, *(layer_names(layer) if getattr(layer, "layers", None) else ())]
    return tuple(names)


def input_structure(live: Any) -> Any:
    """Give the inputs nested as the model takes them."""
    structure = getattr(live, "input", None)
    return live.inputs[0] if structure is None else structure


def argument_names(raw: Sequence[str]) -> list[str]:
    """Make names that TensorFlow takes as argument names, each once."""
    names: list[str] = []
    for name in raw:
        clean = re.sub(r"\W", "_", name) or "tensor"
        names.append(clean if clean not in names else f"{clean}_{len(names)}")
    return names


def static_shapes(shapes: dict[str, Shape], batch: int | str, samples: Samples | None) -> dict[str, Shape]:
    """Fix the batch, take open dimensions from the samples, compare the rest with them; tells all mistakes at once."""
    given = _sample_shapes(samples, list(shapes)) if samples else {}
    static: dict[str, Shape] = {}
    wrong = []
    for name, shape in shapes.items():
        inner = shape[1:]
        if name in given:
            inner = given[name]
            if len(inner) != len(shape) - 1 or any(a not in (None, b) for a, b in zip(shape[1:], inner, strict=False)):
                wrong.append(f"input '{name}' takes {listed(shape[1:])}; the preprocessed samples are {listed(inner)}")
        elif None in inner:
            wrong.append(f"input '{name}' takes {listed(inner)}, and {OPEN_SIZES}")
        static[name] = (None if batch == "dynamic" else int(batch), *inner)
    if wrong:
        raise StageError(
            "; ".join(wrong) + ".", "Change dataset.preprocessing (resize, reshape, grayscale_to_rgb) or the model."
        )
    return static


def listed(shape: Sequence[int | None]) -> str:
    """Write a shape for a message."""
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"


def _tensor_name(tensor: Any) -> str:
    return str(tensor.name).split(":")[0].split("/")[0]


def _sample_shapes(samples: Samples, names: list[str]) -> dict[str, tuple[int, ...]]:
    given = {name: np.load(path, mmap_mode="r").shape[1:] for name, path in samples.inputs.items()}
    if set(given) == {""} and len(names) == 1:
        return {names[0]: given[""]}
    if set(given) != set(names):
        raise StageError(
            f"the model has the inputs {', '.join(names)}; the dataset gives {', '.join(given) or 'one, unnamed'}.",
            "Name the arrays in dataset.inputs by the model's inputs.",
        )
    return given
