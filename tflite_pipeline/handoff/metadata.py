"""The stage that writes TFLite Metadata into a file: what Task Library, MediaPipe and viewers tell apps of it.

The schema is TensorFlow Lite Support's `metadata_schema.fbs`; tables below name its slots.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import QuantizedModel, TensorInfo, file_digest
from tflite_pipeline.handoff.border import (
    Preprocessing,
    class_output,
    is_image,
    labels_text,
    layout,
    normalization,
    real_range,
)
from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.census import TFLITE_METADATA
from tflite_pipeline.runtime.graph import BORDER, Graph, read_graphs

LABELS = "labels.txt"
_MARK = b"M001"
_PARSER = "1.0.0"
"""The oldest reader that knows all that is written here."""
DATE = (1980, 1, 1, 0, 0, 0)
"""The first that a zip archive knows; files that are equal must have equal bytes."""
_SHARES = frozenset({"SOFTMAX", "LOGISTIC"})

_MODEL = ("name", "description", "version", "subgraphs", "author", "license", "files", "parser")
_SUBGRAPH = ("name", "description", "inputs", "outputs")
_TENSOR = ("name", "description", "dimension_names", "content", "process_units", "stats", "files")
_CONTENT = ("kind", "properties", "range")
_IMAGE = ("color_space",)
_PROCESS_UNIT = ("kind", "options")
_NORMALIZATION = ("mean", "std")
_STATS = ("max", "min")
_FILE = ("name", "description", "type")
_FEATURES, _IMAGES = 1, 2
_RGB, _GRAYSCALE = 1, 2
_NORMALIZES = 1
_AXIS_LABELS = 2


@dataclass(frozen=True)
class _Table:
    """A table of the schema: values by name of the slot; None and what is not named are left out."""

    slots: tuple[str, ...]
    values: dict[str, Any]


def describe(
    quantized: QuantizedModel, name: str, preprocessing: Preprocessing, classes: tuple[str, ...], out: Path
) -> QuantizedModel:
    """Write the file anew below `out` with TFLite Metadata in it, and `labels.txt` behind it where classes are known.

    What the file computes stays as it is. Metadata of the same kind that came with it are replaced.

    Args:
        quantized: the file.
        name: the recipe's.
        preprocessing: the recipe's declaration, as plain JSON values; empty where nothing is known.
        classes: names of the classes in their order, or none.
        out: an empty folder.
    """
    inputs, outputs = litert.describe(quantized.path)
    labelled = class_output(outputs, classes)
    ranges = _ranges(quantized.path, outputs)
    subgraph = _Table(
        _SUBGRAPH,
        {
            "inputs": [_input(info, preprocessing) for info in inputs],
            "outputs": [
                _output(info, limits, len(classes) if number == labelled else 0)
                for number, (info, limits) in enumerate(zip(outputs, ranges, strict=True))
            ],
        },
    )
    text = f"Scheme {quantized.scheme}, inputs and outputs {quantized.io}."
    root = _Table(_MODEL, {"name": name, "description": text, "subgraphs": [subgraph], "parser": _PARSER})
    path = out / "model.tflite"
    path.write_bytes(flatbuffer.with_metadata(quantized.path, TFLITE_METADATA, _serialize(root)))
    if labelled is not None:
        with zipfile.ZipFile(path, "a") as archive:  # stored, as readers want it
            archive.writestr(zipfile.ZipInfo(LABELS, DATE), labels_text(classes))
    return replace(quantized, path=path, sha256=file_digest(path))


def _input(info: TensorInfo, preprocessing: Preprocessing) -> _Table:
    image, known = is_image(info, preprocessing), layout(info, preprocessing)
    colors = known.get("colors", "grayscale")
    content = {"kind": _FEATURES, "properties": _Table((), {})}
    if image:
        space = {"RGB": _RGB, "grayscale": _GRAYSCALE}.get(colors)
        content = {"kind": _IMAGES, "properties": _Table(_IMAGE, {"color_space": space})}
    norm = normalization(info, preprocessing)
    units = None
    if norm is not None and (image or norm.mean != (0.0,) or norm.std != (1.0,)):
        options = _Table(_NORMALIZATION, {"mean": list(norm.mean), "std": list(norm.std)})
        units = [_Table(_PROCESS_UNIT, {"kind": _NORMALIZES, "options": options})]
    return _Table(
        _TENSOR,
        {
            "name": info.name,
            "description": f"Image, {colors}." if image else f"Values, {info.dtype}.",
            "content": _Table(_CONTENT, content),
            "process_units": units,
            "stats": _stats(real_range(info)),
        },
    )


def _output(info: TensorInfo, limits: tuple[float, float] | None, classes: int) -> _Table:
    values: dict[str, Any] = {
        "name": info.name,
        "description": f"One score for each of {classes} classes." if classes else f"Values, {info.dtype}.",
        "content": _Table(_CONTENT, {"kind": _FEATURES, "properties": _Table((), {})}),
        "stats": _stats(limits),
    }
    if classes:
        values["files"] = [_Table(_FILE, {"name": LABELS, "description": "Classes.", "type": _AXIS_LABELS})]
    return _Table(_TENSOR, values)


def _stats(limits: tuple[float, float] | None) -> _Table | None:
    return _Table(_STATS, {"max": [limits[1]], "min": [limits[0]]}) if limits else None


def _ranges(path: Path, outputs: Sequence[TensorInfo]) -> list[tuple[float, float] | None]:
    """Give what each output can be: what its integers can say, or 0 to 1 where a SOFTMAX or LOGISTIC makes it."""
    numbers = litert.read_model(path).Subgraphs(0).OutputsAsNumpy()
    graph = read_graphs(path)[0]
    shares = [(0.0, 1.0) if _maker(graph, int(number)) in _SHARES else None for number in numbers]
    return [real_range(info) or share for info, share in zip(outputs, shares, strict=True)]


def _maker(graph: Graph, tensor: int) -> str:
    """Name the op that a tensor's values come from, past changes of dtype; "" where there is none."""
    makers = {output: op for op in graph.ops for output in op.outputs}
    while (op := makers.get(tensor)) is not None and op.name in BORDER:
        tensor = op.inputs[0]
    return op.name if op is not None else ""


def _serialize(root: _Table) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, root), _MARK)
    return bytes(builder.Output())


def _write(builder: Any, value: Any) -> int:
    """Write a text, a list or a table with all that it holds; give its place."""
    if isinstance(value, str):
        return int(builder.CreateSharedString(value))
    if isinstance(value, list):
        return _write_list(builder, value)
    given = [(slot, value.values.get(name)) for slot, name in enumerate(value.slots)]
    placed = [(slot, one if isinstance(one, int) else _write(builder, one)) for slot, one in given if one is not None]
    builder.StartObject(len(value.slots))
    for slot, one in placed:
        if isinstance(value.values[value.slots[slot]], int):
            builder.PrependUint8Slot(slot, one, 0)  # enumerations, kinds of a union
        else:
            builder.PrependUOffsetTRelativeSlot(slot, one, 0)
    return int(builder.EndObject())


def _write_list(builder: Any, values: list[Any]) -> int:
    numbers = isinstance(values[0], float)
    items = values if numbers else [_write(builder, value) for value in values]
    builder.StartVector(4, len(items), 4)
    for item in reversed(items):
        if numbers:
            builder.PrependFloat32(item)
        else:
            builder.PrependUOffsetTRelative(item)
    return int(builder.EndVector())
