from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import Reference
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.answers import compute
from tflite_pipeline.validate.parity import check_parity

DATA = Path(__file__).parents[2] / "data"
INPUTS = {"zoom": np.full((3, 3), 2, np.float32), "angle": np.full((3, 2), -1, np.float32)}


def reference(probe: Path | None, name: str = "two_by_two") -> Reference:
    path = DATA / f"{name}.tflite"
    inputs, outputs = litert.describe(path)
    return Reference(path, "0", inputs, outputs, None, probe, "test")


def write_probe(path: Path, outputs: dict[str, np.ndarray]) -> Path:
    arrays = {f"input/{name}": value for name, value in INPUTS.items()}
    np.savez(path, **arrays, **{f"output/{name}": value for name, value in outputs.items()})
    return path


def test_parity_is_not_checked_without_a_probe() -> None:
    found = check_parity(reference(None), 1e-3, Path()).found
    assert (found["checked"], found["passed"], found["reason"]) == (
        False, None, "there is no original model to compare with."
    )  # fmt: skip


def test_equal_outputs_pass(tmp_path: Path) -> None:
    outputs = compute(DATA / "two_by_two.tflite", INPUTS)
    found = check_parity(reference(write_probe(tmp_path / "probe.npz", outputs)), 1e-3, Path()).found
    assert (found["checked"], found["passed"], found["difference"], found["samples"]) == (True, True, 0.0, 3)


def test_the_worst_output_counts_relative_to_its_own_size(tmp_path: Path) -> None:
    outputs = compute(DATA / "two_by_two.tflite", INPUTS)
    outputs["area"] = outputs["area"].copy()
    outputs["area"][2, 0] += np.abs(outputs["area"]).max() / 2
    found = check_parity(reference(write_probe(tmp_path / "probe.npz", outputs)), 1e-3, Path()).found
    assert not found["passed"]
    assert found["difference"] == pytest.approx(
        0.5 * np.abs(compute(DATA / "two_by_two.tflite", INPUTS)["area"]).max() / np.abs(outputs["area"]).max(),
        rel=1e-5,
    )


def test_nan_in_the_probe_fails(tmp_path: Path) -> None:
    outputs = {**compute(DATA / "two_by_two.tflite", INPUTS), "area": np.full((3, 2), np.nan, np.float32)}
    found = check_parity(reference(write_probe(tmp_path / "probe.npz", outputs)), 1e-3, Path()).found
    assert (found["checked"], found["passed"], found["difference"]) == (True, False, None)
    assert "NaN" in found["reason"]


def test_other_output_names_leave_it_unchecked(tmp_path: Path) -> None:
    outputs = {"a": np.zeros((3, 2), np.float32), "b": np.zeros((3, 3), np.float32)}
    found = check_parity(reference(write_probe(tmp_path / "probe.npz", outputs)), 1e-3, Path()).found
    assert (found["checked"], found["passed"]) == (False, None)
    assert "'area', 'width', are not named as the original's, 'a', 'b'" in found["reason"]
