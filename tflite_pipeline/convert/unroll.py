"""A live Keras model in; its recurrent layers computed step by step, in plain ops, while it is traced."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tflite_pipeline.artifacts import Unroll
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.errors import StageError
from tflite_pipeline.schemes import SCHEMES

LONGEST = 128
"""Steps. Each adds some ten to twenty ops to the file."""

_REMEDY = (
    f"Give the model sequences of a fixed length of at most {LONGEST} steps, e.g. by a convolution or pooling with "
    "strides before the layer; use Conv1D in the layer's place; or use scheme: dynamic_int8, without training after "
    "export, which keeps the loop."
)


def choose_unrolling(spec: Quantization, trains: bool) -> Unroll:
    """Say which recurrent layers must be plain ops for what was asked; `trains` where training on the graph was.

    Only the engine converter takes a fused LSTM, and only for full_int8.
    """
    if trains:
        return "all"
    if not spec.calibrated:
        return "never"
    return "loops" if spec.scheme != "mixed" and SCHEMES[spec.scheme].activations == "int8" else "all"


def recurrent(live: Any, which: Unroll) -> list[Any]:
    """List the layers of a model that are to be unrolled, those of nested models and wrappers too."""
    layers = live._flatten_layers(include_self=False, recursive=True)
    found = [layer for layer in layers if hasattr(layer, "unroll") and hasattr(layer, "cell")]
    return [layer for layer in found if which == "all" or (which == "loops" and not _fused(layer))]


@contextlib.contextmanager
def unrolled(layers: Sequence[Any]) -> Iterator[None]:
    """Let these layers unroll while their model is traced inside this context.

    Raises StageError at its end where layers have sequences too long for it, or without a fixed length; they were
    traced as loops, which takes no time.
    """
    refused: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_stepwise(layer, refused))
        yield
    if refused:
        told = ", ".join(f"'{name}' ({why})" for name, why in refused.items())
        raise StageError(f"these recurrent layers cannot be unrolled to at most {LONGEST} steps: {told}.", _REMEDY)


def _fused(layer: Any) -> bool:
    """Tell whether the converter makes one op of the layer: it knows the LSTM of Keras 2, in its standard form."""
    return type(layer).__name__ == "LSTM" and bool(getattr(layer, "_could_use_gpu_kernel", False))


@contextlib.contextmanager
def _stepwise(layer: Any, refused: dict[str, str]) -> Iterator[None]:
    """Unroll a layer for the length of the context, where the sequence that it is called with allows it."""
    whole: Callable[..., Any] = layer.call
    # By the second, LSTM and GRU of Keras 2 choose between two implementations; they set it when they are made.
    switches = [name for name in ("unroll", "_could_use_gpu_kernel") if hasattr(layer, name)]
    before = {name: getattr(layer, name) for name in switches}

    @functools.wraps(whole)
    def call(sequences: Any, *rest: Any, **named: Any) -> Any:
        if why := _refusal(layer, sequences.shape[0 if getattr(layer, "time_major", False) else 1]):
            refused[layer.name] = why
            return whole(sequences, *rest, **named)
        for name in switches:
            setattr(layer, name, name == "unroll")
        try:
            return whole(sequences, *rest, **named)
        finally:
            for name, value in before.items():
                setattr(layer, name, value)

    layer.call = call  # of this layer alone: a length is known where it is called, not before
    try:
        yield
    finally:
        del layer.call


def _refusal(layer: Any, steps: int | None) -> str:
    """Say why a layer stays a loop; nothing where it can be unrolled."""
    if any(base.__name__ == "ConvRNN" and base.__module__.startswith("tf_keras") for base in type(layer).__mro__):
        return "Keras 2 has it as a loop only"
    if steps is None:
        return "of no fixed length"
    return f"{steps} steps" if steps > LONGEST else ""
