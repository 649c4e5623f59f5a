from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import Engine, QuantizedModel, file_digest
from tflite_pipeline.handoff import verify

DATA = Path(__file__).parents[2] / "data"

INPUT, OUTPUT = "vectors/1.features.in", "vectors/1.scores.out"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def folder(shipped, tmp_path) -> Path:
    with zipfile.ZipFile(shipped) as archive:
        archive.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


def failures(path: Path, number: int | None = None, given: tuple[str, ...] = ()) -> str:
    """What is told to be wrong, empty where nothing is."""
    try:
        return "\n".join(told for passed, told in verify.check(path, number, list(given)) if not passed)
    except verify.Wrong as error:
        return str(error)


def vector(folder: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The integers of an input, and what the contract tells of it."""
    row = json.loads((folder / "contract.json").read_text())["inputs"][0]
    return np.frombuffer((folder / INPUT).read_bytes(), np.int8).reshape(row["shape"]), row


def real(folder: Path) -> np.ndarray:
    values, row = vector(folder)
    return (values.astype(float) - row["zero_point"]) * row["scale"]


def clipped(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), -128, 127).astype(np.int8)


def requantized(folder: Path, values: np.ndarray) -> np.ndarray:
    _, row = vector(folder)
    return clipped(values / row["scale"] + row["zero_point"])


MISTAKES: dict[str, tuple[Callable[[Path], np.ndarray], str]] = {
    "bgr": (lambda folder: vector(folder)[0][..., ::-1], "the channels are reversed: BGR where RGB is wanted"),
    "nchw": (lambda folder: vector(folder)[0].transpose(0, 3, 1, 2), "transposed: NCHW where NHWC is wanted"),
    "turned": (lambda folder: vector(folder)[0].transpose(0, 2, 1, 3), "height and width are swapped"),
    "no_zero_point": (
        lambda folder: clipped(real(folder) / vector(folder)[1]["scale"]),
        "the zero point was forgotten",
    ),
    "no_scale": (
        lambda folder: clipped(real(folder) + vector(folder)[1]["zero_point"]),
        "not quantized: the scale was forgotten",
    ),
    "neither": (lambda folder: clipped(real(folder)), "not quantized: scale and zero point were forgotten"),
    "floats": (lambda folder: real(folder).astype(np.float32), "not quantized, it was given float32"),
    "pixels": (
        lambda folder: np.rint((real(folder) + 1) * 127.5).astype(np.uint8),
        "not quantized: bytes of 0..255, as pixels are",
    ),
    "zero_to_one": (lambda folder: requantized(folder, (real(folder) + 1) / 2), "values of 0..1 where -1..1 is wanted"),
    "to_255": (
        lambda folder: requantized(folder, (real(folder) + 1) * 127.5),
        "values of 0..255 where -1..1 is wanted",
    ),
    "resized": (lambda folder: clipped(vector(folder)[0] + np.arange(48).reshape(1, 4, 4, 3) % 5), "nearly the same"),
    "noise": (lambda folder: np.random.default_rng(9).integers(-128, 128, 48, np.int8), "no common cause fits"),
    "cut": (lambda folder: vector(folder)[0].ravel()[:40], "40 bytes where 48 are wanted"),
}


def test_a_bundle_passes_as_it_is_and_unpacked(shipped, folder):
    for path in (shipped, folder):
        found = list(verify.check(path, None, []))
        assert all(passed for passed, _ in found)
        assert len(found) == 7  # the model, its border, five vectors
    assert "scores differs by 0 LSB, allowed 2 LSB" in found[-1][1]


@pytest.mark.parametrize("name", MISTAKES)
def test_the_mistake_of_an_app_is_named(name, folder, tmp_path):
    make, words = MISTAKES[name]
    (tmp_path / "mine.bin").write_bytes(np.ascontiguousarray(make(folder)).tobytes())
    assert words in failures(folder, 1, (f"features={tmp_path / 'mine.bin'}",))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_changed_vector_is_found_and_its_mistake_named(name, folder):
    make, words = MISTAKES[name]
    (folder / INPUT).write_bytes(np.ascontiguousarray(make(folder)).tobytes())
    told = failures(folder)
    assert told.startswith(f"vector 1: {INPUT} was changed: ")
    assert words in told


def test_what_an_app_made_passes_when_it_rounds_otherwise(folder, tmp_path):
    values, _ = vector(folder)
    (tmp_path / "mine.bin").write_bytes(clipped(values.astype(int) + 1).tobytes())
    assert failures(folder, 1, (f"features={tmp_path / 'mine.bin'}",)) == ""


@pytest.mark.parametrize("name", ["full_int8_int8_io", "full_int8_uint8_io", "float32", "int16x8"])
def test_values_in_another_range_are_named_whatever_the_input_is(name, make_bundle, features, make_samples, tmp_path):
    file = DATA / f"{name}.tflite"
    model = QuantizedModel(file, file_digest(file), name, "", Engine("mlir", ""))
    samples = make_samples({"": np.clip(features, -1, 1)})
    path = make_bundle(model, samples, preprocessing={}, classes=[], spread={})
    row = json.loads(verify.open_bundle(path)("contract.json"))["inputs"][0]
    mine = (np.clip(features[1], -1, 1) + 1) / 2
    values = np.rint(mine / row["scale"]) + row["zero_point"] if "scale" in row else mine
    (tmp_path / "mine.bin").write_bytes(values.astype(row["dtype"]).tobytes())
    assert "values of 0..1 where -1..1 is wanted" in failures(path, 1, (f"features={tmp_path / 'mine.bin'}",))
    assert failures(path) == ""


def test_colours_that_nobody_declared_are_told_to_be_mixed_up(make_bundle, images, colour_file, tmp_path):
    path = make_bundle(colour_file, images, preprocessing={})
    mine = np.frombuffer(verify.open_bundle(path)(INPUT), np.int8).reshape(1, 4, 4, 3)[..., ::-1]
    (tmp_path / "mine.bin").write_bytes(np.ascontiguousarray(mine).tobytes())
    told = failures(path, 1, (f"features={tmp_path / 'mine.bin'}",))
    assert told.endswith("the channels are reversed: RGB and BGR are mixed up")


def test_a_bundle_without_vectors_says_so(make_bundle, colour_file):
    found = list(verify.check(make_bundle(colour_file, None, tested=[]), None, []))
    assert found[-1] == (True, "there are no vectors, so nothing was run")


def test_a_byte_of_the_weights_is_missed_nowhere(folder):
    content = bytearray((folder / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.tflite").write_bytes(content)
    assert failures(folder).startswith("model.tflite was changed or damaged, so it was not run")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda told: told["inputs"][0].pop("scale"), "contract.json says scale none, the model has 0.0078125"),
        (lambda told: told["inputs"][0].update(scale=1.0), "contract.json says scale 1.0, the model has 0.0078125"),
        (lambda told: told["inputs"][0].update(zero_point=0), "contract.json says zero_point 0, the model has 3"),
        (lambda told: told["inputs"][0].update(shape=[1, 3, 4, 4]), "contract.json says shape [1, 3, 4, 4]"),
        (lambda told: told["outputs"][0].update(dtype="uint8"), "contract.json says dtype uint8"),
        (lambda told: told["inputs"][0].update(name="picture"), "input 'picture' of contract.json is not in the model"),
        (lambda told: told["outputs"].clear(), "contract.json has 0 outputs, the model 1"),
        (lambda told: told["classes"].pop(), "labels.txt and the classes of contract.json differ in number"),
        (lambda told: told["labels"].update(sha256="0"), "labels.txt was changed or damaged"),
    ],
    ids=["no scale", "scale 1", "zero point", "shape", "dtype", "name", "outputs", "classes", "labels"],
)
def test_a_contract_that_does_not_fit_is_told(change: Change, words, folder):
    told = json.loads((folder / "contract.json").read_text())
    change(told)
    (folder / "contract.json").write_text(json.dumps(told))
    assert words in failures(folder)


def test_a_changed_answer_is_found(folder):
    (folder / OUTPUT).write_bytes(bytes(4))
    assert failures(folder) == f"vector 1: {OUTPUT} was changed or damaged"


def test_an_answer_that_is_too_far_off_fails(folder):
    told = json.loads((folder / "contract.json").read_text())
    off = np.frombuffer((folder / OUTPUT).read_bytes(), np.int8).astype(int)
    off[0] += -9 if off[0] > 0 else 9
    (folder / OUTPUT).write_bytes(off.astype(np.int8).tobytes())
    told["vectors"]["sha256"][OUTPUT] = verify.digest(off.astype(np.int8).tobytes())
    (folder / "contract.json").write_text(json.dumps(told))
    assert failures(folder) == "vector 1: scores differs by 9 LSB, allowed 2 LSB"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.5, 0.9, 0.99, 0.9999])
def test_a_bundle_is_told_to_be_damaged_when_it_is_cut(share, shipped, tmp_path):
    content = shipped.read_bytes()
    path = tmp_path / "cut.zip"
    path.write_bytes(content[: int(share * len(content))])
    told = failures(path)
    assert "cut short" in told
    assert "copy it anew" in told


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run the script with these words: its exit code, and what it told."""

    def run(*words: Any) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["verify.py", *map(str, words)])
        try:
            code = verify.main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


@pytest.mark.parametrize("place", range(0, 40, 3))
def test_a_changed_byte_of_the_zip_is_found_and_never_ends_in_a_traceback(place, shipped, tmp_path, run_script):
    content = bytearray(shipped.read_bytes())
    content[place * len(content) // 40 + 7] ^= 0xFF
    path = tmp_path / "handoff.zip"
    path.write_bytes(content)
    code, told = run_script(path)
    # What nothing depends on, such as a text, is not looked at.
    assert ("FAIL" in told, code) in ((True, 1), (False, 0))


@pytest.mark.parametrize("part", ["file", "inputs", "vectors", "classes"])
def test_a_contract_that_lacks_a_part_is_told(part, folder, run_script):
    told = json.loads((folder / "contract.json").read_text())
    del told[part]
    (folder / "contract.json").write_text(json.dumps(told))
    code, told = run_script(folder)
    assert code == 1
    assert f"FAIL the bundle is not as this script knows it: KeyError '{part}'" in told


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["{}"], 0, "all is well"),
        (["{}/nowhere.zip"], 2, "a bundle that exists"),
        (["{}", "--vector", "1"], 2, "--vector with --input or neither"),
        (["{}", "--vector", "9", "--input", "features={}/labels.txt"], 2, "--vector must be 0 to 4. Got 9."),
        (["{}", "--vector", "0", "--input", "picture={}/labels.txt"], 2, "NAME one of ['features']"),
        (["{}", "--vector", "0", "--input", f"features={{}}/{INPUT}"], 1, "FAIL"),
        (["{}", "--vector", "1", "--input", f"features={{}}/{INPUT}"], 0, "same, at most 0 apart"),
    ],
    ids=["as shipped", "no bundle", "no input", "no such vector", "no such input", "another sample", "same"],
)
def test_the_exit_code_says_it(words, code, told, folder, run_script):
    found = run_script(*(word.format(folder) for word in words))
    assert found[0] == code
    assert told in found[1]
