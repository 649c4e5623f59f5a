from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.debug_table import show
from tflite_pipeline.overlay import overlay

DATA = Path(__file__).parents[1] / "data"


def row(index: int, layer: str, sqnr_db: float | None = 12.34, **changes: Any) -> dict[str, Any]:
    effect = {"scheme": "int8x4", "sqnr_db": sqnr_db, "agreement": 0.9375, "divergence": 0.095, "bytes": 440}
    errors = {
        "file_index": index + 1,
        "weights": "int4",
        "sqnr_db": 8.2,
        "mean_lsb": -0.31,
        "max_lsb": 76.0,
        "clipped": 0.0002,
        "saturated": 0.0005,
        "channels_largest_to_median": 1.4,
    }
    common = {"index": index, "op": "FULLY_CONNECTED", "tensor": f"net/{layer}/MatMul", "layer": layer}
    cause = {"name": "int4", "text": "4 bits are too coarse for its weights"}
    return {**common, "effect": effect, "errors": errors, "cause": cause, "remedy": "recovery: [gptq]", **changes}


def told(*rows: dict[str, Any], notes: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "recipe": {"name": "net"},
        "scheme": "int8x4",
        "folder": "build/net-debug",
        "model": {"file": "quantized.tflite"},
        "overlay": "model_explorer.json",
        "samples": {"errors": 200, "effects": 32},
        "notes": list(notes),
        "rows": list(rows),
    }


@pytest.fixture
def shown(capsys, monkeypatch):
    def at(width: int, found: dict[str, Any]) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        show(found)
        return capsys.readouterr().out

    return at


def test_worst_ops_are_told_with_cause_and_remedy(shown):
    lines = [line.rstrip() for line in shown(140, told(row(0, "relu, dense"), row(1, "[b]", None))).splitlines()]
    assert lines[1] == "net: int8x4, the 2 ops that cost the outputs most, of 2"
    cells = ["FULLY_CONNECTED", "int8x4", "12.3", "93.75%", "0.095", "8.2", "-0.31", "76", "0.02%", "0.05%", "1.4"]
    assert lines[4].split() == ["1", "dense", *cells]
    assert lines[5].split() == ["2", "[b]", *(cell if cell != "12.3" else "-" for cell in cells)]
    assert "      1 to 2 dense, [b]: 4 bits are too coarse for its weights" in lines
    assert "             → recovery: [gptq]" in lines
    assert lines[-2] == "  measured   errors on 200 samples, effects of one op alone on 32"
    assert "build/net-debug/debug.json" in lines[-1]


def test_only_ten_are_told_and_first_those_with_an_effect(shown):
    rows = [row(number, f"dense_{number}") for number in range(12)]
    text = shown(200, told(*rows))
    assert "the 10 ops that cost the outputs most, of 12" in text
    assert "dense_9" in text
    assert "dense_10" not in text
    lone = row(1, "pool", effect=None, errors={**row(1, "pool")["errors"], "weights": ""})
    assert "the op that costs the outputs most, of 2" in shown(200, told(row(0, "dense"), lone))


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_the_terminal(shown, width):
    long = row(0, "stage_3_block_1_shortcut_projection_convolution", remedy="a rule " * 30)
    text = shown(width, told(long, notes=("what was not measured " * 8,)))
    lines = text.splitlines()
    assert max(map(len, lines[:-1])) <= width
    assert "left out" in text
    assert "12.3" in text


def test_figures_that_nothing_has_are_no_columns(shown):
    none = dict.fromkeys(("mean_lsb", "max_lsb", "clipped", "saturated", "channels_largest_to_median"))
    text = shown(200, told(row(0, "dense", errors={**row(0, "dense")["errors"], **none})))
    assert "LSB" not in text
    assert "clipped" not in text
    assert "left out" not in text


def test_overlay_names_ops_by_their_index_in_the_file():
    rows = [row(0, "dense"), row(1, "same", None), row(2, "pool", errors=None)]
    found = overlay(DATA / "full_int8_int8_io.tflite", rows)
    assert list(found) == ["main"]
    assert found["main"]["results"] == {"1": {"value": 12.34}}
    values = [step["value"] for step in found["main"]["thresholds"]]
    assert values == sorted(values)


def test_overlay_has_the_errors_when_no_effect_was_measured():
    found = overlay(DATA / "full_int8_int8_io.tflite", [row(0, "dense", effect=None)])
    assert found["main"]["results"] == {"1": {"value": 8.2}}
    assert "output of each op" in found["main"]["name"]
