"""The only door to ai-edge-quantizer: a float `.tflite` and what its ops are to become in; the quantized file out."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.runtime.mending import Original, Place, mark, mend
from tflite_pipeline.runtime.treatment import Treatment

Ends = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Smallest and largest value of a tensor: one without dimensions for all of it, or one for each channel, with all."""

_NAMES = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}
"""Types of op that the library calls otherwise than LiteRT."""


def quantize(model: Any, treatments: Mapping[Place, Treatment], border: str, ends: Mapping[Place, Ends]) -> bytes:
    """Treat the ops of a `ModelT`, which is changed; ops without a treatment stay float.

    `border` is the dtype of the file's inputs and outputs, `ends` has an entry for every activation to quantize and may
    have one for a constant. Raises StageError with the library's own words where it fails.
    """
    kinds = {(_op_name(model, place), treatment) for place, treatment in treatments.items()}
    original = mark(model, treatments)
    names = {place: model.subgraphs[place[0]].tensors[place[1]].name.decode() for place in ends}
    limits = {names[place]: {"min": low, "max": high} for place, (low, high) in ends.items()}
    with _explained(original), _silence():
        made = flatbuffer.unpack(_run(model, kinds, border, limits))
    mend(made, original, border)
    return flatbuffer.pack(made)


def _op_name(model: Any, place: Place) -> str:
    from ai_edge_litert.tools import flatbuffer_utils

    operator = model.subgraphs[place[0]].operators[place[1]]
    return str(flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex))


def _run(model: Any, kinds: set[tuple[str, Treatment]], border: str, limits: dict[str, Any]) -> bytes:
    """Do what the library's Quantizer does, without the interpreter that it opens to look for names."""
    from ai_edge_quantizer import model_modifier, params_generator, qtyping, recipe_manager

    recipe, name = recipe_manager.RecipeManager(), qtyping.TFLOperationName
    for op, treatment in sorted(kinds, key=lambda kind: (kind[0], kind[1].label)):
        config, algorithm = _config(qtyping, treatment)
        recipe.add_quantization_config(f"^{treatment.label}/", name(_NAMES.get(op, op)), config, algorithm)
    if border != "float32":
        for side in (name.INPUT, name.OUTPUT):
            recipe.add_quantization_config("^[^/]*/0/", side, _border_config(qtyping, border))
    generator = params_generator.ParamsGenerator(model)
    parameters = generator.generate_quantization_parameters(recipe, limits, enable_progress_bar=False)
    return bytes(model_modifier.ModelModifier(model).modify_model(parameters, enable_progress_bar=False))


def _config(qtyping: Any, treatment: Treatment) -> tuple[Any, str]:
    integer, real = qtyping.ComputePrecision.INTEGER, qtyping.ComputePrecision.FLOAT
    if treatment.weights == 16:
        half = qtyping.TensorQuantizationConfig(16, dtype=qtyping.TensorDataType.FLOAT)
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=half, compute_precision=real, explicit_dequantize=True
        )
        return config, "float_casting"
    granularity = "CHANNELWISE" if treatment.per_channel else "TENSORWISE"
    if treatment.block:
        granularity = f"BLOCKWISE_{treatment.block}"
    bits = treatment.activations
    config = qtyping.OpQuantizationConfig(
        activation_tensor_config=qtyping.TensorQuantizationConfig(bits, symmetric=bits == 16) if bits else None,
        weight_tensor_config=qtyping.TensorQuantizationConfig(
            treatment.weights, granularity=qtyping.QuantGranularity[granularity]
        ),
        compute_precision=real if treatment.unpacked else integer,
        explicit_dequantize=treatment.unpacked,
    )
    return config, "min_max_uniform_quantize"


def _border_config(qtyping: Any, border: str) -> Any:
    kind = qtyping.TensorDataType.UINT if border == "uint8" else qtyping.TensorDataType.INT
    bits = 16 if border == "int16" else 8
    return qtyping.OpQuantizationConfig(
        activation_tensor_config=qtyping.TensorQuantizationConfig(bits, symmetric=bits == 16, dtype=kind),
        compute_precision=qtyping.ComputePrecision.INTEGER,
    )


@contextlib.contextmanager
def _explained(original: Original) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # The library raises whatever happens to it.
        told = original.explain(" ".join(str(error).split()))
        remedy = "Choose another engine, or give the op another scheme with scheme: mixed and quantization.rules."
        raise StageError(f"ai-edge-quantizer gave up ({type(error).__name__}: {told}).", remedy) from error


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the library's warnings from the log, and from tests, where they are errors; infinite float16 is an error."""
    from tqdm import tqdm

    # Its own lock is one between processes, which a worker that is ended leaves behind with a warning.
    tqdm.set_lock(threading.RLock())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"ai_edge_quantizer\b")
        warnings.filterwarnings("error", "overflow", RuntimeWarning)
        yield
