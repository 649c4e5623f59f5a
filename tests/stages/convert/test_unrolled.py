"""Recurrent layers as plain ops: what they compute stays, and quantizers make all of it integer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import Engine, KerasModel, Reference, Samples
from tflite_pipeline.convert.calibrate import calibrate
from tflite_pipeline.convert.export import export
from tflite_pipeline.convert.quantize import quantize
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.answers import compute
from tflite_pipeline.runtime.graph import Graph, read_graphs
from tflite_pipeline.validate.parity import check_parity

pytestmark = pytest.mark.tf

COUNT = 16
BOTH = pytest.mark.parametrize("generation", [2, 3])


def exported(workers, name: str, generation: int, unroll: str, out: Path) -> Reference:
    out.mkdir()
    model = KerasModel("factory", {"function": f"recurrent:{name}", "arguments": {}}, generation, name, 0)
    return workers.run(f"keras{generation}", export, replace(model, unroll=unroll), 1, None, 0, out)


def ops_of(path: Path) -> set[str]:
    return {op.name for op in read_graphs(path)[0].ops}


def samples(reference: Reference, folder: Path, gap: bool) -> Samples:
    """Noise, whose steps from the second on are zero now and then, which layers may take as missing."""
    (info,) = reference.inputs
    values = np.random.default_rng(3).normal(size=(COUNT, *info.shape[1:])).astype(np.float32)
    if gap:
        values[::3, 2] = 0
    np.save(folder / "x.npy", values)
    path = {info.name: folder / "x.npy"}
    return Samples("train", folder, path, {}, tuple(range(COUNT)), ("",) * COUNT, (), False, "")


def quantized(workers, reference: Reference, scheme: str, folder: Path, gap: bool = False) -> tuple[Path, float]:
    """Give the file, and its error as a share of the reference's outputs."""
    for name in ("ranges", "made"):
        (folder / name).mkdir()
    given = samples(reference, folder, gap)
    ranges = calibrate(reference, given, 1, folder / "ranges")
    spec = Quantization(scheme=scheme, io="float32", calibration={"method": "minmax"})
    model = workers.run("keras3", quantize, spec, Engine("mlir", ""), reference, None, (ranges, None), folder / "made")
    arrays = {name: np.load(path) for name, path in given.inputs.items()}
    (expected,), (found,) = compute(reference.path, arrays).values(), compute(model.path, arrays).values()
    return model.path, float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def floating(graph: Graph) -> set[str]:
    border = {"QUANTIZE", "DEQUANTIZE"}
    ops = (op for op in graph.ops if op.name not in border)
    return {op.name for op in ops if any(graph.tensors[i].dtype == "float32" for i in graph.activations_of(op))}


@BOTH
@pytest.mark.parametrize("name", ["lstm", "gru", "cells", "bidirectional", "masked", "nested", "distributed"])
def test_unrolled_layer_computes_the_same_and_becomes_integer(name, generation, workers, tmp_path):
    reference = exported(workers, name, generation, "all", tmp_path / "e")
    assert {"FULLY_CONNECTED", "TANH"} <= ops_of(reference.path)
    assert not {"WHILE", "UNIDIRECTIONAL_SEQUENCE_LSTM"} & ops_of(reference.path)
    assert check_parity(reference, 1e-5, Path()).found["passed"]
    path, error = quantized(workers, reference, "full_int8", tmp_path, gap=name == "masked")
    assert floating(read_graphs(path)[0]) <= ({"NOT_EQUAL"} if name == "masked" else set())
    assert error < 0.05


@BOTH
def test_recurrent_layer_stays_when_not_asked(generation, workers, tmp_path):
    reference = exported(workers, "lstm", generation, "never", tmp_path / "e")
    assert {2: "UNIDIRECTIONAL_SEQUENCE_LSTM", 3: "WHILE"}[generation] in ops_of(reference.path)


def test_fused_layer_stays_when_only_loops_are_unrolled(workers, tmp_path):
    reference = exported(workers, "lstm_and_gru", 2, "loops", tmp_path / "e")
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in ops_of(reference.path)
    assert "WHILE" not in ops_of(reference.path)
    assert check_parity(reference, 1e-5, Path()).found["passed"]


def test_unrolled_layer_takes_int16(workers, tmp_path):
    reference = exported(workers, "lstm", 2, "all", tmp_path / "e")
    path, error = quantized(workers, reference, "int16x8", tmp_path)
    assert floating(read_graphs(path)[0]) == set()
    assert error < 0.01


@BOTH
def test_long_sequence_is_refused(generation, workers, tmp_path):
    with pytest.raises(StageError, match=r"at most 128 steps: 'memory' \(200 steps\)") as told:
        exported(workers, "too_long", generation, "all", tmp_path / "e")
    assert "Conv1D" in told.value.remedy


def test_layer_that_knows_loops_only_is_refused(workers, tmp_path):
    with pytest.raises(StageError, match=r"'memory' \(Keras 2 has it as a loop only\)"):
        exported(workers, "image_memory", 2, "all", tmp_path / "e")


def test_float_ops_become_integer_when_rewritten(workers, tmp_path):
    reference = exported(workers, "activations", 3, "never", tmp_path / "e")
    assert not {"ELU", "NEG", "SQUARE"} & ops_of(reference.path)
    assert check_parity(reference, 1e-5, Path()).found["passed"]
    path, error = quantized(workers, reference, "full_int8", tmp_path)
    assert floating(read_graphs(path)[0]) == set()
    assert error < 0.05
