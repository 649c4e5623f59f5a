from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import TensorInfo
from tflite_pipeline.handoff.ports import identifier
from tflite_pipeline.handoff.snippets import write_snippets
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.op_codes import read_op_codes

DATA = Path(__file__).parents[2] / "data"
GOLDEN = DATA / "snippets"
CLASSES = ("ant", "bee $5", 'the "cat"', "dög")
STEPS = [{"scale": {"factor": 0.125, "offset": -1.0}}]


def row(index: int, info: TensorInfo) -> dict[str, Any]:
    told = {"name": info.name, "index": index, "shape": list(info.shape), "dtype": info.dtype}
    return told | ({"scale": info.scale, "zero_point": info.zero_point} if info.scale else {})


def contract_of(path: Path, classes: Sequence[str] = (), steps: Any = ()) -> dict[str, Any]:
    """What the snippets read of a file's contract."""
    inputs, outputs = litert.describe(path)
    return {
        "name": "digits",
        "file": {"name": "model.tflite"},
        "ops": sorted({f"Custom:{code.name}" if code.custom else code.name for code in read_op_codes(path)}),
        "inputs": [row(*at) for at in enumerate(inputs)],
        "outputs": [row(*at) for at in enumerate(outputs)],
        "classes": list(classes),
        "preprocessing": {"": list(steps)} if steps else {},
    }


def snippets_of(name: str, classes: Sequence[str] = (), steps: Any = ()) -> dict[str, str]:
    path = DATA / f"{name}.tflite"
    written = write_snippets(contract_of(path, classes, steps), path)
    return {Path(place).name: text for place, text in written.items()}


def load_python(text: str, folder: Path) -> Any:
    (folder / "model.py").write_text(text)
    spec = importlib.util.spec_from_file_location("model_snippet", folder / "model.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["Model.kt", "Model.swift"])
def test_kotlin_and_swift_are_as_they_were_read_against_the_documentation(name):
    text = snippets_of("full_int8_int8_io", CLASSES, STEPS)[name]
    if os.environ.get("TFLITE_PIPELINE_REMAKE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


@pytest.mark.parametrize("name", ["conv_net", "two_by_two", "full_int8_float_io"])
def test_a_file_with_float_io_gets_no_code_for_quantization(name):
    texts = snippets_of(name, CLASSES)
    assert not [
        place
        for place, text in texts.items()
        if "quantize" in text.lower().replace("addquantize", "").replace("adddequantize", "")
    ]


@pytest.mark.parametrize("name", ["full_int8_int8_io", "full_int8_uint8_io", "int16x8", "two_by_two", "lookup"])
def test_python_computes_what_the_interpreter_computes(name, tmp_path):
    path = DATA / f"{name}.tflite"
    inputs, outputs = litert.describe(path)
    random = np.random.default_rng(0)
    fed = [random.normal(0, 2, info.shape).astype(np.float32) for info in inputs]
    fed = [np.abs(x).astype(info.dtype) if info.dtype == "int32" else x for x, info in zip(fed, inputs, strict=True)]
    model = load_python(snippets_of(name)["model.py"], tmp_path).Model(path)
    found = model.run(*fed)
    interpreter = litert.open_interpreter(path)
    for info, detail, x in zip(inputs, interpreter.get_input_details(), fed, strict=True):
        interpreter.set_tensor(detail["index"], litert.quantize(x, info))
    interpreter.invoke()
    for info, detail, value in zip(
        outputs, interpreter.get_output_details(), found if len(outputs) > 1 else [found], strict=True
    ):
        np.testing.assert_array_equal(value, litert.dequantize(interpreter.get_tensor(detail["index"]), info))


def test_python_names_the_class_of_the_largest_score(tmp_path):
    module = load_python(snippets_of("full_int8_int8_io", CLASSES)["model.py"], tmp_path)
    assert module.top(np.array([[0.1, 0.2, 0.6, 0.1]])) == 'the "cat"'


def test_names_of_many_classes_are_read_from_their_file(tmp_path):
    path = DATA / "full_int8_int8_io.tflite"
    contract = contract_of(path)
    contract["classes"] = [f"class {number}" for number in range(51)]
    contract["outputs"][0]["shape"] = [1, 51]
    written = write_snippets(contract, path)
    (tmp_path / "labels.txt").write_text("".join(f"{name}\n" for name in contract["classes"]))
    (tmp_path / "snippets").mkdir()
    module = load_python(written["snippets/model.py"], tmp_path / "snippets")
    assert module.top(np.arange(51)) == "class 50"
    for place in ("Model.kt", "Model.swift", "model.mjs"):
        assert "class 7" not in written[f"snippets/{place}"]
        assert "labels.txt" in written[f"snippets/{place}"]


def test_cpp_refuses_to_compile_where_an_op_has_no_kernel():
    assert '#error "TensorFlow Lite Micro has no kernel for ATAN2"' in snippets_of("float_island")["model.cc"]
    assert "no kernel for Custom:MatrixInverse: register one" in snippets_of("custom_op")["model.cc"]


def test_a_large_file_is_no_array_but_tells_how_to_make_one(tmp_path):
    small = DATA / "conv_net.tflite"
    path = tmp_path / "large.tflite"
    path.write_bytes(small.read_bytes() + bytes(2**21))
    text = write_snippets(contract_of(path), path)["snippets/model_data.cc"]
    assert "xxd -i model.tflite" in text
    assert len(text) < 1000
    assert "#error" in text


def test_a_dtype_that_not_all_languages_have_is_told_instead():
    path = DATA / "conv_net.tflite"
    contract = contract_of(path)
    contract["inputs"][0]["dtype"] = "object"
    (place,) = written = write_snippets(contract, path)
    assert place == "snippets/README.txt"
    assert '"image": object [1, 8, 8, 1]' in written[place]


def test_javascript_says_what_it_cannot_run():
    assert "arrays of float32, int32 and uint8, not of int8" in snippets_of("full_int8_int8_io")["model.mjs"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("image", ("image",)),
        ("inputImage", ("input", "image")),
        ("serving_default_image:0", ("serving", "default", "image", "0")),
        ("BGRFrame", ("bgr", "frame")),
        ("class", ("class", "values")),
        ("3d", ("tensor", "3d")),
        ("ä", ("tensor", "values")),
    ],
)
def test_names_become_identifiers_of_every_language(name, words):
    assert identifier(name) == words


def test_two_names_that_look_alike_stay_two():
    path = DATA / "two_by_two.tflite"
    contract = contract_of(path)
    contract["inputs"][0]["name"], contract["inputs"][1]["name"] = "a/b", "a-b"
    assert "def run(self, a_b, a_b_1):" in write_snippets(contract, path)["snippets/model.py"]


MAIN = """
#include <cstdint>
#include <cstdio>

#include "model.h"
#include "model_data.h"
#include "tensorflow/lite/micro/micro_interpreter.h"

using namespace digits_model;

static float raw[RAW], fed[FED], scores[SCORES];

int main() {
  if (std::fread(raw, sizeof(float), RAW, stdin) != RAW) return 1;
  for (int i = 0; i < SCORES * SIZE; ++i) tflite::outputs[0][i] = static_cast<unsigned char>(100 * i);
  if (reinterpret_cast<uintptr_t>(g_model_data) % 16 != 0) return 2;
  PREPARE(raw, fed);
  if (!Setup()) return 3;
  if (!Run(fed, scores)) return 4;
  std::fwrite(fed, sizeof(float), FED, stdout);
  std::fwrite(tflite::inputs[0], 1, FED * SIZE, stdout);
  std::fwrite(scores, sizeof(float), SCORES, stdout);
  std::fputs(Top(scores), stdout);
}
"""


def build_cpp(texts: dict[str, str], folder: Path, **facts: Any) -> Path:
    """Compile the snippet with a main of the test; skips where there is no compiler."""
    if shutil.which("g++") is None:
        pytest.skip("no g++: install a C++ compiler")
    for name in ("model.h", "model.cc", "model_data.h", "model_data.cc"):
        (folder / name).write_text(texts[name])
    (folder / "main.cc").write_text(MAIN)
    defines = [f"-D{name}={value}" for name, value in facts.items()]
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-std=c++17"]
    sources = [folder / f"{name}.cc" for name in ("model", "model_data", "main")]
    command = ["g++", *warnings, *defines, f"-I{DATA / 'tflm'}", *sources, "-o", folder / "app"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "app"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full_int8_int8_io", "full_int8_uint8_io", "int16x8"])
def test_cpp_quantizes_and_dequantizes_as_numpy_does(name, tmp_path):
    path = DATA / f"{name}.tflite"
    (given,), (taken,) = litert.describe(path)
    size = np.dtype(given.dtype).itemsize
    texts = snippets_of(name, CLASSES, STEPS)
    app = build_cpp(texts, tmp_path, RAW=16, FED=16, SCORES=4, SIZE=size, PREPARE="PrepareFeatures")
    steps = np.array([-1e9, -300.5, -128, -2.5, -1.5, -0.5, 0, 0.5, 1.5, 2.5, 3.49, 126.5, 127, 300.5, 1e9, 7])
    raw = (steps * given.scale * 8 + 8).astype(np.float32)
    done = subprocess.run([app], input=raw.tobytes(), capture_output=True, check=True)
    fed = np.frombuffer(done.stdout, np.float32, 16)
    np.testing.assert_array_equal(fed, raw * np.float32(0.125) - np.float32(1))
    found = np.frombuffer(done.stdout, given.dtype, 16, offset=64)
    np.testing.assert_array_equal(found, litert.quantize(fed, given))
    held = np.frombuffer((np.arange(4 * size) * 100).astype(np.uint8).tobytes(), taken.dtype)
    scores = np.frombuffer(done.stdout, np.float32, 4, offset=64 + 16 * size)
    np.testing.assert_array_equal(scores, litert.dequantize(held, taken))
    assert done.stdout[64 + 16 * size + 16 :].decode() == CLASSES[int(np.argmax(scores))]


@pytest.mark.slow
def test_cpp_array_holds_the_file_and_float_values_pass_as_they_are(tmp_path):
    texts = snippets_of("conv_net", CLASSES, [{"channel_order": {"order": "rgb"}}, *STEPS])
    app = build_cpp(texts, tmp_path, RAW=64, FED=64, SCORES=4, SIZE=4, PREPARE="PrepareImage")
    raw = np.random.default_rng(0).random(64, np.float32)
    done = subprocess.run([app], input=raw.tobytes(), capture_output=True, check=True)
    fed = np.frombuffer(done.stdout, np.float32, 64)
    np.testing.assert_array_equal(fed, np.frombuffer(done.stdout, np.float32, 64, offset=256))
    rows = texts["model_data.cc"].partition("{\n")[2].partition("{\n")[2].partition("}")[0]
    assert (
        bytes(json.loads(f"[{','.join(str(int(word, 16)) for word in rows.split(',') if word.strip())}]"))
        == (DATA / "conv_net.tflite").read_bytes()
    )
