"""The public TFLiteConverter on the SavedModel: representative samples in, file content out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import Reference, Samples
from tflite_pipeline.convert.engines.job import Job
from tflite_pipeline.convert.engines.mlir import refuse_int16
from tflite_pipeline.convert.explain import explained
from tflite_pipeline.convert.spec import CONVERTER_METHODS, Quantization
from tflite_pipeline.runtime.graph import Graph
from tflite_pipeline.runtime.progress import tracked
from tflite_pipeline.runtime.tensorflow import tensorflow
from tflite_pipeline.schemes import SCHEMES


def refusal(spec: Quantization, reference: Reference, graphs: tuple[Graph, ...]) -> str:
    """Say why the converter cannot make what was asked; nothing where it can."""
    if reference.saved_model is None:
        return "it needs a Keras model or a SavedModel, and this is a finished .tflite"
    if not spec.calibrated:
        return ""
    if spec.methods - CONVERTER_METHODS:
        return "it calibrates by itself, with minmax"
    if spec.symmetric_activations and SCHEMES[spec.scheme].activations == "int8":
        return "it cannot give int8 activations the zero point 0"
    if loops := sorted({op.name for op in graphs[0].ops} & {"IF", "WHILE"}):
        return f"its calibration does not survive {' and '.join(loops)}"
    return refuse_int16(spec, reference, graphs) if spec.scheme == "int16x8" else ""


def quantize(job: Job) -> bytes:
    """Convert the reference's SavedModel under the scheme; the scheme alone decides the converter's flags."""
    tf = tensorflow()
    spec = job.spec
    converter = tf.lite.TFLiteConverter.from_saved_model(str(job.reference.saved_model))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # There is no public name for it, although accelerators need it.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = not spec.per_channel_dense
    if spec.scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if job.samples is not None:
        samples = job.samples
        converter.representative_dataset = lambda: _representative(job.reference, samples)
        converter.target_spec.supported_ops = _op_sets(tf, spec)
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(spec.io)
    with explained(spec.scheme):
        content: bytes = converter.convert()
    return content


def _op_sets(tf: Any, spec: Quantization) -> list[Any]:
    ops = tf.lite.OpsSet
    int16 = SCHEMES[spec.scheme].activations == "int16"
    integer = ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8 if int16 else ops.TFLITE_BUILTINS_INT8
    # With the float kernels among them, the converter leaves an op float instead of giving up.
    return [integer, *([ops.TFLITE_BUILTINS] if spec.allow_float else [])]


def _representative(reference: Reference, calibration: Samples) -> Iterator[dict[str, Any]]:
    """Yield batches keyed by input name; what is left over from the last whole batch is not used."""
    infos = {info.name: info for info in reference.inputs}
    arrays = {name: np.load(calibration.inputs.get(name) or calibration.inputs[""], mmap_mode="r") for name in infos}
    size = max(1, next(iter(infos.values())).shape[0])
    for step in tracked(range(calibration.count // size), calibration.count // size, "calibrating"):
        rows = slice(step * size, (step + 1) * size)
        yield {name: np.ascontiguousarray(arrays[name][rows], dtype=infos[name].dtype) for name in infos}
