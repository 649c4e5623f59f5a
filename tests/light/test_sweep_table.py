from __future__ import annotations

import re
from typing import Any

import pytest

from tflite_pipeline.sweep_table import SweepWatcher, show

COMMAND = ["tflite-pipeline", "run", "my recipes/a.yaml"]


def row(name: str, status: str = "passed", size: int = 600_000, **changes: Any) -> dict[str, Any]:
    figures = {
        "reference": 0.98,
        "quantized": 0.975,
        "drop": 0.005,
        "interval": [-0.001, 0.011],
        "samples": 719,
        "higher_is_better": True,
    }
    common = {
        "variant": name,
        "overrides": [f"quantization.scheme={name.split()[0]}", 'quantization.rules=[{"op": "SOFTMAX"}]'],
        "notes": [],
        "status": status,
        "error": None,
        "io": "int8",
        "engine": {"name": "ai_edge", "why": "the first choice"},
        "metrics": {"top1": figures},
        "agreement": {"out": {"value": 0.99, "interval": [0.98, 0.995], "samples": 719, "sqnr_db": 30.0}},
        "bytes": size,
        "latency_ms": 0.2104,
        "reference": {"bytes": 1_500_000, "latency_ms": 0.3},
        "gates": [{"name": "scheme", "verdict": "passed"}, {"name": "max_drop:top1", "verdict": status}],
        "file": f"{name}/model.tflite",
    }
    return common | changes


def broken(name: str, **error: str) -> dict[str, Any]:
    empty = {"engine": None, "metrics": {}, "agreement": {}, "bytes": None, "latency_ms": None, "reference": None}
    told = {"stage": "quantize", "what": "it [b]cannot[/b].", "remedy": "Try another.", "log": ""} | error
    return row(name, "error", **empty, gates=[], file=None) | {"error": told}


def table(*rows: dict[str, Any], best: str | None = None) -> dict[str, Any]:
    return {"recipe": {"name": "demo"}, "folder": "build/demo-sweep", "best": best, "rows": list(rows)}


def shown(capsys: pytest.CaptureFixture[str], content: dict[str, Any]) -> str:
    show(content, COMMAND)
    return capsys.readouterr().out


@pytest.fixture
def _no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.mark.usefixtures("_no_columns")
def test_pipe_gets_every_column_and_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, table(row("full_int8"), row("float16", "failed", 900_000), best="full_int8"))
    assert "\x1b" not in text
    line = next(line for line in text.splitlines() if "full_int8" in line)
    for figure in (
        "97.50%",
        "+0.50",
        "-0.10 … +1.10",
        "99.00%",
        "98.00% … 99.50%",
        "585.9 KiB",
        "0.210 ms",
        "ai_edge",
        "int8",
        "passed",
    ):
        assert figure in line
    assert "demo: 1 of 2 variants passed" in text
    assert "left out" not in text
    assert "float      top1 98.00%, 1.4 MiB, 0.300 ms" in text


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 140])
def test_narrow_terminal_cuts_no_figure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [row("dynamic_int4_block128 method=percentile"), row("float16", "undecided"), broken("int16x8")]
    text = shown(capsys, table(*rows, best=rows[0]["variant"]))
    grid = text.split("\n  float ")[0].split("\n  left out")[0]
    assert "…" not in re.sub(r"\d%? … [+\d]", "", grid)
    for figure in ("97.50%", "585.9 KiB", "undecided", "dynamic_int4_block128", "method=percentile"):
        assert figure in grid
    widest = max(len(line.rstrip()) for line in grid.splitlines())
    assert widest <= max(columns, 62)
    assert ("too narrow" in " ".join(text.split())) == (columns < 140)


@pytest.mark.usefixtures("_no_columns")
def test_smallest_that_passed_is_marked_with_the_command_to_run_it(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, table(row("float16"), row("full_int8", size=400_000), best="full_int8"))
    (marked,) = [line for line in text.splitlines() if line.startswith("*")]
    assert "full_int8" in marked
    assert "smallest   full_int8, 390.6 KiB, 27% of the float file" in text
    assert (
        "tflite-pipeline run 'my recipes/a.yaml' --set quantization.scheme=full_int8"
        """ --set 'quantization.rules=[{"op": "SOFTMAX"}]'"""
    ) in text


@pytest.mark.usefixtures("_no_columns")
def test_errors_and_gates_are_told_once_for_all_rows_that_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [broken("a"), broken("b"), broken("c", stage="", what="Other."), row("d", "failed"), row("e", "failed")]
    text = shown(capsys, table(*rows))
    assert "error      a, b: stage quantize: it [b]cannot[/b]. Try another.\n" in text
    assert "error      c: Other. Try another.\n" in text
    assert "failed     max_drop:top1 (d, e)\n" in text
    assert "next       try another scheme" in text


@pytest.mark.usefixtures("_no_columns")
def test_reasons_of_refused_schemes_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [broken(name, stage="engine", what=f"{name} cannot be made.") for name in ("int8x4", "int16x8")]
    text = shown(capsys, table(*(one | {"status": "refused", "scheme": one["variant"]} for one in rows)))
    assert "refused    int8x4, int16x8: it cannot be made.\n" in text


@pytest.mark.usefixtures("_no_columns")
@pytest.mark.parametrize(
    ("rows", "advice"),
    [
        ([row("a", "failed"), row("b", "undecided")], "give more evaluation samples"),
        ([row("a", "failed", gates=[{"name": "parity", "verdict": "failed"}]), broken("b")], "the float file is wrong"),
        ([row("a", "failed", gates=[]), row("b", "failed")], "no gate failed everywhere"),
        ([broken("a")], "mend what the errors tell"),
    ],
)
def test_advice_fits_when_nothing_passed(
    capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]], advice: str
) -> None:
    text = shown(capsys, table(*rows))
    assert f"next       {advice}" in text
    assert "smallest" not in text


@pytest.mark.usefixtures("_no_columns")
def test_float_figures_have_a_column_when_they_differ(capsys: pytest.CaptureFixture[str]) -> None:
    other = row("float16")
    other["metrics"] = {"top1": other["metrics"]["top1"] | {"reference": 0.5}}
    text = shown(capsys, table(row("full_int8"), other))
    assert "50.00%" in text
    assert "float      top1" not in text


@pytest.mark.usefixtures("_no_columns")
def test_figures_that_no_row_has_have_no_column(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = {"value": None, "interval": None, "samples": 9, "sqnr_db": 30.0}
    text = shown(capsys, table(row("full_int8", metrics={}, agreement={"out": nothing})))
    assert "drop" not in text
    assert "class" not in text


def test_watcher_leaves_one_line_a_variant(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepWatcher(["float16", "full_int8 a=1"]) as watcher:
        for number, name in enumerate(("float16", "full_int8 a=1"), 1):
            watcher.variant(number, name)
            watcher.begin("quantize")
            watcher.progress("quantize", 1, 2, "")
            watcher.end("quantize", 0.1, cached=False)
            watcher.judged(row(name), 1.24)
    err = capsys.readouterr().err
    assert err == ("  1 of 2  float16        passed        1.2 s\n  2 of 2  full_int8 a=1  passed        1.2 s\n")
