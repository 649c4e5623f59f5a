"""A `.tflite` of any origin, or a hand-off bundle, in; all that it holds out. It is read in a process of its own."""

from __future__ import annotations

import json
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import TensorInfo, file_digest
from tflite_pipeline.bench import passing_workers
from tflite_pipeline.errors import Problem, RecipeError, StageError
from tflite_pipeline.runtime import census, litert
from tflite_pipeline.runtime.fingerprint import take_fingerprint
from tflite_pipeline.runtime.flatbuffer import FILE_MARK
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.runtime.room import bound_memory, refuse_too_large
from tflite_pipeline.runtime.soundness import read_sound_model
from tflite_pipeline.runtime.worker import Workers
from tflite_pipeline.targets.floor import describe_floor
from tflite_pipeline.validate.audit import Asked, audit

_BITS = {"int2": 2, "int4": 4, "uint4": 4, "bfloat16": 16}
"""Dtypes that numpy has not."""
_AUDITED = (
    *("dtypes", "weights", "activations", "granularity", "float_ops", "quantize_ops", "dequantize_ops"),
    *("channel_axes", "open_tensors", "shape_chains"),
)
"""What is taken over from the audit."""
_NO_LAYERS = frozenset({"ReadVariableOp"})
"""Scopes that hold the weights of a layer and are none."""
_CONTRACT, _LOG = "contract.json", "log.txt"
_AGAIN = "Make the file again, or copy it anew."


@dataclass(frozen=True)
class Look:
    """What a file holds, ready for JSON; digests of its constants; the contract where it came in a bundle."""

    told: dict[str, Any]
    constants: tuple[str, ...]
    contract: dict[str, Any] | None = None


def inspect(*paths: Path) -> list[Look]:
    """Look into files that may be damaged, in a child process, so that what crashes a reader ends as an error.

    Raises RecipeError where there is no such file, StageError where one cannot be read.
    """
    problems = [
        Problem(str(path), "", f"must be a file. Got {_nothing(path)}.") for path in paths if not path.is_file()
    ]
    if problems:
        raise RecipeError(problems)
    with passing_workers() as workers:
        return [_settled(workers, path) for path in paths]


def _nothing(path: Path) -> str:
    return "a folder" if path.is_dir() else "nothing there"


def _settled(workers: Workers, path: Path) -> Look:
    refuse_too_large(path, path.stat().st_size)
    try:
        return workers.run("plain", look, path)
    except StageError as error:
        if str(path) in error.what:
            raise
        # A reader crashed, or met what nobody thought of: its remedy is of use where it names the log.
        remedy = f"{_AGAIN} {error.remedy if _LOG in error.remedy else ''}".rstrip()
        raise StageError(f"'{path}' cannot be read, it may be damaged: {error.what}", remedy, log=error.log) from error


def look(path: Path) -> Look:
    """Look into a file or a bundle in this process, which gets a bound of its memory; it must not have other work.

    Raises StageError where it cannot be read.
    """
    with path.open("rb") as file:
        is_model = file.read(8)[4:] == FILE_MARK
    try:
        if is_model or not zipfile.is_zipfile(path):
            bound_memory(path.stat().st_size)
            return _look(path, str(path))
        with tempfile.TemporaryDirectory() as folder:
            return _look_into(path, Path(folder) / "model.tflite")
    except MemoryError as error:
        raise StageError(
            f"'{path}' is damaged: it asks for more memory than a file of its size can.", _AGAIN
        ) from error


def _look_into(path: Path, room: Path) -> Look:
    """Look into the model of a bundle, which is unpacked to `room`."""
    try:
        with zipfile.ZipFile(path) as archive:
            models = [info for info in archive.infolist() if info.filename.endswith(".tflite")]
            if len(models) != 1:
                raise StageError(f"'{path}' must hold one .tflite file. Got {len(models)}.", "Give a hand-off bundle.")
            refuse_too_large(path, models[0].file_size)
            bound_memory(models[0].file_size)
            room.write_bytes(archive.read(models[0]))
            contract = json.loads(archive.read(_CONTRACT)) if _CONTRACT in archive.namelist() else None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise StageError(f"'{path}' is a damaged bundle ({error}).", _AGAIN) from error
    if contract is not None and not isinstance(contract, dict):
        raise StageError(f"'{path}' is a damaged bundle: {_CONTRACT} must hold a mapping.", _AGAIN)
    try:
        found = _look(room, f"{path}/{models[0].filename}")
    except StageError as error:
        inside = error.what.replace(str(room), f"{path}/{models[0].filename}")
        raise StageError(inside, error.remedy) from error
    return Look(found.told, found.constants, contract)


def _look(path: Path, name: str) -> Look:
    model = read_sound_model(path)
    graphs = read_graphs(path)
    # The innermost scope of a tensor's name is that of its layer; the layers themselves are not in the file.
    scopes = frozenset(scope for graph in graphs for scope in graph.scopes) - _NO_LAYERS
    audited = audit(path, Asked(scheme="", io=""), layers=scopes)
    fingerprint = take_fingerprint(path)
    inputs, outputs = litert.describe(path)
    told = {
        "inspect": 1,
        "file": {"path": name, "sha256": file_digest(path), "bytes": path.stat().st_size},
        "fingerprint": fingerprint.digest,
        "scheme": audited["found"],
        "inputs": [_border(info) for info in inputs],
        "outputs": [_border(info) for info in outputs],
        "ops": audited["op_versions"],
        **{key: audited[key] for key in _AUDITED},
        "floor": describe_floor(path),
        "flex_ops": [name for name in audited["custom_ops"] if name.startswith("Flex")],
        "custom_ops": [name for name in audited["custom_ops"] if not name.startswith("Flex")],
        "metadata": census.metadata(model),
        "associated_files": _associated(path),
        "subgraphs": census.subgraphs(model),
        "signatures": [_signature(model, number) for number in range(model.SignatureDefsLength())],
    }
    return Look(told, fingerprint.constants)


def _signature(model: Any, number: int) -> dict[str, Any]:
    entry = model.SignatureDefs(number)
    inputs, outputs = litert.describe_signature(model, number)
    return {
        "key": litert.text(entry.SignatureKey()),
        "subgraph": entry.SubgraphIndex(),
        "inputs": [_border(info) for info in inputs],
        "outputs": [_border(info) for info in outputs],
    }


def _border(info: TensorInfo) -> dict[str, Any]:
    row = {"name": info.name, "dtype": info.dtype, "shape": list(info.shape), "bytes": _bytes(info)}
    return row | ({"scale": info.scale, "zero_point": info.zero_point} if info.scale else {})


def _bytes(info: TensorInfo) -> int | None:
    """Give the bytes of one sample, a dimension that may vary being 1; None where the dtype has no size."""
    if info.dtype in _BITS:
        bits = _BITS[info.dtype]
    elif info.dtype in np.sctypeDict and info.dtype != "object":
        bits = np.dtype(info.dtype).itemsize * 8
    else:
        return None
    return (_elements(info.shape) * bits + 7) // 8


def _elements(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= abs(size)
    return count


def _associated(path: Path) -> list[str]:
    """List the files, such as labels, that TFLite Metadata appends to a model as a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except zipfile.BadZipFile:
        return []
