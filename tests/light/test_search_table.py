from __future__ import annotations

import copy
from typing import Any

import pytest

from tflite_pipeline.search_table import STATUS_STYLES, SearchWatcher, show


def half(drop: float, low: float, high: float) -> dict[str, Any]:
    metric = {"reference": 0.95, "quantized": 0.95 - drop, "drop": drop, "interval": [low, high], "samples": 300}
    return {"metric": metric, "gates": [], "failed": []}


def row(plan: str, status: str, size: int, drop: float | None, **more: Any) -> dict[str, Any]:
    return {
        "candidate": plan,
        "phase": "schemes",
        "plan": plan,
        "scheme": plan,
        "recovery": ["gptq", "bias_correction"],
        "method": None,
        "qat": False,
        "notes": [],
        "status": status,
        "why": "no kernel" if status == "refused" else "",
        "bytes": size or None,
        "latency": None,
        "look": {"sqnr_db": 20.0, "agreement": 0.9, "samples": 64} if drop is not None else None,
        "search": half(drop, drop - 0.01, drop + 0.01) if drop is not None else None,
        "check": None,
        "against_winner": None,
        **more,
    }


TABLE: dict[str, Any] = {
    "recipe": {"name": "net"},
    "objective": "size",
    "metric": "top1",
    "max_drop": 0.005,
    "budget": 60.0,
    "seconds": 12.0,
    "folder": "build/net-search",
    "winner": "int8x4",
    "nearest": None,
    "gap": None,
    "passed": True,
    "full": {"metrics": {"top1": half(0.001, -0.002, 0.004)["metric"]}},
    "notes": ["something to know"],
    "rows": [
        row("full_int8", "accepted", 4096, 0.0, against_winner={"drop": -0.001, "interval": [-1, 1], "equal": True}),
        row("int8x4", "accepted", 2048, 0.001, check=half(0.002, -0.006, 0.01)),
        row("weight_int4", "failed", 1900, 0.2, against_winner={"drop": 0.2, "interval": [0.1, 0.3], "equal": False}),
        row("dynamic_int4_block32", "refused", 0, None),
        row("float32", "larger", 9000, None),
    ],
}


def shown(
    table: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: str
) -> str:
    monkeypatch.setenv("COLUMNS", width)
    show(table)
    return capsys.readouterr().out


def test_tells_the_winner_how_sure_it_is_and_how_to_run_it(capsys, monkeypatch):
    text = shown(TABLE, capsys, monkeypatch, "200")
    assert "net: int8x4" in text
    lines = [line.split()[0] for line in text.splitlines() if " KiB" in line and ("int" in line)]
    assert lines == ["weight_int4", "*", "full_int8"]
    assert "loses more" in text
    assert "equal" in text
    assert "300 samples cannot rule out a drop of up to +1.00 points" in text
    assert "on 300 samples that the search had not seen" in text
    assert "something to know" in text
    assert "dynamic_int4_block32: no kernel" in text
    assert "tflite-pipeline run build/net-search/winner.yaml" in text


def test_tells_the_gap_when_nothing_is_within_the_limit(capsys, monkeypatch):
    table = copy.deepcopy(TABLE) | {"winner": None, "nearest": "weight_int4", "gap": 0.195, "passed": False}
    text = shown(table, capsys, monkeypatch, "200")
    assert "nothing within the limit" in text
    assert "weight_int4, +19.50 points beyond the limit, kept as build/net-search/model.FAILED.tflite" in text
    assert "run alone" not in text


@pytest.mark.parametrize("width", ["50", "60", "70"])
def test_leaves_out_columns_where_the_terminal_is_narrow(capsys, monkeypatch, width):
    text = shown(TABLE, capsys, monkeypatch, width)
    assert "left out" in text
    table = text[: text.index("left out")].splitlines()[2:]
    assert all(len(line.rstrip()) <= int(width) for line in table)


def test_latency_shows_what_was_timed_and_what_is_as_fast(capsys, monkeypatch):
    table = copy.deepcopy(TABLE) | {"objective": "latency"}
    for one, p50 in zip(table["rows"], (2.0, 1.0, 3.0, 0.0, 1.5), strict=True):
        one["latency"] = {"p50": p50, "interval": [p50, p50]} if p50 else None
    table["rows"][4]["against_winner"] = {"equal_latency": True}
    text = shown(table, capsys, monkeypatch, "200")
    assert "1.50 ms" in text
    assert "as fast" in text
    assert "slower" in text


def test_the_watcher_leaves_a_line_for_each_candidate(capsys):
    watcher = SearchWatcher(60.0)
    watcher.phase("schemes")
    watcher.candidate("int8x4", 30.0)
    watcher.begin("quantize")
    watcher.end("quantize", 0.1, False)
    watcher.tried(TABLE["rows"][1], TABLE["rows"][1])
    watcher.tried(TABLE["rows"][3], TABLE["rows"][1])
    told = capsys.readouterr().err
    assert "accepted     2.0 KiB  drop +0.001 then +0.002" in told
    assert "refused" in told
    assert STATUS_STYLES.keys() >= {one["status"] for one in TABLE["rows"]}
