"""Reference and scheme to the quantized file; the engine does the work."""

from __future__ import annotations

from pathlib import Path

from tflite_pipeline.artifacts import QuantizedModel, Reference, Samples, file_digest
from tflite_pipeline.convert.engines import converter
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.runtime import litert


def quantize(spec: Quantization, reference: Reference, calibration: Samples | None, out: Path) -> QuantizedModel:
    """Write `model.tflite` below `out`, its inputs and outputs in the order of the reference.

    Scheme float32 is the reference itself. Raises StageError where the engine cannot do what was asked.
    """
    path = out / "model.tflite"
    engine = "none"
    if spec.scheme == "float32":
        content = reference.path.read_bytes()
    else:
        engine = "converter"
        content = converter.quantize(spec, reference, calibration)
        names = [info.name for info in reference.inputs], [info.name for info in reference.outputs]
        content = litert.reorder(content, *names)
    path.write_bytes(content)
    return QuantizedModel(path, file_digest(path), spec.scheme, spec.io, engine)
