"""The word that names a model in; the `model` section of a recipe, and what the model holds, out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tflite_pipeline.errors import Problem, RecipeError, StageError, did_you_mean
from tflite_pipeline.model.identify import identify
from tflite_pipeline.model.spec import Application, KerasFile, SavedModel, TfliteFile, application_names
from tflite_pipeline.runtime.tensorflow import worker_kind
from tflite_pipeline.runtime.worker import Workers
from tflite_pipeline.starter.looks import ModelLook
from tflite_pipeline.starter.network import look_at_keras, look_at_saved_model, look_at_tflite

Source = KerasFile | SavedModel | Application | TfliteFile

_SOURCES: dict[str, type[Source]] = {
    "keras_file": KerasFile,
    "saved_model": SavedModel,
    "application": Application,
    "tflite": TfliteFile,
}
_SUFFIXES = {".keras": "keras_file", ".h5": "keras_file", ".hdf5": "keras_file", ".tflite": "tflite"}
_FOREIGN = {
    ".onnx": "Convert it to a SavedModel or a float .tflite first, with a tool for ONNX.",
    ".pt": "Convert it to a float .tflite first, with a tool for PyTorch.",
    ".pth": "Convert it to a float .tflite first, with a tool for PyTorch.",
    ".pb": "Give the folder that holds saved_model.pb; a frozen graph has to be saved as a SavedModel first.",
    ".json": "That is an architecture without weights: save the whole model, model.save('model.keras').",
    ".weights": "Save the whole model, model.save('model.keras').",
}
KINDS = "a .keras, .h5 or .tflite file, a SavedModel folder, or a name of keras.applications such as MobileNetV2"


def read_source(word: str) -> Source:
    """Give the section for a path or a name. Raises RecipeError where it is neither, or the file is damaged."""
    path = Path(word).expanduser()
    section = _section(word, path)
    spec = _SOURCES[section["source"]].model_validate(section)
    problems = [Problem(word, "", text) for _, text in spec.mistakes()]
    if problems:
        raise RecipeError(problems)
    return spec


def _section(word: str, path: Path) -> dict[str, Any]:
    if path.is_dir():
        return {"source": "saved_model", "path": path.absolute()}
    if path.is_file():
        if path.suffix not in _SUFFIXES:
            hint = _FOREIGN.get(path.suffix, "Save it by Keras, model.save('model.keras').")
            raise RecipeError([Problem(word, "", f"must be {KINDS}. Got a file '{path.name}'. {hint}")])
        return {"source": _SUFFIXES[path.suffix], "path": path.absolute()}
    names = application_names()
    if word in names:
        return {"source": "application", "name": word}
    got = "which does not exist" if re.search(r"[/.\\]", word) else "which is neither a file nor such a name"
    raise RecipeError([Problem("init", "MODEL", f"must be {KINDS}. Got '{word}', {got}.{did_you_mean(word, names)}")])


def look_at(spec: Source, workers: Workers, allow_code: bool) -> ModelLook:
    """Look at the model in a worker of its Keras.

    Raises StageError where it cannot be opened, has no fixed inputs, or is quantized already.
    """
    if isinstance(spec, TfliteFile):
        look, scheme = workers.run("plain", look_at_tflite, spec.path)
        if scheme != "float32":
            raise StageError(
                f"'{spec.path.name}' is quantized already: {scheme}.",
                "Give the model that it was made of: a Keras file, a SavedModel or a float .tflite. "
                f"What the file holds: tflite-pipeline inspect {spec.path.name}",
            )
        return look
    if isinstance(spec, SavedModel):
        return workers.run("keras3", look_at_saved_model, str(spec.path))
    label = identify(spec, 0, "", allow_code, Path())
    return workers.run(worker_kind(label.generation), look_at_keras, label)
