"""From the `model` section to a KerasModel label: the Keras generation is read from the file, no Keras is loaded."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import Generation, KerasModel
from tflite_pipeline.errors import StageError
from tflite_pipeline.model.spec import Application, Factory, KerasFile, SavedModel
from tflite_pipeline.runtime.user_code import source_file

_RECURRENT = re.compile(r'"class_name": "[^"]*(RNN|LSTM|GRU|Bidirectional)')


def identify(
    spec: KerasFile | SavedModel | Application | Factory, seed: int, digest: str, allow_code: bool, out: Path
) -> KerasModel:
    """Label the model that `spec` names; `digest` stands for the contents of its files.

    Raises StageError where the file is damaged, holds no whole model, or holds code (Lambda) that is not allowed.
    """
    generation: Generation = 3
    recurrent = isinstance(spec, Factory)  # which may build anything
    if isinstance(spec, Factory):
        generation = spec.keras
    if isinstance(spec, KerasFile):
        keras_version, config = read_keras_file(spec.path)
        generation = 2 if keras_version.startswith("2.") else 3
        _refuse_code(spec.path, config, allow_code)
        recurrent = bool(_RECURRENT.search(json.dumps(config)))
    section = spec.model_dump(mode="json")
    return KerasModel(spec.source, section, generation, digest, seed, allow_code, recurrent=recurrent)


def model_files(spec: Any, code_folders: Sequence[Path] = ()) -> list[Path]:
    """List the files that decide the model, in a fixed order; of a factory its module, looked for in `code_folders`."""
    if isinstance(spec, Factory):
        source = source_file("model.function", spec.function, code_folders)
        return [source] if source else []
    if isinstance(spec, SavedModel):
        return sorted(path for path in spec.path.rglob("*") if path.is_file())
    if isinstance(spec, Application):
        return [spec.weights] if isinstance(spec.weights, Path) else []
    paths = [getattr(spec, "path", None), getattr(spec, "original", None)]
    return [path for path in paths if path is not None]


def likely_generation(spec: Any) -> Generation:
    """Guess the generation by the file's name, so that its worker can start before the file is read."""
    if isinstance(spec, Factory):
        return spec.keras
    return 2 if isinstance(spec, KerasFile) and spec.path.suffix != ".keras" else 3


def read_keras_file(path: Path) -> tuple[str, dict[str, Any]]:
    """Give the version of the Keras that saved the file, and the model's configuration."""
    if zipfile.is_zipfile(path):
        return _read_zip(path)
    return _read_hdf5(path)


def _read_zip(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            metadata = _object(archive.read("metadata.json"))
            config = _object(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise _damaged(path, str(error)) from None
    if damaged:
        raise _damaged(path, f"{damaged} has a wrong checksum")
    return str(metadata.get("keras_version", "3")), config


def _read_hdf5(path: Path) -> tuple[str, dict[str, Any]]:
    import h5py

    try:
        with h5py.File(path) as file:
            version, config = file.attrs.get("keras_version", "2"), file.attrs.get("model_config")
    except OSError as error:
        raise _damaged(path, str(error)) from None
    if config is None:
        raise StageError(
            f"'{path.name}' holds weights but no model.",
            "Save the whole model (model.save), or use source: application or factory with these weights.",
        )
    try:
        return version.decode() if isinstance(version, bytes) else str(version), _object(config)
    except ValueError as error:
        raise _damaged(path, f"its model_config: {error}") from None


def _object(text: str | bytes) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"must be a JSON object, got {type(value).__name__}")
    return value


def _damaged(path: Path, cause: str) -> StageError:
    return StageError(f"'{path}' is damaged or cut short ({cause}).", "Copy the file again, or save the model anew.")


def _refuse_code(path: Path, config: dict[str, Any], allow_code: bool) -> None:
    names = sorted({str(layer.get("config", {}).get("name", "a function")) for layer in _lambda_layers(config)})
    if names and not allow_code:
        raise StageError(
            f"'{path.name}' holds Python code in Lambda layers: {', '.join(names)}. Such code runs only when allowed.",
            "Add --allow-code if you trust the file, or replace the Lambda layers by layers with a name.",
        )


def _lambda_layers(config: Any) -> Iterator[dict[str, Any]]:
    if isinstance(config, dict):
        if config.get("class_name") in ("Lambda", "__lambda__"):
            yield config
            return
        for value in config.values():
            yield from _lambda_layers(value)
    elif isinstance(config, list):
        for value in config:
            yield from _lambda_layers(value)
