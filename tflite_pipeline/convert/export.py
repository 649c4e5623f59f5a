"""Keras model or SavedModel to the float `.tflite` that everything is compared with: the reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import KerasModel, Reference, Samples, TensorInfo, file_digest
from tflite_pipeline.convert.explain import explained
from tflite_pipeline.convert.rewrites import rewritten
from tflite_pipeline.convert.unroll import recurrent, unrolled
from tflite_pipeline.errors import StageError
from tflite_pipeline.model.border import (
    argument_names,
    input_shapes,
    input_structure,
    layer_names,
    output_names,
    static_shapes,
)
from tflite_pipeline.model.load import open_model
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.tensorflow import constants_for_variables, freeze, tensorflow

PROBE_SAMPLES = 8


@dataclass(frozen=True)
class Signature:
    """What is converted: a tf.function of the inputs that gives a list of the outputs, both in the model's own order.

    `owner` holds the variables that the function reads.
    """

    function: Any
    inputs: tuple[Any, ...]
    outputs: tuple[str, ...]
    owner: Any


def export(model: KerasModel, batch: int | str, probe: Samples | None, seed: int, out: Path) -> Reference:
    """Write `saved_model/`, `reference.tflite` and `probe.npz` below `out`.

    The shapes are static, batch `batch` ("dynamic" leaves it open); input and output names and their order are kept.
    `model.unroll` says which recurrent layers are computed step by step; a SavedModel stays as it is.
    The probe's answers are what the original model computes on the probe samples and on noise over their range.
    Raises StageError where a recurrent layer cannot be unrolled.
    """
    layers: tuple[str, ...] = ()
    if model.source == "saved_model":
        signature = _saved_model_signature(model.spec, batch, probe)
    else:
        signature = keras_signature(open_model(model), batch, probe)
        layers = layer_names(signature.owner)
    converted = signature
    if layers and (stepwise := recurrent(signature.owner, model.unroll)):
        converted = keras_signature(signature.owner, batch, probe)
        with unrolled(stepwise):
            converted.function.get_concrete_function()
    saved_model = out / "saved_model"
    path = out / "reference.tflite"
    path.write_bytes(rewritten(convert_float(converted, saved_model)))
    probe_path = out / "probe.npz"
    _answer_probe(signature, probe, seed, probe_path)
    return _reference(path, saved_model, probe_path, model.source, layers)


def adopt(path: Path, original: KerasModel | None, probe: Samples | None, seed: int, out: Path) -> Reference:
    """Take a float `.tflite` as the reference; with `original`, record the answers of the Keras model it came from."""
    inputs, outputs = litert.describe(path)
    if strange := [info for info in (*inputs, *outputs) if info.scale]:
        raise StageError(
            f"'{path.name}' is already quantized: {strange[0].name} is {strange[0].dtype}.",
            "Give the float .tflite, or the Keras model that it was made of.",
        )
    litert.open_interpreter(path)
    own = out / "reference.tflite"
    own.write_bytes(rewritten(path.read_bytes()))
    probe_path = None
    layers: tuple[str, ...] = ()
    if original is not None:
        live = keras_signature(open_model(original), 1, probe)
        layers = layer_names(live.owner)
        probe_path = out / "probe.npz"
        _answer_probe(_renamed(live, inputs, outputs), probe, seed, probe_path)
    return _reference(own, None, probe_path, "tflite", layers)


def _reference(
    path: Path, saved_model: Path | None, probe: Path | None, origin: str, layers: tuple[str, ...]
) -> Reference:
    inputs, outputs = litert.describe(path)
    return Reference(path, file_digest(path), inputs, outputs, saved_model, probe, origin, layers)


def convert_float(signature: Signature, saved_model: Path) -> bytes:
    """Save the SavedModel and convert it without quantization; inputs and outputs keep the signature's order."""
    _save(signature, saved_model)
    converter = tensorflow().lite.TFLiteConverter.from_saved_model(str(saved_model))
    with explained("float32"):
        content = converter.convert()
    return litert.reorder(content, [spec.name for spec in signature.inputs], signature.outputs)


def keras_signature(live: Any, batch: int | str, probe: Samples | None) -> Signature:
    """Describe a live model; shapes become static, with open dimensions taken from the probe samples."""
    tf = tensorflow()
    shapes = input_shapes(live)
    dtypes = [tf.as_dtype(tensor.dtype) for tensor in live.inputs]
    static = static_shapes(shapes, batch, probe)
    specs = tuple(tf.TensorSpec(static[name], dtype, name=name) for name, dtype in zip(shapes, dtypes, strict=True))
    outputs = argument_names(output_names(live))

    nested, constants = input_structure(live), constants_for_variables(live)

    def call(*tensors: Any) -> list[Any]:
        with constants():
            flat: list[Any] = tf.nest.flatten(live(tf.nest.pack_sequence_as(nested, tensors), training=False))
        return flat

    return Signature(tf.function(call, input_signature=specs, autograph=False), specs, tuple(outputs), live)


def _saved_model_signature(spec: dict[str, Any], batch: int | str, probe: Samples | None) -> Signature:
    tf = tensorflow()
    loaded = load_saved_model(spec["path"])
    if spec["signature"] not in loaded.signatures:
        known = ", ".join(loaded.signatures) or "none"
        raise StageError(
            f"the SavedModel has the signatures: {known}. Got '{spec['signature']}'.", "Set model.signature."
        )
    inner = loaded.signatures[spec["signature"]]
    taken = inner.structured_input_signature[1]
    static = static_shapes({name: tuple(item.shape) for name, item in taken.items()}, batch, probe)
    specs = tuple(tf.TensorSpec(static[name], item.dtype, name=name) for name, item in taken.items())

    outputs = tuple(inner.structured_outputs)

    def call(*tensors: Any) -> list[Any]:
        result = inner(**dict(zip(taken, tensors, strict=True)))
        return [result[name] for name in outputs]

    return Signature(tf.function(call, input_signature=specs, autograph=False), specs, outputs, loaded)


def load_saved_model(path: str) -> Any:
    """Load a SavedModel folder. Raises StageError where it is damaged."""
    try:
        return tensorflow().saved_model.load(path)
    except Exception as error:  # TensorFlow raises errors of many kinds for a damaged folder
        # What follows is TensorFlow's guess that the files lie on another device, which they do not.
        cause = " ".join(str(error).split()).partition(" You may be trying to load")[0][:300]
        raise StageError(
            f"TensorFlow cannot open the SavedModel '{path}': {cause}",
            "Copy the folder again, with its folder variables, or export the model anew.",
        ) from error


def _renamed(signature: Signature, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> Signature:
    """Call the tensors of the original by the names of the file, which has the same ones in the same order."""
    tf = tensorflow()
    if len(inputs) != len(signature.inputs) or len(outputs) != len(signature.outputs):
        raise StageError(
            f"the original has {len(signature.inputs)} inputs and {len(signature.outputs)} outputs, "
            f"the .tflite {len(inputs)} and {len(outputs)}.",
            "Set model.original to the model that the .tflite was made of.",
        )
    pairs = zip(inputs, signature.inputs, strict=True)
    specs = tuple(tf.TensorSpec(spec.shape, spec.dtype, name=info.name) for info, spec in pairs)

    return dataclasses.replace(signature, inputs=specs, outputs=tuple(info.name for info in outputs))


def _save(signature: Signature, folder: Path) -> None:
    """Write a SavedModel; with its variables frozen where that changes nothing, since it then loads much faster."""
    tf = tensorflow()
    module = tf.Module()
    body = signature.function.get_concrete_function()
    if _has_composite_functions(body):
        module.owner = signature.owner
    elif body.captured_inputs:
        body = freeze(body)

    def call(*tensors: Any) -> dict[str, Any]:
        return dict(zip(signature.outputs, tf.nest.flatten(body(*tensors)), strict=True))

    named = tf.function(call, input_signature=signature.inputs, autograph=False)
    # Keras 3's swish brings a gradient of its own, which cannot be saved without the variables; nobody trains this.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    signatures = {"serving_default": named.get_concrete_function()}
    tf.saved_model.save(module, str(folder), signatures=signatures, options=options)


def _has_composite_functions(concrete: Any) -> bool:
    """Whether the graph holds functions that the converter fuses into one op (LSTM); freezing would inline them."""
    library = concrete.graph.as_graph_def().library.function
    return any("api_implements" in function.attr for function in library)


def _answer_probe(signature: Signature, probe: Samples | None, seed: int, path: Path) -> None:
    size = signature.inputs[0].shape[0] or 1
    rows = _probe_rows(signature, probe, seed, size)
    answers: dict[str, list[Any]] = {name: [] for name in signature.outputs}
    for start in range(0, len(next(iter(rows.values()))), size):
        batch = [rows[spec.name][start : start + size] for spec in signature.inputs]
        result = signature.function(*map(tensorflow().constant, batch))
        for name, tensor in zip(signature.outputs, result, strict=True):
            answers[name].append(np.asarray(tensor))
    arrays: dict[str, Any] = {f"input/{name}": value for name, value in rows.items()}
    arrays |= {f"output/{name}": np.concatenate(parts) for name, parts in answers.items()}
    np.savez(path, **arrays)


def _probe_rows(signature: Signature, probe: Samples | None, seed: int, batch: int) -> dict[str, Any]:
    """Take samples and noise over their range, in whole batches.

    A trained classifier is so sure of real samples that its outputs, all nearly 0 or 1, would hide differences.
    """
    noise = np.random.default_rng(seed)
    rows: dict[str, Any] = {}
    for spec in signature.inputs:
        dtype = spec.dtype.as_numpy_dtype
        shape = (PROBE_SAMPLES, *(size or 1 for size in spec.shape[1:]))
        real = np.load(probe.inputs.get(spec.name) or probe.inputs[""]) if probe else np.zeros((0, *shape[1:]))
        low, high = (real.min(), real.max()) if len(real) else (0, 1)
        values = np.concatenate([real, noise.uniform(low, high, shape)]).astype(dtype)
        whole = -(-len(values) // batch) * batch
        rows[spec.name] = np.resize(values, (whole, *values.shape[1:]))
    return rows
