"""What the target `tflite-2.14` says of files, against that runtime itself, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.targets.op_versions import RELEASES

HERE = Path(__file__).parent
STORED = sorted((HERE.parent / "data").glob("*.tflite"))
pytestmark = pytest.mark.slow


def test_the_verdict_on_stored_files_is_what_the_old_runtime_does(runs_in_old, tmp_path):
    runs = runs_in_old(STORED, tmp_path)
    assert {True, False} == set(runs.values())


@pytest.mark.tf
def test_the_verdict_on_every_scheme_is_what_the_old_runtime_does(runs_in_old, models, run_cli, tmp_path):
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
    runs = runs_in_old(list(made.values()), tmp_path)
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
    command = [old_python, HERE / "run_file.py", tmp_path / "old.json", *files]
    subprocess.run(command, capture_output=True, check=True)
    old = json.loads((tmp_path / "old.json").read_text())
    assert {file.stem: not isinstance(old[str(file)], str) for file in files} == wanted
