from __future__ import annotations

from pathlib import Path

import pytest

from tflite_pipeline.changes import compare
from tflite_pipeline.inspect_table import show, show_changes
from tflite_pipeline.inspecting import inspect

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def lines(capsys, monkeypatch):
    def at(width: int, print_it, told) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        print_it(told)
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return at


@pytest.fixture(scope="module")
def looks():
    names = ("full_int8_int8_io", "full_int8_uint8_io", "float_island", "flex_op", "float32_dynamic_batch")
    return dict(zip(names, inspect(*(DATA / f"{name}.tflite" for name in names)), strict=True))


@pytest.fixture
def told(looks):
    return {name: look.told for name, look in looks.items()}


def test_a_file_is_told_line_by_line(lines, told):
    shown = lines(140, show, told["full_int8_int8_io"])
    assert shown[1].endswith("full_int8_int8_io.tflite: full_int8, 4.1 KiB")
    assert any(line.split()[:4] == ["input", "features", "int8", "1x16"] for line in shown)
    assert any(line.split() == ["op", "FULLY_CONNECTED", "4", "2"] for line in shown)
    assert "  in float   no op; 0 QUANTIZE, 0 DEQUANTIZE" in shown
    assert "  signature  serving_default(features) → scores" in shown


def test_what_hinders_is_told(lines, told):
    shown = lines(140, show, told["float_island"])
    assert "  islands    lambda_1 (ATAN2)" in shown
    assert "  runs from  TensorFlow Lite 2.10, as ATAN2 version 1 came with 2.10" in shown
    assert "  Flex ops   FlexMatrixInverse: apps have to bring them" in lines(140, show, told["flex_op"])
    opened = "\n".join(lines(140, show, told["float32_dynamic_batch"]))
    assert "4 tensors have dimensions that may vary: " in opened


def test_columns_give_way_when_the_terminal_is_narrow(lines, told):
    shown = lines(40, show, told["full_int8_int8_io"])
    assert shown[-2:] == ["  left out   scale, zero point, bytes:", "             the terminal is too narrow"]


def test_a_comparison_begins_with_its_verdict(lines, looks):
    shown = lines(1000, show_changes, compare(looks["full_int8_int8_io"], looks["full_int8_uint8_io"]))
    assert shown[2].startswith("the app must change: input 'features' has dtype uint8, had int8; input 'features' has")
    assert "  changed    ops new: QUANTIZE version 1" in shown


@pytest.mark.slow
@pytest.mark.parametrize(("file", "code"), [("conv_net.tflite", 0), ("make_tiny.py", 3)])
def test_inspect_ends_with_the_code_of_the_design(file, code, run_cli):
    done = run_cli("inspect", DATA / file)
    assert done.code == code
    assert "Traceback" not in done.err
    assert bool(done.out) == (code == 0)
