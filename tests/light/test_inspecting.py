from __future__ import annotations

import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tflite_pipeline.errors import RecipeError, StageError
from tflite_pipeline.inspecting import Look, inspect, look
from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.runtime.litert import describe
from tflite_pipeline.runtime.worker import Workers

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[1] / "data"
FILES = sorted(DATA.glob("*.tflite"))
Try = Callable[[Path], "Look | StageError"]


@pytest.fixture(scope="module")
def attempt(tmp_path_factory) -> Any:
    """Look into a file in a process that many files share; the error where there is one."""
    with Workers(tmp_path_factory.mktemp("inspect") / "log.txt") as workers:

        def run(path: Path) -> Look | StageError:
            try:
                return workers.run("plain", look, path)
            except StageError as error:
                return error

        yield run


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_told_in_json(path, attempt):
    told = attempt(path).told
    assert json.loads(json.dumps(told)) == told
    assert told["file"]["bytes"] == path.stat().st_size
    assert [row["name"] for row in told["inputs"]] == [info.name for info in describe(path)[0]]
    assert sum(row["count"] for row in told["ops"]) == sum(graph["ops"] for graph in told["subgraphs"])


def test_real_files_are_told(shared_data, attempt):
    paths = sorted(shared_data.rglob("*.tflite"))
    told = {path.stem: attempt(path).told for path in paths}
    assert told["published_int8"]["scheme"] == "full_int8"
    assert told["ad01_fp32"]["scheme"] == "float32"
    assert all(row["open_tensors"] for row in told.values())


def test_what_an_app_has_to_know_is_told(attempt):
    told = attempt(DATA / "full_int8_int8_io.tflite").told
    assert told["scheme"] == "full_int8"
    assert {key: told["inputs"][0][key] for key in ("name", "dtype", "shape", "bytes", "zero_point")} == {
        "name": "features",
        "dtype": "int8",
        "shape": [1, 16],
        "bytes": 16,
        "zero_point": 15,
    }
    assert told["float_ops"] == []


def test_signatures_tell_their_inputs_and_outputs(attempt):
    told = attempt(DATA / "full_int8_int8_io.tflite").told
    (signature,) = told["signatures"]
    assert (signature["key"], signature["subgraph"]) == ("serving_default", 0)
    assert (signature["inputs"], signature["outputs"]) == (told["inputs"], told["outputs"])


def test_float_islands_are_told_with_their_layer(attempt):
    told = attempt(DATA / "float_island.tflite").told
    assert [(row["op"], row["layer"]) for row in told["float_ops"]] == [("ATAN2", "lambda_1")]
    assert (told["quantize_ops"], told["dequantize_ops"]) == (2, 2)


def test_foreign_ops_are_told_apart(attempt):
    assert attempt(DATA / "flex_op.tflite").told["flex_ops"] == ["FlexMatrixInverse"]
    told = attempt(DATA / "custom_op.tflite").told
    assert told["flex_ops"] == []
    assert len(told["custom_ops"]) == 1


def test_a_file_is_read_when_it_names_no_tensor(tmp_path, attempt):
    model = flatbuffer.unpack(DATA / "conv_net.tflite")
    model.signatureDefs = None
    for tensor in model.subgraphs[0].tensors:
        tensor.name = None
    path = tmp_path / "nameless.tflite"
    path.write_bytes(flatbuffer.pack(model))
    assert attempt(path).told["inputs"][0]["name"] == ""


def mutate(content: bytes, kind: str, dice: random.Random) -> bytes:
    changed = bytearray(content)
    if kind == "truncated":
        return content[: dice.randrange(len(content))]
    if kind == "identifier":
        changed[4:8] = bytes(dice.randrange(256) for _ in range(4))
    elif kind == "offset":
        place = dice.randrange(0, len(changed) - 4) // 4 * 4
        changed[place : place + 4] = dice.choice([b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\x80"])
    else:
        for _ in range(30):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["truncated", "identifier", "offset", "bytes"])
def test_mutated_files_are_told_or_refused(kind, seed, tmp_path, attempt):
    dice = random.Random(f"{kind} {seed}")
    path = tmp_path / "mutated.tflite"
    path.write_bytes(mutate(dice.choice(FILES).read_bytes(), kind, dice))
    found = attempt(path)
    if isinstance(found, Look):
        assert kind in ("offset", "bytes")
        json.dumps(found.told)
    else:
        assert str(path) in found.what
        assert "damaged" in found.what
        assert "Traceback" not in str(found)


def test_a_reference_to_nothing_is_told(tmp_path, attempt):
    model = flatbuffer.unpack(DATA / "conv_net.tflite")
    model.subgraphs[0].operators[1].inputs[0] = 4711
    path = tmp_path / "astray.tflite"
    path.write_bytes(flatbuffer.pack(model))
    assert "op 1 of graph 0 names tensor 4711" in attempt(path).what


def test_a_small_file_is_refused_when_it_unfolds_to_a_large_one(tmp_path, attempt):
    model = flatbuffer.unpack(DATA / "conv_net.tflite")
    scales = np.ones(10_000, np.float32)  # which is stored once
    for tensor in model.subgraphs[0].tensors:
        tensor.quantization = schema.QuantizationParametersT(scales, scales, scales)
    path = tmp_path / "swollen.tflite"
    path.write_bytes(flatbuffer.pack(model))
    assert path.stat().st_size < 60_000
    assert "repeat each other" in attempt(path).what


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"PK\3\4"], ids=["empty", "zeros", "half a zip"])
def test_files_that_are_nothing_are_refused(content, tmp_path, attempt):
    path = tmp_path / "nothing"
    path.write_bytes(content)
    assert "damaged" in attempt(path).what


def test_a_file_is_refused_when_it_is_larger_than_memory(tmp_path):
    path = tmp_path / "large.tflite"
    with path.open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(StageError, match=r"4194304 MiB.*free memory"):
        inspect(path)


def test_a_missing_file_is_a_mistake_of_the_command(tmp_path):
    with pytest.raises(RecipeError, match="Got nothing there") as caught:
        inspect(tmp_path / "none.tflite", tmp_path)
    assert len(caught.value.problems) == 2


def test_a_bundle_is_its_model_and_contract(tmp_path, attempt):
    path = tmp_path / "handoff.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(DATA / "conv_net.tflite", "model.tflite")
        archive.writestr("contract.json", json.dumps({"classes": ["a", "b"]}))
    found = attempt(path)
    assert found.contract == {"classes": ["a", "b"]}
    assert found.told["file"]["path"] == f"{path}/model.tflite"
    assert found.told["fingerprint"] == attempt(DATA / "conv_net.tflite").told["fingerprint"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "must hold one .tflite file. Got 0"),
        ({"model.tflite": b"no model"}, "handoff.zip/model.tflite' is damaged"),
        ({"model.tflite": (DATA / "lookup.tflite").read_bytes(), "contract.json": b"{"}, "damaged bundle"),
        ({"model.tflite": (DATA / "lookup.tflite").read_bytes(), "contract.json": b"[]"}, "must hold a mapping"),
    ],
)
def test_a_bundle_is_refused_when_something_is_wrong_with_it(files, words, tmp_path, attempt):
    path = tmp_path / "handoff.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert words in attempt(path).what


def test_appended_files_are_listed(tmp_path, attempt):
    path = tmp_path / "labelled.tflite"
    path.write_bytes((DATA / "conv_net.tflite").read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "a\nb\n")
    assert attempt(path).told["associated_files"] == ["labels.txt"]


def test_nothing_is_left_behind_when_a_file_was_read_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    inspect(DATA / "conv_net.tflite")
    with pytest.raises(StageError):
        inspect(Path(__file__))
    assert os.listdir(tmp_path) == []
