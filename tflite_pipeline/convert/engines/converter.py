"""The public TFLiteConverter on the SavedModel: representative samples in, file content out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import Reference, Samples
from tflite_pipeline.convert.explain import explained
from tflite_pipeline.convert.schemes import SCHEMES
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.runtime.progress import tracked
from tflite_pipeline.runtime.tensorflow import tensorflow


def quantize(spec: Quantization, reference: Reference, calibration: Samples | None) -> bytes:
    """Convert the reference's SavedModel under the scheme; the scheme alone decides the converter's flags."""
    tf = tensorflow()
    converter = tf.lite.TFLiteConverter.from_saved_model(str(reference.saved_model))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if spec.scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if calibration is not None:
        converter.representative_dataset = lambda: _representative(reference, calibration)
        converter.target_spec.supported_ops = [_integer_ops(tf, SCHEMES[spec.scheme].activations)]
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(spec.io)
    with explained(spec.scheme):
        content: bytes = converter.convert()
    return content


def _integer_ops(tf: Any, activations: str) -> Any:
    if activations == "int16":
        return tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    return tf.lite.OpsSet.TFLITE_BUILTINS_INT8


def _representative(reference: Reference, calibration: Samples) -> Iterator[dict[str, Any]]:
    """Yield batches keyed by input name; what is left over from the last whole batch is not used."""
    infos = {info.name: info for info in reference.inputs}
    arrays = {name: np.load(calibration.inputs.get(name) or calibration.inputs[""], mmap_mode="r") for name in infos}
    size = max(1, next(iter(infos.values())).shape[0])
    for step in tracked(range(calibration.count // size), calibration.count // size, "calibrating"):
        rows = slice(step * size, (step + 1) * size)
        yield {name: np.ascontiguousarray(arrays[name][rows], dtype=infos[name].dtype) for name in infos}
