"""What the `dataset` section tells about itself before anything is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from tflite_pipeline.dataset.spec import Dataset

ADAPTER: TypeAdapter[Any] = TypeAdapter(Dataset)

NOISE: dict[str, Any] = {"shape": [2], "samples": 10, "calibration": {"split": "train"}}


def section(source: str, **keys: Any) -> Any:
    return ADAPTER.validate_python({"source": source, **keys})


def told(spec: Any) -> dict[str, str]:
    return {".".join(map(str, path)): text for path, text in spec.mistakes()}


def test_defaults_are_sound() -> None:
    assert told(section("digits")) == {}
    assert told(section("synthetic", shape=[2])) == {}


@pytest.mark.parametrize(
    ("keys", "path", "text"),
    [
        ({"splits": {"train": 0.8, "test": 0.3}}, "splits", "must have ratios that add up to at most 1. Got 1.1."),
        (
            {"splits": {"train": {}, "test": 0.3}},
            "splits.train",
            "must have one of ratio, slice, rows, folder, inputs. Got none.",
        ),
        (
            {"splits": {"train": "images", "test": 0.3}},
            "splits.train.folder",
            "must be left out with source: synthetic.",
        ),
        (
            {"splits": {"train": [1, 2, 1], "test": 0.3}},
            "splits.train.rows",
            "must name each row once. Got 1 more than once.",
        ),
        (
            {"splits": {"train": [1, 10], "test": 0.3}},
            "splits.train.rows",
            "must be below 10, the number of rows there. Got 10.",
        ),
        ({"splits": {"train": [], "test": 0.3}}, "splits.train.rows", "must name at least one row. Got none."),
        (
            {"splits": {"train": "5:5", "test": 0.3}},
            "splits.train.slice",
            "must hold at least one row. Got '5:5'.",
        ),
        (
            {"splits": {"train": "5:11", "test": 0.3}},
            "splits.train.slice",
            "must lie within the 10 rows of the source. Got '5:11'.",
        ),
        (
            {"evaluation": {"split": "tset"}},
            "evaluation.split",
            "must be one of train, test. Got 'tset'. Did you mean 'test'?",
        ),
        (
            {"calibration": {"split": "train", "samples": 2, "rows": [1]}},
            "calibration",
            "must have samples or rows. Got both.",
        ),
        (
            {"calibration": {"split": "train", "rows": [3, 3]}},
            "calibration.rows",
            "must name each row once. Got 3 more than once.",
        ),
        (
            {"splits": {"train": "0:5", "test": "5:"}, "calibration": {"split": "train", "samples": 6}},
            "calibration.samples",
            "must be at most 5, all that split 'train' has. Got 6.",
        ),
        (
            {"calibration": {"split": "test"}},
            "calibration.split",
            "must not be the split of which evaluation uses every row. Got 'test' for both.",
        ),
        (
            {"training": {"split": "test"}, "evaluation": {"split": "test", "samples": 1}},
            "training.split",
            "must not be the split that evaluation draws from. Got 'test' for both.",
        ),
        (
            {"calibration": {"split": "test", "rows": [0, 1]}, "evaluation": {"split": "test", "rows": [1]}},
            "calibration.rows",
            "must not be evaluation rows. Got 1 in both.",
        ),
        ({"preprocessing": [{}]}, "preprocessing.0", "must have one step. Got none."),
        (
            {"preprocessing": {"image": []}},
            "preprocessing.image",
            "must be a list of steps, for the only input. Got steps for 'image'.",
        ),
        (
            {"shape": {"left": [1], "right": [1]}, "preprocessing": []},
            "preprocessing",
            "must be steps by input name (left, right). Got a bare list.",
        ),
        ({"low": 1.0}, "high", "must be above low (1). Got 1."),
        ({"range": [1, -1]}, "range", "must be [low, high] with low below high. Got [1, -1]."),
        ({"range": [0.5, 0.5]}, "range", "must be [low, high] with low below high. Got [0.5, 0.5]."),
        ({"range": {}}, "range", "must be [low, high], or such by input name. Got nothing."),
        (
            {"range": {"image": [0, 1]}},
            "range.image",
            "must be left out: the only input has no name. Got a range for 'image'. Did you mean range: [low, high]?",
        ),
        (
            {"shape": {"left": [1], "right": [1]}, "range": {"left": [0, 1], "rigth": [0, 1]}},
            "range.rigth",
            "must be the name of an input (left, right). Got 'rigth'. Did you mean 'right'?",
        ),
        (
            {"shape": {"left": [1], "right": [1]}, "range": {"right": [2, 1]}},
            "range.right",
            "must be [low, high] with low below high. Got [2, 1].",
        ),
    ],
)
def test_mistake_is_told(keys: dict[str, Any], path: str, text: str) -> None:
    assert told(section("synthetic", **NOISE | keys)) == {path: text}


@pytest.mark.parametrize("value", [[1], [0, 1, 2], [0, float("inf")], ["0", "1"], {"image": [1]}, 1])
def test_range_of_another_form_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        section("digits", range=value)


def test_range_holds_for_all_inputs_or_by_name() -> None:
    both = section("synthetic", shape={"left": [1], "right": [1]}, range=[-1, 1])
    one = section("synthetic", shape={"left": [1], "right": [1]}, range={"right": [0, 255]})
    assert (told(both), told(one)) == ({}, {})
    assert (both.bounds("left"), both.bounds("right")) == ((-1, 1), (-1, 1))
    assert (one.bounds("left"), one.bounds("right")) == (None, (0, 255))
    assert section("digits").bounds("") is None


def test_unused_defaults_are_not_mistakes() -> None:
    assert told(section("synthetic", shape=[2], splits={"test": "0:10"})) == {}


@pytest.mark.parametrize(
    ("keys", "path", "text"),
    [
        ({}, "inputs", "must name the array of the inputs, or every split must name its own. Got neither."),
        ({"inputs": "xx"}, "inputs", "must be an array of 'a.npz' (x, y). Got 'xx'. Did you mean 'x'?"),
        (
            {"inputs": "x", "splits": {"train": {"ratio": 0.5, "labels": "y"}, "test": 0.5}},
            "splits.train.labels",
            "must come with inputs of the same split. Got labels alone.",
        ),
        (
            {"splits": {"train": {"inputs": {"a": "x"}}, "test": {"inputs": {"b": "x"}}}},
            "splits",
            "must name the same inputs everywhere. Got (a) and (b).",
        ),
        (
            {"inputs": "x", "splits": {"train": {"inputs": "x"}, "test": {"inputs": "x"}}},
            "inputs",
            "must be left out where every split names its own. Got both.",
        ),
    ],
)
def test_mistake_of_an_npz_is_told(keys: dict[str, Any], path: str, text: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 2)), y=np.zeros(4))
    assert told(section("npz", path=str(tmp_path / "a.npz"), **keys)) == {path: text}


def test_file_that_is_no_npz_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"nothing")
    text = "must be an .npz file. Got 'a.npz', which is damaged or another kind."
    assert told(section("npz", path=str(tmp_path / "a.npz"), inputs="x")) == {"path": text}


def test_missing_folders_are_all_told(tmp_path: Path) -> None:
    spec = section("image_folder", path=str(tmp_path), splits={"train": "a", "test": "b"})
    assert set(told(spec)) == {"splits.train.folder", "splits.test.folder"}
    half = section("image_folder", path=str(tmp_path), splits={"train": ".", "test": 0.5})
    assert told(half) == {"splits": "must name a folder for every split or for none. Got none for test."}


def test_json_schema_takes_the_short_forms() -> None:
    schema = Draft202012Validator(ADAPTER.json_schema())
    steps = ["grayscale_to_rgb", {"resize": {"height": 2, "width": 2}}]
    recipe = {"source": "digits", "splits": {"a": 0.5, "b": "0:9", "c": [1]}, "preprocessing": steps}
    assert list(schema.iter_errors(recipe)) == []
    assert list(schema.iter_errors(recipe | {"preprocessing": {"image": steps}})) == []
    assert list(schema.iter_errors(recipe | {"splits": {"a": True}})) != []
    assert list(schema.iter_errors(recipe | {"range": [-1, 1]})) == []
    assert list(schema.iter_errors(recipe | {"range": {"image": [0, 1.5]}})) == []
    assert list(schema.iter_errors(recipe | {"range": [0, 1, 2]})) != []


def test_section_is_read_without_numpy() -> None:
    code = "import sys, tflite_pipeline.dataset.spec as s; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
