"""The snippets of real bundles: Python in an environment of its own, JavaScript in headless Chromium."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.targets.web import check_web

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
IMPORTS = {
    "@litertjs/core": "/node_modules/@litertjs/core/dist/index.js",
    "@litertjs/wasm-utils": "/node_modules/@litertjs/wasm-utils/dist/index.js",
}
PAGE = f'<!doctype html><script type="importmap">{json.dumps({"imports": IMPORTS})}</script>'
WASM = "/node_modules/@litertjs/core/wasm/"
LOAD = "async ([folder, wasm]) => (await import(`${folder}/snippets/model.mjs`)).load(wasm, `${folder}/model.tflite`)"
COMPILE = """async ([wasm, file]) => {
  const {loadLiteRt, loadAndCompile} = await import('@litertjs/core');
  await loadLiteRt(wasm);
  await loadAndCompile(file, {accelerator: 'wasm'});
}"""
RUN = """async ([folder, arrays]) => {
  const {run, top} = await import(`${folder}/snippets/model.mjs`);
  const scores = await run(...arrays.map((values) => Float32Array.from(values)));
  return [Array.from(scores), top(scores)];
}"""
IMAGES = """
import numpy as np

def draw():
    return np.random.default_rng(0).integers(0, 16, (60, 8, 8, 1)).astype(np.float32), np.arange(60) % 4
"""
PYTHON = """
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1] + "/snippets")
from model import Model, top
model = Model()
fed = json.load(sys.stdin)
found = [model.run(*map(np.float32, arrays)) for arrays in fed]
json.dump([[scores.tolist(), top(scores)] for scores in found], sys.stdout)
"""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Vector:
    """A golden vector as real numbers: what goes in, what comes out, how far the latter may be off, the class."""

    fed: list[Any]
    scores: Any
    tolerance: float
    told: str


@dataclass(frozen=True)
class Unpacked:
    folder: Path

    @property
    def contract(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.folder / "contract.json").read_text())
        return told

    def vectors(self) -> list[Vector]:
        contract = self.contract
        (output,) = contract["outputs"]
        made = []
        for sample in contract["vectors"]["samples"]:
            fed = [self._real(sample["inputs"][row["name"]], row) for row in contract["inputs"]]
            told = sample["outputs"][output["name"]]
            tolerance = told["tolerance"] * output.get("scale", 1)
            made.append(Vector(fed, self._real(told["file"], output), tolerance, sample["class"]))
        return made

    def _real(self, place: str, row: dict[str, Any]) -> Any:
        values = np.fromfile(self.folder / place, row["dtype"]).reshape(row["shape"])
        if "scale" not in row:
            return values
        return (values.astype(np.float32) - row["zero_point"]) * np.float32(row["scale"])


@pytest.fixture(scope="module")
def site(node_packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to serve: the packages of LiteRT.js and an empty page that knows where they are."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "node_modules").symlink_to(node_packages)
    (folder / "index.html").write_text(PAGE)
    return folder


@pytest.fixture(scope="module")
def bundles(site: Path, run_cli: Callable[..., Any]) -> dict[str, Unpacked]:
    """Bundles of one network with borders of real numbers and of integers, unpacked into the site."""
    (site / "images.py").write_text(IMAGES)
    recipe = {
        "recipe": 1,
        "model": {"source": "tflite", "path": str(DATA / "conv_net.tflite")},
        "dataset": {
            "source": "factory",
            "function": "images:draw",
            "classes": ["ant", "bee", "cat", "dog"],
            "calibration": {"split": "train", "samples": 30},
            "evaluation": {"split": "test"},
            "preprocessing": [{"scale": {"factor": 0.125, "offset": -1.0}}],
        },
        "profile": {"runs": 5, "warmup": 1},
    }
    made = {}
    for io in ("float32", "uint8"):
        one = recipe | {"name": io, "quantization": {"scheme": "full_int8", "io": io}}
        (site / f"{io}.yaml").write_text(json.dumps(one))
        done = run_cli("run", site / f"{io}.yaml", "--out", site / "out", "--allow-code")
        assert done.code == 0, done.err
        with zipfile.ZipFile(site / "out" / io / "handoff.zip") as archive:
            archive.extractall(site / io)
        made[io] = Unpacked(site / io)
    return made


@pytest.fixture
def page(browser: Any, serve: Callable[[Path], str], site: Path) -> Any:
    opened = browser.new_page()
    opened.goto(serve(site) + "/index.html")
    yield opened
    opened.close()


def assert_reproduced(vectors: list[Vector], found: list[Any]) -> None:
    assert len(vectors) == len(found) > 1
    for vector, (scores, told) in zip(vectors, found, strict=True):
        np.testing.assert_allclose(np.reshape(scores, vector.scores.shape), vector.scores, 0, vector.tolerance * 1.001)
        assert told == vector.told


@pytest.mark.parametrize("io", ["float32", "uint8"])
def test_python_reproduces_the_golden_vectors_with_nothing_but_litert_and_numpy(io, bundles, bare_python):
    vectors = bundles[io].vectors()
    fed = json.dumps([[array.tolist() for array in vector.fed] for vector in vectors])
    command = [bare_python, "-c", PYTHON, bundles[io].folder]
    done = subprocess.run(command, input=fed, capture_output=True, text=True, check=False, cwd=os.sep)
    assert done.returncode == 0, done.stderr
    assert_reproduced(vectors, json.loads(done.stdout))


@pytest.mark.parametrize("io", ["float32", "uint8"])
def test_javascript_reproduces_the_golden_vectors_in_a_browser(io, bundles, page):
    vectors = bundles[io].vectors()
    page.evaluate(LOAD, [f"/{io}", WASM])
    fed = [[array.reshape(-1).tolist() for array in vector.fed] for vector in vectors]
    assert_reproduced(vectors, [page.evaluate(RUN, [f"/{io}", arrays]) for arrays in fed])


def test_a_file_with_int8_borders_is_refused_before_the_browser_refuses_it(site, page, tmp_path):
    file = DATA / "full_int8_int8_io.tflite"
    check = check_web(file, (), tmp_path)
    assert not check["passed"]
    assert "Got int8" in check["findings"][0]
    shutil.copy(file, site / "int8.tflite")
    with pytest.raises(Exception, match="Element type INT8 is not supported"):
        page.evaluate(COMPILE, [WASM, "/int8.tflite"])


@pytest.mark.parametrize("io", ["float32", "uint8"])
def test_the_c_array_holds_the_file_of_the_bundle(io, bundles):
    text = (bundles[io].folder / "snippets" / "model_data.cc").read_text()
    words = text.rpartition("= {")[2].partition("}")[0].split(",")
    found = bytes(int(word, 16) for word in words if word.strip())
    assert found == (bundles[io].folder / "model.tflite").read_bytes()
