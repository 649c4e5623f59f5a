"""From a KerasModel label to a live Keras model, in a worker of the right Keras generation."""

from __future__ import annotations

import contextlib
import inspect
import re
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import KerasModel
from tflite_pipeline.errors import StageError, did_you_mean
from tflite_pipeline.model.identify import read_keras_file
from tflite_pipeline.runtime import user_code
from tflite_pipeline.runtime.tensorflow import keras, seed_everything

NETWORK_SECONDS = 20.0
LONGEST = 240
"""Characters of a library's message that are shown; the whole is in the log."""
OWN_KEYS = ("weights", "input_shape", "classes")
FOREIGN_NAME = re.compile(r"(?:Could not locate (?:class|function)|Unknown [\w ]+?):? '([^']+)'")


def open_model(model: KerasModel) -> Any:
    """Build or load the model, and give it the weights that training left.

    Raises StageError with the cause and the remedy where the library refuses.
    """
    seed_everything(model.generation, model.seed)
    try:
        live = OPENERS[model.source](keras(model.generation), model)
    except StageError:
        raise
    except Exception as error:  # Keras raises whatever fits the file
        traceback.print_exc()
        raise _explained(model, error) from error
    if not isinstance(live, keras(model.generation).Model):
        raise _no_model(model, live)
    if model.weights:
        live.load_weights(model.weights)
    return live


def _open_keras_file(library: Any, model: KerasModel) -> Any:
    return library.models.load_model(model.spec["path"], compile=False, safe_mode=not model.allow_code)


def _build_application(library: Any, model: KerasModel) -> Any:
    spec = model.spec
    build = getattr(library.applications, spec["name"])
    _check_arguments(spec["name"], build, spec["arguments"])
    weights = spec["weights"]
    shape = {} if spec["input_shape"] is None else {"input_shape": tuple(spec["input_shape"])}
    known = "imagenet" if weights == "imagenet" else None
    with _patience(NETWORK_SECONDS):
        live = build(weights=known, classes=spec["classes"], **shape, **spec["arguments"])
    if weights not in (None, "imagenet"):
        _load_weights(live, spec["name"], Path(weights))
    return live


def _check_arguments(name: str, build: Callable[..., Any], arguments: dict[str, Any]) -> None:
    known = [key for key in inspect.signature(build).parameters if key not in OWN_KEYS]
    for key in arguments:
        if key in OWN_KEYS:
            raise StageError(f"model.arguments must leave {key} to the key of its own.", f"Set model.{key}.")
        if key not in known:
            hint = did_you_mean(key, known)
            raise StageError(
                f"model.arguments must be arguments of {name}: {', '.join(known)}. Got '{key}'.{hint}",
                "Correct model.arguments.",
            )


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Let no connection that Keras opens stay silent for longer; its own downloads would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _load_weights(live: Any, name: str, path: Path) -> None:
    try:
        live.load_weights(path)
    except OSError as error:
        raise StageError(f"'{path}' is no weights file: {_short(error)}", "Give a .weights.h5 or .h5 file.") from error
    except Exception as error:  # Keras raises whatever fits the difference
        raise StageError(
            f"the weights '{path}' do not fit {name}: {_short(error)}",
            "Set model.input_shape, model.classes and model.arguments to those that the weights were saved with.",
        ) from error


def _call_factory(_library: Any, model: KerasModel) -> Any:
    return user_code.call("model.function", model.spec["function"], model.spec["arguments"])


def _no_model(model: KerasModel, live: Any) -> StageError:
    got = type(live)
    packages = {base.__module__.split(".")[0]: base for base in got.__mro__}
    other = 3 if "keras" in packages else 2 if "tf_keras" in packages else None
    what = f"the factory must return a Keras {model.generation} model. Got {got.__module__}.{got.__name__}"
    if other is None or other == model.generation:
        return StageError(f"{what}.", "Let the function return a keras.Model; a missing return gives NoneType.")
    return StageError(f"{what}, of Keras {other}.", f"Set model.keras: {other}.")


OPENERS: dict[str, Callable[[Any, KerasModel], Any]] = {
    "keras_file": _open_keras_file,
    "application": _build_application,
    "factory": _call_factory,
}


def _explained(model: KerasModel, error: Exception) -> StageError:
    text = str(error)
    if "URL fetch failure" in text or isinstance(error, TimeoutError | ConnectionError):
        return StageError(
            f"Keras cannot fetch the ImageNet weights of {model.spec['name']}: {_short(error)}",
            "Keras fetches them from the network on first use. "
            "Without a network, fetch the weights file elsewhere and set model.weights to its path.",
        )
    if model.source == "application":
        return StageError(
            f"Keras {model.generation} cannot build {model.spec['name']}: {_short(error)}",
            "Correct model.input_shape, model.classes or model.arguments.",
        )
    path = Path(model.spec["path"])
    if names := sorted(set(FOREIGN_NAME.findall(text))):
        return StageError(
            f"'{path.name}' uses {', '.join(names)}, which Keras {model.generation} does not have.",
            "Write a function that imports that code and returns the loaded model, and name it: model.source: factory.",
        )
    saved_by, here = read_keras_file(path)[0], keras(model.generation).__version__
    if _numbers(saved_by) > _numbers(here):
        return StageError(
            f"'{path.name}' was saved by Keras {saved_by}; this is Keras {here}, which cannot open it: {_short(error)}",
            f"Use a Python that has Keras {saved_by} (3.11 or newer), or save the model by Keras {here}.",
        )
    return StageError(
        f"Keras {model.generation} cannot open '{path.name}': {_short(error)}",
        "Copy the file again or save the model anew; or build it by a function of yours: model.source: factory.",
    )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= LONGEST else text[: LONGEST - 1] + '…'}"
