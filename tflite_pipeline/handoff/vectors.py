"""Golden vectors: real samples with the bytes that go into the file and those that come out, and what they mean."""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import Samples, TensorInfo
from tflite_pipeline.handoff.border import class_output
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.output_steps import output_steps

FOLDER = "vectors"
COUNT = 5
MOST_VALUES = 20
"""As many real values of an output are told."""
PROBED = 60
"""About as many real values of an input are told, from all over it: enough to see how it was changed."""
FLOAT_STEP = 1e-4
"""Of an output's largest magnitude: so far float kernels may be apart in any case."""

Array = npt.NDArray[Any]
Border = tuple[Sequence[TensorInfo], Sequence[TensorInfo]]
"""Inputs and outputs in the order of the file."""
Difference = Sequence[Mapping[str, float]]
"""How far LiteRT's kernels are apart, output by output: `{lsb: n}` or `{absolute: x}`; empty where it is not known."""


@dataclass(frozen=True)
class Vectors:
    """What the contract tells of them, and the files by their place in the bundle."""

    told: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)


def make_vectors(model: Path, border: Border, samples: Samples | None, told: dict[str, Any]) -> Vectors:
    """Run a few of the samples, those on which the kernels were compared where there are such.

    `told` has `classes`, `spread`, by output how far kernels are apart on any sample, and `tested`, the same for single
    ones: `{sample, difference}`. Where there are no samples there are no vectors.
    """
    made_by = f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"
    made = Vectors({"made_by": made_by, "samples": [], "sha256": {}})
    if samples is None:
        return made
    interpreter = litert.open_interpreter(model)
    steps = list(output_steps(model).values())
    for rows, apart in _choose(border, samples, told):
        interpreter.reset_all_variables()
        arrays = {name: np.load(path, mmap_mode="r")[rows] for name, path in samples.inputs.items()}
        row = {"row": samples.rows[rows.start]} if rows.stop - rows.start == 1 else {}
        row |= _feed(made, interpreter, border[0], arrays) | {"outputs": {}}
        interpreter.invoke()
        for place, detail in enumerate(interpreter.get_output_details()):
            info, value = border[1][place], interpreter.get_tensor(detail["index"])
            real = litert.dequantize(value, info)
            row["outputs"][info.name] = {
                "file": keep(made, len(made.told["samples"]), info.name, "out", value.tobytes()),
                "values": _shortened(real.ravel()[:MOST_VALUES]),
                "tolerance": _tolerance(value, info, steps[place], apart[place]),
            }
            if place == class_output(border[1], told["classes"]) and real.size == len(told["classes"]):
                row["class"] = told["classes"][int(np.argmax(real))]
        made.told["samples"].append(row)
    return made


def keep(made: Vectors, number: int, name: str, ending: str, content: bytes) -> str:
    """Add a file of an input or output of a vector; give its place in the bundle."""
    place = f"{FOLDER}/{number}.{quote(name, safe='')}.{ending}"
    made.files[place] = content
    made.told["sha256"][place] = hashlib.sha256(content).hexdigest()
    return place


def _feed(made: Vectors, interpreter: Any, inputs: Sequence[TensorInfo], arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Give the interpreter a sample; tell the files and the values."""
    row: dict[str, Any] = {"inputs": {}, "input_values": {}}
    for info, detail in zip(inputs, interpreter.get_input_details(), strict=True):
        array = arrays[info.name] if info.name in arrays else arrays[""]
        value = litert.quantize(np.asarray(array), info)
        interpreter.set_tensor(detail["index"], value)
        row["inputs"][info.name] = keep(made, len(made.told["samples"]), info.name, "in", value.tobytes())
        row["input_values"][info.name] = _probe(value, info)
    return row


def _choose(border: Border, samples: Samples, told: dict[str, Any]) -> list[tuple[slice, Difference]]:
    """Give the rows of each vector, and how far kernels are apart on them."""
    shape = border[0][0].shape if border[0] else ()
    batch = max(1, abs(shape[0])) if shape else 1
    if batch > 1 or not told["tested"]:
        apart = list(told["spread"].values()) or [{} for _ in border[1]]
        return [(slice(n * batch, (n + 1) * batch), apart) for n in range(min(COUNT, samples.count // batch))]
    rows = ((row["sample"], list(row["difference"].values())) for row in told["tested"][:COUNT])
    return [(slice(sample, sample + 1), apart) for sample, apart in rows]


def _probe(value: Array, info: TensorInfo) -> dict[str, Any]:
    """Give every so manieth real value of an input, from all channels."""
    channels = value.shape[-1] if value.ndim else 1
    every = max(1, value.size // PROBED)
    while math.gcd(every, channels) > 1:
        every += 1
    return {"every": every, "values": _shortened(litert.dequantize(value.ravel()[::every], info))}


def _shortened(values: Array) -> list[float | None]:
    """Give float32 numbers with as many digits as they have; None where they are none."""
    finite = np.isfinite(values)
    texts = (np.format_float_scientific(value, unique=True) for value in values.astype(np.float32))
    return [float(text) if sound else None for text, sound in zip(texts, finite, strict=True)]


def _tolerance(value: Array, info: TensorInfo, step: float | None, apart: Mapping[str, float]) -> float:
    """Give what the output may differ by: steps of its integers, else real numbers."""
    if info.scale:
        return max(1, apart.get("lsb", 0))
    if value.dtype.kind != "f":
        return 0
    least = FLOAT_STEP * float(np.abs(value[np.isfinite(value)]).max(initial=0))
    # A float output may be made of integers.
    return max(least, apart.get("absolute", 0.0), max(1, apart.get("lsb", 0)) * (step or 0.0) * (1 + FLOAT_STEP))
