"""From a KerasModel label to a live Keras model, in a worker of the right Keras generation."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import KerasModel
from tflite_pipeline.errors import StageError, did_you_mean
from tflite_pipeline.runtime.tensorflow import keras, seed_everything


def open_model(model: KerasModel) -> Any:
    """Build or load the model, and give it the weights that training left.

    Raises StageError with the cause and the remedy where the library refuses.
    """
    seed_everything(model.generation, model.seed)
    try:
        live = OPENERS[model.source](keras(model.generation), model.spec)
    except StageError:
        raise
    except Exception as error:
        raise _explained(model, error) from error
    if not isinstance(live, keras(model.generation).Model):
        got = f"{type(live).__module__}.{type(live).__name__}"
        raise StageError(
            f"the factory must return a Keras {model.generation} model. Got {got}.",
            "Set model.keras to the generation that the function uses: 3 for keras, 2 for tf_keras.",
        )
    if model.weights:
        live.load_weights(model.weights)
    return live


def _open_keras_file(library: Any, spec: dict[str, Any]) -> Any:
    # Lambda layers were refused or allowed when the file was identified, so Keras need not ask again.
    return library.models.load_model(spec["path"], compile=False, safe_mode=False)


def _build_application(library: Any, spec: dict[str, Any]) -> Any:
    build = getattr(library.applications, spec["name"])
    weights = spec["weights"]
    shape = {} if spec["input_shape"] is None else {"input_shape": tuple(spec["input_shape"])}
    known = "imagenet" if weights == "imagenet" else None
    live = build(weights=known, classes=spec["classes"], **shape, **spec["arguments"])
    if weights not in (None, "imagenet"):
        live.load_weights(weights)
    return live


def _call_factory(_library: Any, spec: dict[str, Any]) -> Any:
    module_name, function_name = spec["function"].split(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise StageError(
            f"cannot import '{module_name}' of model.function ({error}).",
            "Put the module beside the recipe, or install its package into the environment.",
        ) from None
    function = getattr(module, function_name, None)
    if function is None:
        hint = did_you_mean(function_name, dir(module))
        raise StageError(f"'{module_name}' has no function '{function_name}'.{hint}", "Correct model.function.")
    return function(**spec["arguments"])


OPENERS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "keras_file": _open_keras_file,
    "application": _build_application,
    "factory": _call_factory,
}


def _explained(model: KerasModel, error: Exception) -> StageError:
    text = " ".join(str(error).split())[:400]
    name = Path(str(model.spec.get("path", model.spec.get("name", model.spec.get("function"))))).name
    what = f"Keras {model.generation} cannot open '{name}': {type(error).__name__}: {text}"
    if "URL fetch failure" in text:
        return StageError(
            what,
            "Keras fetches ImageNet weights from the network on first use. "
            "Without a network, fetch the weights file elsewhere and set model.weights to its path.",
        )
    if "Unknown layer" in text or "Could not locate class" in text or "Could not deserialize" in text:
        return StageError(
            what, "The file uses a layer of its own code: use source: factory with a function that builds it."
        )
    return StageError(what, "Check the file, or the arguments of the model section.")
