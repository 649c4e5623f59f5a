from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.targets import ethos_u
from tflite_pipeline.targets.profiles import TARGETS, check_targets

DATA = Path(__file__).parents[2] / "data"


def checked(name: str, out: Path, target: str = "ethos-u55", layers: tuple[str, ...] = ()) -> dict[str, Any]:
    (check,) = check_targets((target,), DATA / f"{name}.tflite", layers, out).checks
    return check


@pytest.mark.slow
@pytest.mark.parametrize("target", ["ethos-u55", "ethos-u65", "ethos-u85"])
def test_a_file_of_integers_lies_on_the_npu_with_velas_own_figures(tmp_path: Path, target: str) -> None:
    check = checked("full_int8_int8_io", tmp_path, target)
    assert (check["passed"], check["findings"]) == (True, [])
    assert check["checked_by"].startswith(f"ethos-u-vela {importlib.metadata.version('ethos-u-vela')}, {target}-")
    said = (tmp_path / target / "vela.txt").read_text()
    assert "CPU operators = 0 (0.0%)" in said
    assert check["figures"]["npu_percent"] == 100
    (sram,) = re.findall(r"Total SRAM used +([\d.]+) KiB", said)
    assert check["figures"]["sram_kib"] == pytest.approx(float(sram), abs=0.01)
    assert check["figures"]["cycles"] > 0


@pytest.mark.slow
def test_ops_that_vela_leaves_to_the_cpu_fail_with_their_layer_and_its_reason(tmp_path: Path) -> None:
    check = checked("audit_full_int8_float_tail", tmp_path, layers=("image", "conv", "wide", "narrow"))
    assert check["passed"] is False
    assert [finding.split(" stays")[0] for finding in check["findings"]] == [
        "QUANTIZE at 'serving_default_image:0_quantized'",
        "DEQUANTIZE at 'functional_1/wide_1/MatMul;functional_1/wide_1/Relu_dequant' (layer wide)",
        "FULLY_CONNECTED at 'functional_1/narrow_1/MatMul1' (layer narrow)",
        "SOFTMAX at 'StatefulPartitionedCall:0' (after layer narrow)",
    ]
    assert "unsupported DataType Float32" in check["findings"][2]
    assert check["figures"]["npu_percent"] == 60


@pytest.mark.slow
def test_a_compiler_that_ends_early_is_a_failed_check_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes((DATA / "full_int8_int8_io.tflite").read_bytes()[:400])
    check = TARGETS["ethos-u55"](path, (), tmp_path / "out")
    assert check["passed"] is False
    assert check["findings"][0].startswith("Vela ended with code ")


def test_without_vela_nothing_is_claimed_and_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ethos_u, "PACKAGE", "a-package-that-is-not-installed")
    check = checked("full_int8_int8_io", tmp_path)
    assert (check["passed"], check["checked_by"]) == (None, "not checked")
    assert check["findings"] == ["Vela is not installed: pip install 'tflite-pipeline[vela]'"]
