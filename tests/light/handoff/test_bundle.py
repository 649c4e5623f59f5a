from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from tflite_pipeline.artifacts import Engine, QuantizedModel, file_digest
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.fingerprint import take_fingerprint

DATA = Path(__file__).parents[2] / "data"


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def contract_of(path: Path) -> dict:
    return json.loads(contents(path)["contract.json"])


def stored(name: str) -> QuantizedModel:
    path = DATA / f"{name}.tflite"
    return QuantizedModel(path, file_digest(path), "float32", "float32", Engine("mlir", ""))


def test_the_contract_tells_what_is_in_the_file(shipped, colour_file):
    told = contract_of(shipped)
    size = colour_file.path.stat().st_size
    assert told["file"] == {
        "name": "model.tflite",
        "sha256": file_digest(colour_file.path),
        "bytes": size,
        "fingerprint": take_fingerprint(colour_file.path).digest,
    }
    (given,), (info,) = told["inputs"], litert.describe(colour_file.path)[0]
    assert given == {
        "name": "features",
        "index": 0,
        "shape": [1, 4, 4, 3],
        "dtype": "int8",
        "bytes": 48,
        "scale": info.scale,
        "zero_point": info.zero_point,
        "layout": "NHWC",
        "colors": "RGB",
    }
    assert told["ops"] == ["FULLY_CONNECTED", "SOFTMAX"]
    assert told["labels"] == {
        "file": "labels.txt",
        "sha256": hashlib.sha256(b"ant\nbee\ncat\ndog\n").hexdigest(),
        "count": 4,
    }


def test_equal_bundles_are_made_of_equal_facts(shipped, make_bundle):
    assert make_bundle().read_bytes() == shipped.read_bytes()


def test_a_vector_tells_what_its_bytes_mean(shipped):
    files, told = contents(shipped), contract_of(shipped)
    samples, row = told["vectors"]["samples"], told["outputs"][0]
    assert len(samples) == 5
    for number, sample in enumerate(samples):
        answer = sample["outputs"]["scores"]
        values = np.frombuffer(files[answer["file"]], np.int8).astype(float)
        assert np.allclose((values - row["zero_point"]) * row["scale"], answer["values"])
        assert sample["class"] == told["classes"][int(np.argmax(values))]
        assert answer["tolerance"] == 2
        assert sample["inputs"] == {"features": f"vectors/{number}.features.in"}
        probe = sample["input_values"]["features"]
        given = np.frombuffer(files[sample["inputs"]["features"]], np.int8)[:: probe["every"]]
        first = told["inputs"][0]
        assert np.allclose((given.astype(float) - first["zero_point"]) * first["scale"], probe["values"])
    digests = told["vectors"]["sha256"]
    assert digests == {name: hashlib.sha256(files[name]).hexdigest() for name in files if name.startswith("vectors/")}


def test_vectors_are_the_samples_on_which_kernels_were_compared(make_bundle, images, colour_file):
    tested = [{"sample": n, "difference": {"scores": {"lsb": apart}}} for n, apart in ((3, 0), (0, 9), (5, 4))]
    path = make_bundle(tested=tested)
    samples = contract_of(path)["vectors"]["samples"]
    assert [sample["outputs"]["scores"]["tolerance"] for sample in samples] == [1, 9, 4]
    (info,) = litert.describe(colour_file.path)[0]
    wanted = litert.quantize(np.load(images.inputs[""])[3], info)
    assert contents(path)["vectors/0.features.in"] == wanted.tobytes()


def test_there_are_no_vectors_when_there_are_no_samples(make_bundle, colour_file):
    path = make_bundle(colour_file, None, classes=[], tested=[])
    told = contract_of(path)
    assert told["vectors"]["samples"] == []
    assert told["labels"] is None
    assert "labels.txt" not in contents(path)
    assert "There are no golden vectors" in contents(path)["MODEL_CARD.md"].decode()


@pytest.mark.parametrize(("name", "rows"), [("float32_batch4", 1), ("float32_dynamic_batch", 5)])
def test_a_vector_holds_a_batch(name, rows, make_bundle, make_samples, features):
    samples = make_samples({"": features[:7]})
    path = make_bundle(stored(name), samples, spread={}, preprocessing={}, classes=[])
    found = contract_of(path)["vectors"]["samples"]
    assert len(found) == rows
    sizes = {len(contents(path)[sample["inputs"]["features"]]) for sample in found}
    assert sizes == {contract_of(path)["inputs"][0]["bytes"]}


def test_a_float_output_may_differ_by_a_step_of_the_integers_it_is_made_of(make_bundle, make_samples, features):
    model = stored("full_int8_float_io")
    path = make_bundle(model, make_samples({"": features}), spread={}, preprocessing={}, classes=[])
    answer = contract_of(path)["vectors"]["samples"][0]["outputs"]["scores"]
    assert answer["tolerance"] == pytest.approx(1 / 256, rel=1e-3)


def test_the_card_tells_data_gates_targets_and_limits(shipped):
    card = contents(shipped)["MODEL_CARD.md"].decode()
    for words in (
        "# insects",
        "It tells 4 classes apart: ant, bee, cat, dog.",
        "| input 0 | features | 1 x 4 x 4 x 3 RGB | int8 | (integer - 3) x 0.0078125 |",
        "resize to 4 x 4, area",
        "- Data for evaluation: 8 samples of the split `test`; synthetic noise, no real data.",
        "- scheme: the file is full_int8, as asked.",
        r"| edgetpu | not checked | rule | a \| b |",
        "scores is at most 2 steps apart",
        "- Noise stood in for data",
    ):
        assert words in card
    assert "\n\n\n" not in card


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_sample_before_any_preprocessing_is_beside_a_vector(dtype, make_bundle, colour_file, images, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 7, 3)).astype(dtype)
    np.savez(tmp_path / "pixels.npz", x=pixels)
    section = {"source": "npz", "path": str(tmp_path / "pixels.npz"), "inputs": "x"}
    source = TypeAdapter(Dataset).validate_python(section), 0
    path = make_bundle(colour_file, images, source)
    files, (sample, *_) = contents(path), contract_of(path)["vectors"]["samples"]
    place = sample["raw"]["features"]
    file = io.BytesIO(files[place])
    found = np.asarray(Image.open(file)) if dtype == "uint8" else np.load(file)
    assert place.endswith(".png" if dtype == "uint8" else ".npy")
    assert np.array_equal(found, pixels[sample["row"]])
