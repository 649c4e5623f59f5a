"""The bundle as whoever gets it checks it, and its metadata as other programs read them."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
RECIPES = HERE.parents[1] / "recipes"

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def results(run_cli, build) -> Callable[[str], Path]:
    """The result folder of a recipe that is made once."""

    @functools.cache
    def make(name: str) -> Path:
        done = run_cli("run", RECIPES / f"{name}.yaml", "--out", build)
        assert done.code == 0, done.err
        return build / name

    return make


@pytest.fixture
def folder(results, tmp_path) -> Path:
    with zipfile.ZipFile(results("mobilenet") / "handoff.zip") as archive:
        archive.extractall(tmp_path / "bundle")
    return tmp_path / "bundle"


def verify(python: Path, folder: Path, *words: str | Path) -> tuple[int, str]:
    """Run the shipped script; its exit code, and what it told."""
    done = subprocess.run([python, "verify.py", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_the_bundle_holds_what_the_receiver_needs(folder):
    parts = {path.name for path in folder.iterdir()}
    assert parts == {
        "model.tflite",
        "contract.json",
        "README.txt",
        "MODEL_CARD.md",
        "labels.txt",
        "verify.py",
        "vectors",
        "snippets",
    }
    card = (folder / "MODEL_CARD.md").read_text()
    assert "| top1 | 0.9847 |" in card
    assert "- target:litert: loads and runs" in card


def test_the_script_passes_what_was_shipped(folder, results, bare_python):
    for words in ([], [results("mobilenet") / "handoff.zip"]):
        code, told = verify(bare_python, folder, *words)
        assert code == 0, told
        assert told.count("pass vector") == 5
        assert told.endswith("all is well\n")


def test_the_script_finds_a_changed_weight(folder, bare_python):
    content = bytearray((folder / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.tflite").write_bytes(content)
    code, told = verify(bare_python, folder)
    assert code == 1
    assert told.startswith("FAIL model.tflite was changed or damaged, so it was not run")


def test_the_script_finds_a_forgotten_scale(folder, bare_python):
    row = json.loads((folder / "contract.json").read_text())["inputs"][0]
    values = np.frombuffer((folder / "vectors" / "0.input_layer.in").read_bytes(), np.int8).astype(float)
    mine = np.rint((values - row["zero_point"]) * row["scale"]).astype(np.int8)
    (folder / "mine.bin").write_bytes(mine.tobytes())
    code, told = verify(bare_python, folder, "--vector", "0", "--input", "input_layer=mine.bin")
    assert code == 1
    assert "mine.bin: not quantized" in told


@pytest.mark.parametrize("share", [0.1, 0.45, 0.999])
def test_the_script_finds_a_cut_bundle(share, folder, results, bare_python):
    content = (results("mobilenet") / "handoff.zip").read_bytes()
    (folder / "cut.zip").write_bytes(content[: int(share * len(content))])
    code, told = verify(bare_python, folder, "cut.zip")
    assert code == 1
    assert "cut short" in told


@pytest.fixture(scope="module")
def support_python(make_python: Callable[..., Path]) -> Path:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("tflite-support 0.4.4 has no wheel for this Python")
    return make_python("tflite-support==0.4.4", "numpy<2", "protobuf<4")


def test_another_program_reads_the_metadata(results, support_python, tmp_path):
    file, out = results("mobilenet") / "model.tflite", tmp_path / "shown.json"
    subprocess.run([support_python, HERE / "show_metadata.py", out, file], capture_output=True, check=True)
    shown: dict[str, Any] = json.loads(out.read_text())[str(file)]
    assert shown["files"] == {"labels.txt": "".join(f"{digit}\n" for digit in range(10))}
    told = shown["metadata"]
    assert (told["name"], told["min_parser_version"]) == ("mobilenet", "1.0.0")
    assert told["description"] == "Scheme full_int8, inputs and outputs int8."
    (graph,) = told["subgraph_metadata"]
    (given,), (scores,) = graph["input_tensor_metadata"], graph["output_tensor_metadata"]
    assert given["content"] == {
        "content_properties_type": "ImageProperties",
        "content_properties": {"color_space": "RGB"},
    }
    assert given["process_units"] == [
        {"options_type": "NormalizationOptions", "options": {"mean": [8.0], "std": [8.0]}}
    ]
    assert given["stats"] == {"max": [pytest.approx(1, abs=0.01)], "min": [pytest.approx(-1, abs=0.01)]}
    assert scores["stats"] == {"max": [pytest.approx(0.99609375)], "min": [0.0]}
    assert scores["associated_files"] == [
        {"name": "labels.txt", "description": "Classes.", "type": "TENSOR_AXIS_LABELS"}
    ]


@pytest.mark.parametrize("recipe", ["mobilenet_io_float32", "mobilenet_io_uint8"])
def test_the_task_library_prepares_images_by_the_metadata_alone(recipe, results, support_python, tmp_path):
    folder = results(recipe)
    with zipfile.ZipFile(folder / "handoff.zip") as archive:
        contract = json.loads(archive.read("contract.json"))
        (row,), images = contract["inputs"], []
        for sample in contract["vectors"]["samples"]:
            values = np.frombuffer(archive.read(sample["inputs"][row["name"]]), row["dtype"])
            # The data have 0 to 16; the library quantizes no pixels, as whoever trains with uint8 feeds them so.
            pixels = values if row["dtype"] == "uint8" else np.rint((values + 1) * 8)
            images.append(pixels.reshape(row["shape"][1:]).astype(np.uint8))
    np.save(tmp_path / "images.npy", np.stack(images))
    shutil.copy(folder / "model.tflite", tmp_path / "model.tflite")
    command = [support_python, HERE / "classify.py", tmp_path / "model.tflite", tmp_path / "images.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert [name for name, _ in found] == [sample["class"] for sample in contract["vectors"]["samples"]]
    assert all(score > 0.5 for _, score in found)
