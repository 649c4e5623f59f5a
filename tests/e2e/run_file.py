"""What a runtime answers to seeded noise, for the runtime's own Python: run_file.py OUT.json FILE.tflite…

Needs nothing but numpy and one of tflite-runtime and ai-edge-litert. A file that is refused gets the message instead.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

try:
    from tflite_runtime.interpreter import Interpreter
except ImportError:
    from ai_edge_litert.interpreter import Interpreter

SAMPLES = 16
"""A file that saturates may give the same from wrong numbers now and then."""


def noise(row: dict[str, Any], source: np.random.Generator) -> np.ndarray:
    dtype = np.dtype(row["dtype"])
    if dtype.kind == "f":
        return source.random(row["shape"]).astype(dtype)
    limits = np.iinfo(dtype)
    lowest, highest = (limits.min, limits.max) if row["quantization"][0] else (0, 1)
    return source.integers(lowest, highest, row["shape"], dtype=dtype, endpoint=True)


def answer(path: str) -> list[list[float]] | str:
    try:
        interpreter = Interpreter(model_path=path)
        interpreter.allocate_tensors()
        source, found = np.random.default_rng(0), []
        for _ in range(SAMPLES):
            for row in interpreter.get_input_details():
                interpreter.set_tensor(row["index"], noise(row, source))
            interpreter.invoke()
            found += [interpreter.get_tensor(row["index"]) for row in interpreter.get_output_details()]
    except (ValueError, RuntimeError) as error:
        return str(error)
    return [values.astype(float).ravel().tolist() for values in found]


if __name__ == "__main__":
    with open(sys.argv[1], "w") as file:
        json.dump({path: answer(path) for path in sys.argv[2:]}, file)
