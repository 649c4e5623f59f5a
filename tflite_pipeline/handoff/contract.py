"""The file and what the recipe says of it in; `contract.json`, all that an app has to know, out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import QuantizedModel, TensorInfo
from tflite_pipeline.handoff.border import labels_text, layout
from tflite_pipeline.handoff.metadata import LABELS
from tflite_pipeline.runtime.fingerprint import take_fingerprint
from tflite_pipeline.runtime.op_codes import read_op_codes

VERSION = 1
FILE = "model.tflite"
_NUMBERS = re.compile(r"\[\s+([-+.\dEe,\s]+?)\s+\]")


def write_contract(
    model: QuantizedModel,
    name: str,
    told: dict[str, Any],
    border: tuple[Sequence[TensorInfo], Sequence[TensorInfo]],
    vectors: dict[str, Any],
) -> dict[str, Any]:
    """Give the contract as plain JSON values; `told` has the keys `preprocessing`, `classes`, `floor`, `card`.

    Inputs and outputs stand in the order of the file; `bytes` are those of one inference, a dimension that may vary
    being 1.
    """
    labels = labels_text(told["classes"])
    return {
        "contract": VERSION,
        "name": name,
        "file": {
            "name": FILE,
            "sha256": model.sha256,
            "bytes": model.path.stat().st_size,
            "fingerprint": take_fingerprint(model.path).digest,
        },
        "scheme": model.scheme,
        "floor": told["floor"],
        "ops": _ops(model.path),
        "inputs": [_tensor(index, info) | layout(info, told["preprocessing"]) for index, info in enumerate(border[0])],
        "outputs": [_tensor(index, info) for index, info in enumerate(border[1])],
        "classes": told["classes"],
        "labels": {"file": LABELS, "sha256": _digest(labels), "count": len(told["classes"])} if labels else None,
        "preprocessing": told["preprocessing"],
        "accuracy": _accuracy(told["card"]),
        "vectors": vectors,
    }


def as_text(contract: dict[str, Any]) -> str:
    """Write JSON with one line a list of numbers."""
    text = json.dumps(contract, indent=1, ensure_ascii=False, allow_nan=False)
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def _tensor(index: int, info: TensorInfo) -> dict[str, Any]:
    size = int(np.dtype(info.dtype).itemsize * np.prod([abs(dimension) for dimension in info.shape]))
    row = {"name": info.name, "index": index, "shape": list(info.shape), "dtype": info.dtype, "bytes": size}
    return row | ({"scale": info.scale, "zero_point": info.zero_point} if info.scale else {})


def _accuracy(facts: dict[str, Any]) -> dict[str, Any] | None:
    """Give the metrics, and the digest of the samples they were taken on, so that releases can be compared."""
    evaluation = facts["samples"].get("evaluation")
    if evaluation is None:
        return None
    metrics = {key: {side: row[side] for side in ("reference", "quantized")} for key, row in facts["metrics"].items()}
    return {"samples": evaluation["sha256"], "count": evaluation["count"], "metrics": metrics}


def _ops(path: Path) -> list[str]:
    """Name the ops that a runtime looks up when it loads the file."""
    return sorted({f"Custom:{code.name}" if code.custom else code.name for code in read_op_codes(path)})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
