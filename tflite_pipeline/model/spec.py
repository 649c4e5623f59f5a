"""The `model` section of a recipe: one class a source."""

from __future__ import annotations

import importlib.util
import re
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from tflite_pipeline.errors import did_you_mean
from tflite_pipeline.spec import Count, Many, Mistake, RecipePath, Section


def _check_batch(value: Any) -> Any:
    if value == "dynamic" or (type(value) is int and value > 0):
        return value
    raise ValueError(f"must be a whole number above 0, or 'dynamic'. Got {value!r}.")


Batch = Annotated[
    int | Literal["dynamic"], BeforeValidator(_check_batch, json_schema_input_type=int | Literal["dynamic"])
]

FUNCTION = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
TFLITE_MAGIC = b"TFL3"


def _resolve_weights(value: Any) -> Any:
    if value is None or value == "imagenet":
        return value
    from pydantic import TypeAdapter

    return TypeAdapter(RecipePath).validate_python(value)


Weights = Annotated[
    Path | Literal["imagenet"] | None,
    BeforeValidator(_resolve_weights),
    WithJsonSchema({"type": ["string", "null"], "format": "path"}),
]


class _Model(Section):
    batch: Batch = 1
    """Samples that the `.tflite` takes at once. Example: `1` or `dynamic`.

    - `dynamic`: the app decides; most accelerators refuse such a file
    """


class KerasFile(_Model):
    """A model saved by Keras 3 (`.keras`, `.h5`) or Keras 2 (`.h5`, `.keras`)."""

    source: Literal["keras_file"]
    path: RecipePath
    """The `.keras` or `.h5` file. Example: `flowers.keras` or `${MODELS}/flowers.h5`."""

    def mistakes(self) -> Iterator[Mistake]:
        """Tell a missing, foreign or truncated file."""
        yield from _file_mistakes(self.path, "a .keras or .h5 file", (".keras", ".h5", ".hdf5"), _keras_file_mistake)


class SavedModel(_Model):
    """A TensorFlow SavedModel folder."""

    source: Literal["saved_model"]
    path: RecipePath
    """The folder that holds `saved_model.pb`. Example: `exports/flowers`."""
    signature: str = "serving_default"
    """The signature to convert. Example: `serving_default`."""

    def mistakes(self) -> Iterator[Mistake]:
        """Tell a folder that is none."""
        if not (self.path / "saved_model.pb").is_file():
            yield ("path",), f"must be a folder that holds saved_model.pb. Got '{self.path}', which does not."


class Application(_Model):
    """An architecture of `keras.applications`."""

    source: Literal["application"]
    name: str
    """The function's name. Example: `MobileNetV2`."""
    weights: Weights = None
    """`null` for random weights, `imagenet` for the published ones, or the path of a weights file. Example: `imagenet`
    or
    `weights/flowers.weights.h5`."""
    input_shape: Annotated[Many[Count], Field(min_length=3, max_length=3)] | None = None
    """Height, width, channels; the architecture's own default when left out. Example: `[224, 224, 3]`."""
    classes: Count = 1000
    """Outputs of the classification head. Example: `10`."""
    arguments: dict[str, Any] = {}
    """More arguments of the function. Example: `{alpha: 0.35}`."""

    def mistakes(self) -> Iterator[Mistake]:
        """Tell an unknown name and weights that cannot be."""
        names = application_names()
        if self.name not in names:
            yield ("name",), f"must be a keras.applications name. Got '{self.name}'.{did_you_mean(self.name, names)}"
        if self.weights == "imagenet" and self.classes != 1000:
            yield ("classes",), f"must be 1000 with weights: imagenet. Got {self.classes}."
        if isinstance(self.weights, Path) and not self.weights.is_file():
            yield ("weights",), f"must be an existing file. Got '{self.weights}', which does not exist."


class Factory(_Model):
    """A Python function that returns a Keras model; runs only with `--allow-code`."""

    source: Literal["factory"]
    function: Annotated[str, Field(pattern=FUNCTION)]
    """`package.module:function`, importable from the recipe's folder or the environment. Example: `my_models:build`."""
    arguments: dict[str, Any] = {}
    """Keyword arguments of the function. Example: `{width: 32}`."""
    keras: Literal[2, 3] = 3
    """Which Keras the function uses. Example: `2`.

    - `3`: the package `keras`
    - `2`: the package `tf_keras`
    """


class TfliteFile(_Model):
    """A float `.tflite`, taken as the reference as it is."""

    source: Literal["tflite"]
    path: RecipePath
    """The float `.tflite` file. Example: `flowers_float32.tflite`."""
    original: RecipePath | None = None
    """The Keras file that it was converted from: then parity of the two is checked. Example: `flowers.keras`."""

    def mistakes(self) -> Iterator[Mistake]:
        """Tell a missing or foreign file."""
        yield from _file_mistakes(self.path, "a .tflite file", (".tflite",), _tflite_file_mistake)
        if self.original is not None:
            for _, text in KerasFile(source="keras_file", path=self.original).mistakes():
                yield ("original",), text


Model = Annotated[KerasFile | SavedModel | Application | Factory | TfliteFile, Field(discriminator="source")]


def _file_mistakes(path: Path, kind: str, suffixes: tuple[str, ...], look: Any) -> Iterator[Mistake]:
    if not path.exists():
        yield ("path",), f"must be {kind}. Got '{path}', which does not exist."
    elif not path.is_file():
        yield ("path",), f"must be {kind}. Got '{path}', which is a folder."
    elif path.suffix not in suffixes:
        yield ("path",), f"must be {kind}. Got '{path.name}'."
    elif text := look(path):
        yield ("path",), text


def _keras_file_mistake(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(HDF5_MAGIC):
        return "" if _hdf5_is_whole(head, path.stat().st_size) else _cut_short(path)
    if not zipfile.is_zipfile(path):
        return _cut_short(path)
    with zipfile.ZipFile(path) as archive:
        if missing := {"metadata.json", "config.json"} - set(archive.namelist()):
            return f"must be a Keras model. Got '{path.name}', a zip file without {', '.join(sorted(missing))}."
    return ""


def _cut_short(path: Path) -> str:
    return f"must be a complete .keras or .h5 file. Got '{path.name}', which is damaged or cut short."


def _hdf5_is_whole(head: bytes, size: int) -> bool:
    """Compare the size with the end-of-file address of the superblock (HDF5 file format, section II.A)."""
    version, start = head[8], 40 if head[8] < 2 else 28
    return version > 3 or size >= int.from_bytes(head[start : start + 8], "little")


def _tflite_file_mistake(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(8)
    return (
        ""
        if head[4:] == TFLITE_MAGIC
        else f"must be a .tflite file. Got '{path.name}', which is damaged or another kind."
    )


@cache
def application_names() -> tuple[str, ...]:
    """List the architectures of the installed Keras without importing it."""
    found = importlib.util.find_spec("keras")
    if found is None or found.origin is None:
        return ()
    text = (Path(found.origin).parent / "applications" / "__init__.py").read_text()
    return tuple(sorted(set(re.findall(r"\b([A-Z]\w+) as \1", text))))
