from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from tflite_pipeline.report.search_page import search_page
from tflite_pipeline.report.search_summary import search_summary
from tflite_pipeline.report.search_verdict import doubt, next_steps, search_verdict, untried

pytestmark = pytest.mark.slow


def half(drop: float, low: float, high: float) -> dict[str, Any]:
    metric = {"reference": 0.95, "quantized": 0.95 - drop, "drop": drop, "interval": [low, high], "samples": 300}
    return {"metric": metric, "gates": [], "failed": []}


def row(name: str, status: str, size: int | None, drop: float | None, **more: Any) -> dict[str, Any]:
    return {
        "candidate": name,
        "phase": "schemes",
        "plan": name,
        "overrides": [f"quantization.scheme={name}"],
        "recipe_sha256": "0" * 64,
        "rules": None,
        "status": status,
        "why": "no kernel" if status == "refused" else "",
        "bytes": size,
        "sha256": "1" * 64,
        "latency": None,
        "look": {"sqnr_db": 20.0, "agreement": 0.9, "samples": 64} if drop is not None else None,
        "search": half(drop, drop - 0.01, drop + 0.01) if drop is not None else None,
        "check": None,
        "against_winner": None,
        **more,
    }


def layer(name: str, weights: str) -> dict[str, Any]:
    return {"op": "CONV_2D", "layer": name, "tensor": name, "activations": "int8", "weights": weights, "sqnr_db": 30.0}


FULL_LATENCY = {"reference_ms": 0.3, "quantized_ms": 0.1, "host": "a host", "note": "which says little about a phone"}
TABLE: dict[str, Any] = {
    "search": 1,
    "recipe": {"name": "net", "path": "net.yaml", "sha256": "2" * 64},
    "objective": "size",
    "metric": "top1",
    "max_drop": 0.005,
    "allow": ["int8", "int4"],
    "budget": 60.0,
    "seconds": 12.0,
    "finished": True,
    "winner": "int8x4",
    "nearest": None,
    "gap": None,
    "passed": True,
    "full": {
        "metrics": {"top1": half(0.001, -0.002, 0.004)["metric"]},
        "reference": {"bytes": 20_480},
        "latency": FULL_LATENCY,
        "gates": [],
        "samples": {"evaluation": {"split": "test", "count": 600, "sha256": "3" * 64}},
    },
    "left_out": [{"what": "float16", "why": "search.allow is int8, int4"}, {"what": "training", "why": "no labels"}],
    "timeline": [
        {"candidate": "full_int8", "status": "accepted", "best": "full_int8", "seconds": 1.0},
        {"candidate": "weight_int4", "status": "failed", "best": "full_int8", "seconds": 3.0},
        {"candidate": "int8x4", "status": "accepted", "best": "int8x4", "seconds": 7.0},
    ],
    "layers": [layer("first", "int8"), layer("add", ""), layer("second", "int4")],
    "versions": {"tflite-pipeline": "1"},
    "notes": [
        "weight_int4 held on the search half, and not on samples it had not seen: too much",
        "the budget was spent",
    ],
    "rows": [
        row("full_int8", "accepted", 4096, 0.0, against_winner={"drop": -0.001, "interval": [-1, 1], "equal": True}),
        row("int8x4", "accepted", 2048, 0.001, check=half(0.002, -0.006, 0.01)),
        row("weight_int4", "failed", 1900, 0.2),
        row("dynamic_int4", "hopeless", 1950, None, why="5.0 dB from float"),
        row("dynamic_int4_block32", "refused", None, None, overrides=[]),
        row("int16x8", "larger", 9000, None, why="int8x4 is not larger"),
    ],
}


def changed(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(TABLE) | changes


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.split("</style>")[1].split("<script>")[0]).split())


def test_the_verdict_is_about_samples_that_the_search_had_not_seen() -> None:
    assert search_verdict(TABLE) == (
        "int8x4, with 2.0 KiB (10% of the float file), is the smallest file found that keeps the drop of top1 within "
        "0.5 points; on samples that the search had not seen, top1 goes from 95.00% to 94.80%, a drop of +0.20 points "
        "(95 % interval -0.60 … +1.00, 300 samples)."
    )
    assert "300 samples cannot rule out a drop of up to +1.00 points" in doubt(TABLE)


def test_the_nearest_is_named_when_nothing_is_within_the_limit() -> None:
    table = changed(winner=None, nearest="weight_int4", gap=0.195, passed=False)
    assert search_verdict(table).endswith("weight_int4, with 1.9 KiB (9% of the float file), comes nearest.")
    assert doubt(table) == ""
    assert "+19.50 points beyond the limit" in next(next_steps(table))[0]
    assert '<strong class="mark failed">Failed</strong>' in search_page(table, {})


def test_the_page_has_the_time_line_the_layers_and_what_was_not_tried() -> None:
    page = search_page(TABLE, {"int8x4": "its text"})
    text = text_of(page)
    assert re.findall(r'<svg class="chart" id="([\w-]+)"', page) == ["by-size", "timeline"]
    assert "the best so far goes from 4.0 KiB to 2.0 KiB" in page
    assert "1 ops with int8 weights, int8 activations 1 ops with int4 weights, int8 activations" in text
    assert "3 second CONV_2D int4 int8 30.0 dB" in text
    assert "float16 search.allow is int8, int4" in text
    assert "dynamic_int4 5.0 dB from float" in text
    assert "<pre>its text</pre>" in page


def test_the_reasons_are_told_once() -> None:
    table = changed(
        left_out=[{"what": name, "why": "search.allow is int8"} for name in ("float32", "float16")], rows=[]
    )
    assert list(untried(table)) == [("float32, float16", "search.allow is int8")]


def test_notes_stand_where_they_belong() -> None:
    page = search_page(TABLE, {})
    sure, left = page.index('id="sure"'), page.index('id="untried"')
    assert sure < page.index("not on samples it had not seen: too much") < left < page.index("the budget was spent")


def test_the_summary_has_the_numbers_of_the_page() -> None:
    text = search_summary(TABLE)
    assert text.startswith("## ✅ net: search within 0.5 points of top1\n\nint8x4, with 2.0 KiB")
    assert "| **int8x4** | ✅ accepted | 2.0 KiB | 94.90% | +0.10 points | -0.90 … +1.10 | - |" in text
    assert "- All samples: top1 goes from 95.00% to 94.90%" in text


def test_candidates_are_drawn_by_latency_when_that_is_the_objective() -> None:
    table = changed(objective="latency")
    for number, one in enumerate(table["rows"]):
        one["latency"] = (
            {"p50": 0.1 + number / 10, "interval": [0.1 + number / 10, 0.15 + number / 10]} if one["search"] else None
        )
    page = search_page(table, {})
    assert re.findall(r'<svg class="chart" id="([\w-]+)"', page) == ["by-size", "by-latency", "timeline"]
    assert "slower" in text_of(page)


def test_there_is_a_page_when_nothing_could_be_measured() -> None:
    table = changed(winner=None, full={}, rows=[TABLE["rows"][4]], timeline=[], layers=[], passed=None)
    assert "No candidate could be measured" in search_page(table, {})
