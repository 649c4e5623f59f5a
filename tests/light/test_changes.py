from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.changes import app_changes, compare
from tflite_pipeline.inspecting import Look, look
from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.runtime.worker import Workers

DATA = Path(__file__).parents[1] / "data"
ROW = {"name": "x", "dtype": "int8", "shape": [1, 4], "bytes": 4, "scale": 0.5, "zero_point": 3}
SERVE = {"key": "serve", "subgraph": 1, "inputs": [ROW], "outputs": [ROW]}
OTHER = {**ROW, "name": "y"}


def seen(contract: dict[str, Any] | None = None, **changes: Any) -> Look:
    told = {"inputs": [ROW], "outputs": [ROW], "flex_ops": [], "custom_ops": [], "signatures": [SERVE]}
    return Look({**told, **changes}, (), contract)


def changes(old: Look, new: Look) -> list[str]:
    return list(app_changes(old, new))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("dtype", "uint8", "input 'x' has dtype uint8, had int8"),
        ("shape", [-1, 4], "input 'x' has shape [-1, 4], had [1, 4]"),
        ("scale", 0.25, "input 'x' has scale 0.25, had 0.5"),
        ("zero_point", 0, "input 'x' has zero point 0, had 3"),
    ],
)
def test_the_app_must_change_when_an_input_does(key, value, words):
    assert changes(seen(), seen(inputs=[{**ROW, key: value}])) == [words]


def test_the_app_must_change_when_outputs_change_places():
    found = changes(seen(outputs=[ROW, OTHER]), seen(outputs=[OTHER, ROW]))
    assert found == ["the outputs are in another order: 'y', 'x', were 'x', 'y'"]


def test_the_app_must_change_when_a_name_does():
    assert changes(seen(), seen(inputs=[OTHER])) == ["the inputs have other names: 'y', were 'x'"]


def test_the_app_must_change_when_an_output_is_gone():
    assert changes(seen(outputs=[ROW, OTHER]), seen()) == ["1 outputs instead of 2: 'x', were 'x', 'y'"]


def test_the_app_must_change_when_an_op_of_its_own_is_needed():
    assert changes(seen(), seen(flex_ops=["FlexErf"])) == ["the app has to bring the op FlexErf"]
    assert changes(seen(flex_ops=["FlexErf"]), seen()) == []


def test_the_app_must_change_when_a_signature_is_gone():
    assert changes(seen(), seen(signatures=[])) == ["the signature serve is gone"]


def test_the_app_must_change_when_an_input_of_another_signature_does():
    new = seen(signatures=[{**SERVE, "inputs": [{**ROW, "dtype": "uint8"}]}])
    assert changes(seen(), new) == ["signature serve: input 'x' has dtype uint8, had int8"]


def test_the_app_must_change_when_its_part_of_the_contract_does():
    old = seen({"classes": ["cat", "dog"], "preprocessing": [{"scale": {"factor": 0.1}}], "name": "a"})
    new = seen({"classes": ["dog", "cat"], "preprocessing": [{"scale": {"factor": 0.2}}], "name": "b"})
    preprocessing, classes = changes(old, new)
    assert preprocessing == "preprocessing differs: [{'scale': {'factor': 0.2}}], was [{'scale': {'factor': 0.1}}]"
    assert classes == "classes differs: ['dog', 'cat'], was ['cat', 'dog']"
    assert changes(old, seen()) == []


@pytest.fixture(scope="module")
def told_of(tmp_path_factory) -> Any:
    """Compare two files, with one process for all tests."""
    with Workers(tmp_path_factory.mktemp("compare") / "log.txt") as workers:
        yield lambda *paths: compare(*(workers.run("plain", look, path) for path in paths))


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[Callable[[Any], None]], Path]:
    """Change `full_int8_int8_io.tflite` as objects of its schema."""

    def make(change: Callable[[Any], None]) -> Path:
        model = flatbuffer.unpack(DATA / "full_int8_int8_io.tflite")
        change(model)
        path = tmp_path / "changed.tflite"
        path.write_bytes(flatbuffer.pack(model))
        return path

    return make


def test_a_file_is_the_same_when_it_only_lies_otherwise(changed, told_of):
    def describe_otherwise(model: Any) -> None:
        model.description = b"re-made"

    told = told_of(DATA / "full_int8_int8_io.tflite", changed(describe_otherwise))
    assert told["verdict"] == "same"
    assert told["weights"] == {"all": 2, "changed": 0}
    assert "the files differ in bytes, but compute the same" in told["notes"]


def test_a_file_is_the_same_for_the_app_when_weights_change(changed, told_of):
    def flip(model: Any) -> None:
        largest = max((buffer for buffer in model.buffers if buffer.data is not None), key=lambda b: len(b.data))
        largest.data = np.bitwise_xor(largest.data, 1)

    told = told_of(DATA / "full_int8_int8_io.tflite", changed(flip))
    assert told["verdict"] == "same for the app"
    assert told["weights"] == {"all": 2, "changed": 1}
    assert "1 of 2 constants differ" in told["changes"]


def test_ops_and_their_versions_are_compared(told_of):
    told = told_of(DATA / "float32.tflite", DATA / "dynamic_int8.tflite")
    assert told["verdict"] == "same for the app"
    assert "ops new: FULLY_CONNECTED version 12" in told["changes"]
    assert "ops gone: FULLY_CONNECTED version 1" in told["changes"]
    assert "scheme dynamic_int8, was float32" in told["changes"]
    assert "runs from TensorFlow Lite 2.17, ran from 1.5" in told["changes"]


def bundle(path: Path, model: str, **contract: Any) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(DATA / model, "model.tflite")
        archive.writestr("contract.json", json.dumps(contract))
    return path


@pytest.mark.parametrize(
    ("contract", "verdict"),
    [
        ({"classes": ["a"]}, "same"),
        ({"classes": ["b"]}, "the app must change: classes differs: ['b'], was ['a']"),
    ],
)
def test_bundles_are_compared_with_their_contracts(contract, verdict, tmp_path, told_of):
    before = bundle(tmp_path / "a.zip", "conv_net.tflite", classes=["a"])
    told = told_of(before, bundle(tmp_path / "b.zip", "conv_net.tflite", **contract))
    assert told["verdict"] == verdict
    assert told["notes"] == []


@pytest.mark.slow
def test_diff_ends_with_1_when_the_app_must_change(tmp_path, run_cli):
    after = bundle(tmp_path / "b.zip", "full_int8_int8_io.tflite")
    done = run_cli("diff", DATA / "conv_net.tflite", after, "--json")
    assert done.code == 1
    assert json.loads(done.out)["verdict"].startswith("the app must change: the inputs have other names: 'features'")


def test_metrics_of_two_bundles_are_told_and_what_they_were_taken_on():
    def measured(value: float, samples: str) -> Look:
        accuracy = {"samples": samples, "count": 9, "metrics": {"top1": {"reference": 0.9, "quantized": value}}}
        found = look(DATA / "full_int8_int8_io.tflite")
        return Look(found.told, found.constants, {"accuracy": accuracy})

    before = measured(0.875, "a")
    assert compare(before, measured(0.9, "a"))["changes"] == ["top1 0.9, was 0.875, on the same samples"]
    assert compare(before, measured(0.9, "b"))["changes"] == ["top1 0.9, was 0.875, on other samples"]
    assert compare(before, Look(before.told, before.constants, {"accuracy": None}))["changes"] == []
