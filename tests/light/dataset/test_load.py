"""What each source reads, and how it refuses what it cannot read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from tflite_pipeline.dataset.load import SOURCES, Table, source_digest
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.errors import StageError


def section(source: str, **keys: Any) -> Any:
    return TypeAdapter[Any](Dataset).validate_python({"source": source, **keys})


def write_images(folder: Path, counts: dict[str, int], suffix: str = ".png") -> None:
    for place, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((4, 5, 3), 10 * place + number, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}{suffix}")


def load(spec: Any, seed: int = 0) -> Table:
    return SOURCES[spec.source](spec, seed)


def test_digits_are_images_with_labels() -> None:
    table = load(section("digits"))
    assert (table.count, table.classes[3], table.inputs[""][0].shape) == (1797, "3", (8, 8, 1))
    assert table.labels[""][:4].tolist() == [0, 1, 2, 3]
    assert table.inputs[""][0][0, :4, 0].tolist() == [0, 0, 5, 13]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_gives_rows_as_they_are(save: Any, tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.int16).reshape(4, 3, 2)
    save(tmp_path / "a.npz", x=images, t=np.asfortranarray(images[:, :, 0]), y=np.array([[0], [1], [1], [0]], np.uint8))
    spec = section("npz", path=str(tmp_path / "a.npz"), inputs={"a": "x", "b": "t"}, labels="y", classes=["no", "yes"])
    table = load(spec)
    assert (table.count, table.classes, table.labels[""].tolist()) == (4, ("no", "yes"), [0, 1, 1, 0])
    assert table.inputs["a"][2].tolist() == images[2].tolist()
    assert table.inputs["b"][2].tolist() == images[2, :, 0].tolist()
    assert table.origin(2) == "x[2] of a.npz"


def test_stored_npz_is_mapped_and_compressed_is_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "stored.npz", x=np.ones((3, 2)))
    np.savez_compressed(tmp_path / "packed.npz", x=np.ones((3, 2)))
    stored, packed = (load(section("npz", path=str(tmp_path / f"{n}.npz"), inputs="x")) for n in ("stored", "packed"))
    assert isinstance(stored.inputs[""], np.memmap)
    assert not isinstance(packed.inputs[""], np.memmap)


def test_npz_splits_with_arrays_of_their_own_are_groups(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 1)), c=np.ones((3, 1)), t=np.full((2, 1), 2), ty=np.array([5, 6]))
    splits = {"train": 0.5, "quiet": {"inputs": "c"}, "test": {"inputs": "t", "labels": "ty"}}
    table = load(section("npz", path=str(tmp_path / "a.npz"), inputs="x", splits=splits))
    assert table.groups == {"quiet": range(4, 7), "test": range(7, 9)}
    assert table.unlabelled == {"quiet"}
    assert [float(table.inputs[""][row][0]) for row in (0, 4, 8)] == [0, 1, 2]
    assert table.labels[""][7:].tolist() == [5, 6]
    assert table.origin(8) == "t[1] of a.npz"


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"x": np.zeros((3, 1)), "y": np.zeros(2)}, "must have the same number of samples. Got: x has 3, y has 2."),
        ({"x": np.zeros((3, 1)), "y": np.array(["a", "b", "c"])}, "must be numbers. Got dtype <U1."),
        ({"x": np.zeros((0, 1)), "y": np.zeros(0)}, "must hold at least one sample. Got none."),
        ({"x": np.float32(1), "y": np.zeros(1)}, "array 'x' must have one sample a row. Got a single value."),
        ({"x": np.array([{}, {}]), "y": np.zeros(2)}, "arrays of Python objects are not supported"),
        ({"z": np.zeros((3, 1))}, "has no array 'x'; it has z."),
    ],
)
def test_npz_that_does_not_fit_is_refused(arrays: dict[str, Any], text: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(StageError) as error:
        load(section("npz", path=str(tmp_path / "a.npz"), inputs="x", labels="y"))
    assert text in str(error.value)
    assert "a.npz" in str(error.value)


def test_damaged_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random((50, 5)))
    whole = bytearray(path.read_bytes())
    whole[200:300] = bytes(100)
    path.write_bytes(whole)
    with pytest.raises(StageError, match=r"array 'x' of .*a\.npz cannot be read"):
        load(section("npz", path=str(path), inputs="x"))
    path.write_bytes(whole[:150])
    with pytest.raises(StageError, match="cannot be read"):
        load(section("npz", path=str(path), inputs="x"))


def test_real_npz_is_read(shared_data: Path) -> None:
    path = shared_data / "mnist_lstm" / "mnist_small.npz"
    splits = {
        "train": {"inputs": "x_calibration", "labels": "y_calibration"},
        "test": {"inputs": "x_evaluation", "labels": "y_evaluation"},
    }
    table = load(section("npz", path=str(path), splits=splits))
    assert (table.count, table.groups["test"], table.inputs[""][4999].shape) == (5000, range(1000, 5000), (28, 28))


def test_image_folder_numbers_classes_by_name(tmp_path: Path) -> None:
    write_images(tmp_path, {"dog": 2, "cat": 3})
    (tmp_path / "cat" / ".hidden.png").write_bytes(b"x")
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / ".git").mkdir()
    table = load(section("image_folder", path=str(tmp_path)))
    assert (table.count, table.classes, table.labels[""].tolist()) == (5, ("cat", "dog"), [0, 0, 0, 1, 1])
    image = table.inputs[""][1]
    assert (image.shape, image.dtype, image[0, 0].tolist()) == ((4, 5, 3), np.uint8, [11, 11, 11])
    assert table.origin(4) == str(tmp_path / "dog" / "1.png")


def test_image_folder_knows_its_splits(tmp_path: Path) -> None:
    write_images(tmp_path / "train", {"a": 2, "b": 1, "c": 1})
    write_images(tmp_path / "test", {"b": 1, "c": 2}, ".JPG")
    table = load(section("image_folder", path=str(tmp_path), splits={"train": "train", "test": "test"}))
    assert table.groups == {"train": range(4), "test": range(4, 7)}
    assert table.labels[""].tolist() == [0, 0, 1, 2, 1, 2, 2]


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
def test_every_8_bit_png_becomes_rgb(mode: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    extra = {"transparency": bytes([0, 255])} if mode == "P" else {}
    Image.new("RGB", (3, 2), (255, 255, 255)).convert(mode).save(tmp_path / "a" / "0.png", **extra)
    image = load(section("image_folder", path=str(tmp_path))).inputs[""][0]
    assert (image.shape, image.dtype, int(image.min())) == ((2, 3, 3), np.uint8, 255)


def test_image_of_16_bits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((2, 2), 40000, np.uint16)).save(tmp_path / "a" / "0.png")
    with pytest.raises(StageError, match=r"0\.png must have 8 bits a channel\. Got mode I;16"):
        load(section("image_folder", path=str(tmp_path))).inputs[""][0]


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_truncated_image_is_named(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / f"0{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(StageError) as error:
        load(section("image_folder", path=str(tmp_path))).inputs[""][0]
    assert str(path) in error.value.what


def test_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="must hold one sub-folder a class"):
        load(section("image_folder", path=str(tmp_path)))
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    with pytest.raises(StageError, match=r"Got none in cat, dog\."):
        load(section("image_folder", path=str(tmp_path)))


def test_split_folders_taken_for_classes_are_told(tmp_path: Path) -> None:
    write_images(tmp_path / "train", {"a": 1})
    with pytest.raises(StageError, match=r"dataset\.splits: \{train: \{folder: train\}"):
        load(section("image_folder", path=str(tmp_path)))


MODULE = """
import numpy as np
def pair(count=4):
    return {"a": [np.full(2, i) for i in range(count)], "b": np.zeros((count, 1))}, np.arange(count)
def single(): return np.ones((3, 2)), None
def words(): return np.ones((2, 2)), ["x", "y"]
def uneven(): return np.ones((3, 2)), [1, 2]
def alone(): return np.ones(3)
def endless(): return iter([1]), None
def fails(): raise KeyError("lost")
class Lazy:
    def __len__(self): return 2
    def __getitem__(self, row): raise OSError("disk gone")
def lazy(): return Lazy(), None
number = 3
"""


@pytest.fixture
def my_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "my_data.py").write_text(MODULE)
    (tmp_path / "my_broken.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "my_data.py"
    for name in ("my_data", "my_broken"):
        sys.modules.pop(name, None)


def test_factory_gives_what_the_function_returns(my_data: Path) -> None:
    table = load(section("factory", function="my_data:pair", arguments={"count": 3}, classes=["x", "y", "z"]))
    assert (table.count, list(table.inputs), table.classes) == (3, ["a", "b"], ("x", "y", "z"))
    assert (table.inputs["a"][2].tolist(), table.labels[""].tolist()) == ([2, 2], [0, 1, 2])
    assert load(section("factory", function="my_data:single")).labels == {}


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("my_dota:pair", "there is no module my_dota"),
        ("my_broken:pair", "importing my_broken failed with ModuleNotFoundError: No module named 'no_such_package'"),
        ("my_data:par", "Got 'par', no such name. Did you mean 'pair'?"),
        ("my_data:number", "Got 'number', a int."),
        ("my_data:alone", "must return (inputs, labels). Got ndarray."),
        ("my_data:endless", "without len()"),
        ("my_data:uneven", "inputs has 3, labels has 2"),
        ("my_data:words", "must be numbers. Got dtype <U1."),
        ("my_data:fails", "my_data:fails failed with KeyError: 'lost'"),
    ],
)
def test_factory_that_does_not_fit_is_refused(function: str, text: str, my_data: Path) -> None:
    with pytest.raises(StageError) as error:
        load(section("factory", function=function))
    assert text in str(error.value)


def test_factory_sample_that_fails_is_told(my_data: Path) -> None:
    with pytest.raises(StageError, match="reading sample 1 failed with OSError: disk gone"):
        load(section("factory", function="my_data:lazy")).inputs[""][1]


def test_synthetic_noise_is_seeded() -> None:
    spec = section("synthetic", shape={"a": [2, 3], "b": [2, 3]}, low=-1.0, high=3.0, classes=4, samples=50)
    one, same, other = load(spec, 1), load(spec, 1), load(spec, 2)
    assert one.synthetic
    assert one.inputs["a"][7].tolist() == same.inputs["a"][7].tolist() != other.inputs["a"][7].tolist()
    assert one.inputs["a"][7].tolist() != one.inputs["b"][7].tolist()
    values = np.stack([one.inputs["a"][row] for row in range(50)])
    assert (values.dtype, values.min() >= -1, values.max() < 3, values.max() > 2.5) == (np.float32, True, True, True)
    assert set(one.labels[""].tolist()) == {0, 1, 2, 3}


def test_digest_follows_the_content_of_an_npz(tmp_path: Path) -> None:
    digests = []
    for value in (0, 1, 0):
        np.savez(tmp_path / "a.npz", x=np.full((2, 2), value))
        digests.append(source_digest(section("npz", path=str(tmp_path / "a.npz"), inputs="x")))
    assert digests[0] == digests[2] != digests[1]


def test_digest_follows_names_and_bytes_of_images(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 2, "b": 2})
    spec = section("image_folder", path=str(tmp_path))
    first = source_digest(spec)
    (tmp_path / "a" / "notes.txt").write_text("not read")
    assert source_digest(spec) == first
    (tmp_path / "a" / "1.png").rename(tmp_path / "b" / "9.png")
    moved = source_digest(spec)
    (tmp_path / "b" / "9.png").write_bytes((tmp_path / "b" / "0.png").read_bytes())
    assert len({first, moved, source_digest(spec)}) == 3


def test_digest_follows_arguments_and_source_of_a_factory(my_data: Path) -> None:
    first = source_digest(section("factory", function="my_data:pair"))
    assert source_digest(section("factory", function="my_data:pair", arguments={"count": 2})) != first
    my_data.write_text(MODULE + "# changed\n")
    assert source_digest(section("factory", function="my_data:pair")) != first
    with pytest.raises(StageError, match="there is no module my_dota"):
        source_digest(section("factory", function="my_dota:pair"))
