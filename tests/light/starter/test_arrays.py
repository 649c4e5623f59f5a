from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.errors import StageError
from tflite_pipeline.starter.arrays import Arrays, choose_arrays, read_headers
from tflite_pipeline.starter.looks import ModelLook, Port

IMAGE = ModelLook("m", (Port("image", (8, 8, 1), "float32"),), (Port("kind", (10,), "float32", "softmax"),))
PAIR = ModelLook(
    "m",
    (Port("left", (4,), "float32"), Port("right", (6,), "float32")),
    (Port("speed", (1,), "float32"), Port("sort", (2,), "float32", "softmax")),
)
PRICE = ModelLook("m", (Port("row", (5,), "float32"),), (Port("price", (1,), "float32", "linear"),))


def chosen(tmp_path: Path, model: ModelLook, **arrays: np.ndarray) -> dict[str, Arrays]:
    np.savez(tmp_path / "data.npz", **arrays)
    return choose_arrays(read_headers(tmp_path / "data.npz"), model, "data.npz")


def images(count: int) -> np.ndarray:
    return np.zeros((count, 8, 8), np.uint8)


def numbers(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def test_inputs_and_labels_are_told_by_shape_and_name(tmp_path: Path) -> None:
    found = chosen(tmp_path, IMAGE, weights=numbers(20), y=np.zeros(20, np.int64), x=images(20), more=np.zeros(3))
    assert found == {"": Arrays({"": "x"}, {"": "y"})}


def test_splits_are_told_by_names(tmp_path: Path) -> None:
    labels = {"y_train": np.zeros(6, np.uint8), "y_test": np.zeros(4, np.uint8)}
    found = chosen(tmp_path, IMAGE, x_train=images(6), x_test=images(4), **labels)
    assert found == {
        "train": Arrays({"": "x_train"}, {"": "y_train"}),
        "test": Arrays({"": "x_test"}, {"": "y_test"}),
    }


def test_several_inputs_and_outputs_go_by_their_names(tmp_path: Path) -> None:
    found = chosen(
        tmp_path,
        PAIR,
        right=numbers(9, 6),
        left=numbers(9, 4),
        sort=np.zeros(9, np.int64),
        speed=numbers(9, 1),
    )
    assert found == {"": Arrays({"left": "left", "right": "right"}, {"speed": "speed", "sort": "sort"})}


def test_a_number_a_sample_may_be_what_a_regression_gives(tmp_path: Path) -> None:
    assert chosen(tmp_path, PRICE, a=numbers(9, 5), b=numbers(9)) == {"": Arrays({"": "a"}, {"": "b"})}


def test_two_arrays_without_telling_names_are_no_labels(tmp_path: Path) -> None:
    found = chosen(tmp_path, IMAGE, x=images(9), one=np.zeros(9, np.int64), two=np.zeros(9, np.int64))
    assert found[""].labels == {}


def test_what_there_is_and_what_is_wanted_are_told_when_nothing_fits(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"'image' \(samples, 8, 8, 1\)\. Got: x float32 \(9, 5\)"):
        chosen(tmp_path, IMAGE, x=numbers(9, 5))


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=images(4))
    content = (tmp_path / "data.npz").read_bytes()
    (tmp_path / "data.npz").write_bytes(content.replace(b"\x93NUMPY", b"\x00NUMPY"))
    with pytest.raises(StageError, match="cannot be read"):
        read_headers(tmp_path / "data.npz")
