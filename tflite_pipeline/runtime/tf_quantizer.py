"""The only door to TensorFlow's own quantizers, which are no public API: a float `.tflite` in, a quantized one out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.runtime.tensorflow import tensorflow

SUPPORTED = "2.21"
"""The TensorFlow whose quantizers take what is given to them here."""


def with_limits(file: Path, limits: Mapping[int, tuple[float, float]]) -> bytes:
    """Write the smallest and largest real value of tensors of subgraph 0, by number, to where the quantizers read them.

    A scale must not stand beside them: the quantizers take a tensor with a scale for one that is quantized already.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = flatbuffer.unpack(file)
    for index, (low, high) in limits.items():
        quantization = schema.QuantizationParametersT()
        quantization.min, quantization.max = [low], [high]
        model.subgraphs[0].tensors[index].quantization = quantization
    return flatbuffer.pack(model)


def quantize_int8(content: bytes, io: str, per_channel_dense: bool) -> bytes:
    """Give the file int8 weights and activations, with inputs and outputs of the dtype `io`.

    Ops without an integer kernel, and tensors without limits, stay float. TFLiteConverter calls the same after its own
    calibration. Raises StageError where this TensorFlow has another API, and what the quantizer raises.
    """
    with _known_api():
        from tensorflow.lite.python.convert import mlir_quantize

        border = tensorflow().as_dtype(io)
        done: bytes = mlir_quantize(
            content,
            input_data_type=border,
            output_data_type=border,
            disable_per_channel_for_dense_layers=not per_channel_dense,
        )
    return done


def quantize_int16x8(content: bytes, io: str, per_channel_dense: bool, allow_float: bool) -> bytes:
    """Give the file int8 weights and int16 activations, with inputs and outputs of the dtype `io`.

    TFLiteConverter leaves int16 to this older quantizer too. It is part of a calibrator, which need not be fed where
    the file has limits. Raises StageError where this TensorFlow has another API, and what the quantizer raises: for an
    op that it does not know, unless `allow_float`, and for a tensor without limits.
    """
    with _known_api():
        from tensorflow.lite.python.optimize.calibrator import Calibrator

        border, activations, bias = (np.dtype(name).num for name in (io, "int16", "int64"))
        calibrator = Calibrator(content, [], [])._calibrator
        done: bytes = calibrator.QuantizeModel(
            border, border, allow_float, activations, bias, False, not per_channel_dense
        )
    return done


@contextlib.contextmanager
def _known_api() -> Iterator[None]:
    """Tell errors that come from calling another API than this module knows from those of the quantizer."""
    try:
        yield
    except (ImportError, AttributeError, TypeError) as error:
        cause = " ".join(str(error).split())[:200]
        raise StageError(
            f"the quantizer inside TensorFlow {tensorflow().__version__} is not the one of {SUPPORTED}: {cause}",
            f"Install tensorflow {SUPPORTED}, or set quantization.engine: converter, which uses public API only.",
        ) from error
