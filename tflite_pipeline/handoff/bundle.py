"""What travels with the file: its contract, and real samples with the bytes that must go in and come out."""

from __future__ import annotations

import importlib.metadata
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import Bundle, QuantizedModel, Samples, TensorInfo
from tflite_pipeline.runtime import litert

FILE = "model.tflite"
VECTORS = 5
README = """{name}: {file}

contract.json   inputs and outputs in the order of the file: shape, dtype, scale, zero point, bytes; preprocessing
vectors/        real samples: <sample>.<input>.in are the bytes to put in, <sample>.<output>.out the bytes that came out
                of the interpreter named in contract.json; integer outputs may differ by a step between kernels

float = (integer - zero_point) * scale      integer = clip(round(float / scale) + zero_point)
"""


def bundle(model: QuantizedModel, name: str, preprocessing: Any, samples: Samples | None, out: Path) -> Bundle:
    """Write `handoff.zip` below `out`; golden vectors come from the evaluation samples, none where there are none.

    `preprocessing` is the recipe's declaration, as plain JSON values.
    """
    inputs, outputs = litert.describe(model.path)
    contract = {
        "name": name,
        "file": {"name": FILE, "sha256": model.sha256, "bytes": model.path.stat().st_size},
        "scheme": model.scheme,
        "inputs": [_tensor(info) for info in inputs],
        "outputs": [_tensor(info) for info in outputs],
        "classes": list(samples.classes) if samples else [],
        "preprocessing": preprocessing,
        "vectors_made_by": f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}",
    }
    path = out / "handoff.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(model.path, FILE, zipfile.ZIP_STORED)  # weights hardly shrink
        archive.writestr("contract.json", json.dumps(contract, indent=2))
        archive.writestr("README.txt", README.format(name=name, file=FILE))
        if samples is not None:
            _write_vectors(archive, model.path, samples, (inputs, outputs))
    return Bundle(path)


def _tensor(info: TensorInfo) -> dict[str, Any]:
    size = int(np.dtype(info.dtype).itemsize * np.prod([abs(dimension) for dimension in info.shape]))
    row = {"name": info.name, "shape": list(info.shape), "dtype": info.dtype, "bytes": size}
    return row | ({"scale": info.scale, "zero_point": info.zero_point} if info.scale else {})


def _write_vectors(
    archive: zipfile.ZipFile, model: Path, samples: Samples, border: tuple[Sequence[TensorInfo], Sequence[TensorInfo]]
) -> None:
    interpreter = litert.open_interpreter(model)
    inputs, outputs = border
    details = interpreter.get_input_details(), interpreter.get_output_details()
    batch = max(1, abs(inputs[0].shape[0])) if inputs[0].shape else 1
    for number in range(min(VECTORS, samples.count // batch)):
        interpreter.reset_all_variables()
        for info, detail in zip(inputs, details[0], strict=True):
            array = np.load(samples.inputs.get(info.name) or samples.inputs[""], mmap_mode="r")
            value = litert.quantize(np.asarray(array[number * batch : (number + 1) * batch]), info)
            interpreter.set_tensor(detail["index"], value)
            archive.writestr(f"vectors/{number}.{info.name}.in", value.tobytes())
        interpreter.invoke()
        for info, detail in zip(outputs, details[1], strict=True):
            archive.writestr(f"vectors/{number}.{info.name}.out", interpreter.get_tensor(detail["index"]).tobytes())
