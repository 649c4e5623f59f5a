"""What the target `tflite-2.14` says of files, against that runtime itself, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.targets.op_versions import RELEASES
from tflite_pipeline.targets.profiles import check_targets

HERE = Path(__file__).parent
STORED = sorted((HERE.parent / "data").glob("*.tflite"))
ALIKE = 0.2
"""Mean difference, in standard deviations of the outputs: what rounding makes is below 0.05, wrong numbers about 1."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="tflite-runtime 2.14 has no wheel for this Python"),
]


@pytest.fixture(scope="module")
def old_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "tflite-runtime==2.14.0", "numpy<2"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return python


def answers(python: Path | str, files: list[Path], out: Path) -> dict[str, Any]:
    command = [python, HERE / "run_file.py", out, *files]
    subprocess.run(command, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def same(old: Any, new: Any) -> bool:
    """Tell whether an old runtime gives what today's gives."""
    if isinstance(old, str):
        return False
    before, after = np.concatenate(old), np.concatenate(new)
    return bool(np.sqrt(np.mean((before - after) ** 2)) <= ALIKE * after.std())


def assert_no_contradiction(old_python: Path, files: list[Path], folder: Path) -> dict[Path, bool]:
    """Compare the verdict of each file that today's runtime runs with what the old one makes of it."""
    old, new = answers(old_python, files, folder / "old.json"), answers(sys.executable, files, folder / "new.json")
    runs, verdicts = {}, {}
    for file in files:
        (check,) = check_targets(("tflite-2.14",), file, folder).checks
        verdicts[file] = check["passed"]
        today = new[str(file)]
        runs[file] = not isinstance(old[str(file)], str) if isinstance(today, str) else same(old[str(file)], today)
    assert verdicts == runs
    return runs


def test_the_verdict_on_stored_files_is_what_the_old_runtime_does(old_python, tmp_path):
    runs = assert_no_contradiction(old_python, STORED, tmp_path)
    assert {True, False} == set(runs.values())


@pytest.mark.tf
def test_the_verdict_on_every_scheme_is_what_the_old_runtime_does(old_python, models, run_cli, tmp_path):
    random, out = np.random.default_rng(0), tmp_path / "out"
    np.savez(tmp_path / "images.npz", x=random.normal(size=(60, 8, 8, 3)).astype(np.float32), y=np.arange(60) % 3)
    recipe = {
        "recipe": 1,
        "name": "every",
        "model": {"source": "keras_file", "path": str(models / "convolutions.keras")},
        "dataset": {
            "source": "npz",
            "path": "images.npz",
            "inputs": "x",
            "labels": "y",
            "calibration": {"split": "train", "samples": 30},
            "evaluation": {"split": "test"},
        },
        "quantization": {"scheme": "full_int8"},
        "profile": {"runs": 5, "warmup": 1},
    }
    (tmp_path / "every.yaml").write_text(json.dumps(recipe))
    done = run_cli("sweep", tmp_path / "every.yaml", "--out", out, "--json")
    assert done.code == 0, done.err
    made = {row["scheme"]: out / "every-sweep" / row["file"] for row in json.loads(done.out)["rows"] if row["file"]}
    assert set(made) >= set(SCHEMES) - {"mixed", "dynamic_int4_block64", "dynamic_int4_block128"}
    runs = assert_no_contradiction(old_python, list(made.values()), tmp_path)
    assert runs[made["float32"]]
    assert runs[made["full_int8"]]
    assert not runs[made["int8x4"]]


def test_the_table_knows_exactly_the_versions_that_the_old_runtime_has(old_python, tmp_path):
    from ai_edge_litert import schema_py_generated as schema

    model = flatbuffer.unpack(HERE.parent / "data" / "float32.tflite")
    code = schema.OperatorCodeT()
    model.operatorCodes.append(code)
    wanted, files = {}, []
    for op, releases in RELEASES.items():
        code.builtinCode = getattr(schema.BuiltinOperator, op)
        code.deprecatedBuiltinCode = min(code.builtinCode, flatbuffer.OLD_CODES)
        for version, release in enumerate((*releases, "-"), 1):
            code.version = version
            files.append(tmp_path / f"{op}.{version}.tflite")
            files[-1].write_bytes(flatbuffer.pack(model))
            wanted[files[-1].stem] = release != "-" and tuple(map(int, release.split("."))) <= (2, 14)
    old = answers(old_python, files, tmp_path / "old.json")
    assert {file.stem: not isinstance(old[str(file)], str) for file in files} == wanted
