from __future__ import annotations

import re
from typing import Any

import pytest

from tflite_pipeline.report.sweep_page import sweep_page
from tflite_pipeline.report.sweep_summary import sweep_summary
from tflite_pipeline.report.sweep_verdict import failures, next_steps, sweep_verdict

pytestmark = pytest.mark.slow


def row(name: str, status: str = "passed", size: int = 600_000, drop: float = 0.005, **changes: Any) -> dict[str, Any]:
    figures = {"reference": 0.98, "quantized": 0.98 - drop, "drop": drop, "interval": [drop - 0.006, drop + 0.006]}
    gate = {"name": "max_drop:top1", "verdict": status, "limit": 0.01}
    judged = status in ("passed", "failed", "undecided")
    return {
        "variant": name,
        "scheme": name,
        "settings": {},
        "overrides": [f"quantization.scheme={name}"],
        "notes": [],
        "recipe_sha256": "0" * 64,
        "status": status,
        "error": None,
        "found": name,
        "io": "int8",
        "engine": {"name": "mlir", "why": "the first choice"},
        "metrics": {"top1": {**figures, "samples": 719, "higher_is_better": True}} if judged else {},
        "agreement": {},
        "bytes": size if judged else None,
        "latency_ms": 0.2 if judged else None,
        "latency": {"min": 0.1, "p50": 0.2, "p90": 0.3, "host": "a host"} if judged else None,
        "reference": {"bytes": 1_500_000, "latency_ms": 0.3} if judged else None,
        "samples": {"split": "test", "count": 719, "sha256": "a" * 64} if judged else None,
        "gates": [gate] if judged else [],
        "sha256": "1" * 64 if judged else None,
        "folder": name,
        "file": f"{name}/model.tflite" if judged else None,
        "report": f"{name}/report.json" if judged else None,
        **changes,
    }


def table(*rows: dict[str, Any]) -> dict[str, Any]:
    passed = [one for one in rows if one["status"] == "passed"]
    best = min(passed, key=lambda one: one["bytes"])["variant"] if passed else None
    about = {"name": "demo", "path": "demo.yaml"}
    return {
        "sweep": 1,
        "recipe": about,
        "folder": "f",
        "best": best,
        "versions": {"tflite-pipeline": "1"},
        "rows": list(rows),
    }


WRONG = {"stage": "engine", "what": "full_int8 <b>cannot</b> be.", "remedy": "Try another.", "log": ""}
MIXED = table(
    row("float16", size=900_000, drop=0.0),
    row("int8x4", "failed", 300_000, 0.4),
    row("full_int8", "error", error=WRONG),
    row("dynamic_int8", size=500_000),
    row("int16x8", "refused", error={**WRONG, "what": "no engine makes int16x8."}),
    row("weight_int8", "undecided"),
)


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.split("</style>")[1].split("<script>")[0]).split())


def test_the_verdict_names_the_smallest_with_its_cost_and_how_sure_it_is() -> None:
    assert sweep_verdict(MIXED) == (
        "dynamic_int8 is the smallest of 2 that passed, of 6 variants: 488.3 KiB, 33% of the float file's size, and "
        "top1 goes from 98.00% to 97.50%, a drop of +0.50 points (95 % interval -0.10 … +1.10, 719 samples)."
    )


def test_the_verdict_names_what_keeps_all_from_passing() -> None:
    told = sweep_verdict(table(row("a", "failed"), row("b", "failed"), row("c", "error", error=WRONG)))
    assert told.startswith(
        "None of 3 variants passed: max_drop:top1 did not pass in 2, 1 ended in an error; try another"
    )


def test_page_and_summary_have_the_rows_in_one_order() -> None:
    names = ["dynamic_int8", "float16", "weight_int8", "int8x4", "full_int8", "int16x8"]
    page = sweep_page(MIXED, {name: f"text of {name}" for name in names})
    assert re.findall(r'<tr id="row-\d"[^>]*><td class="n">\d</td><th scope="row">(\w+)', page) == names
    assert re.findall(r"^\| \**(\w+)\** \| \S+ ?\w* \| [\d-]", sweep_summary(MIXED), re.MULTILINE) == names
    assert all(f"<pre>text of {name}</pre>" in page for name in names)


def test_points_lead_to_rows_and_rows_to_recipes_and_reports() -> None:
    page = sweep_page(MIXED, {})
    ids = set(re.findall(r' id="([^"]+)"', page))
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links <= ids
    assert {"row-1", "recipe-1", "row-4", "recipe-6"} <= links
    assert 'href="dynamic_int8/report.html"' in page
    assert 'href="full_int8/report.html"' not in page


def test_each_reason_is_told_once_and_is_no_markup() -> None:
    rows = [row(name, "refused", error={**WRONG, "what": f"no engine makes {name}."}) for name in ("int4", "int8")]
    assert [(one["names"], one["what"]) for one in failures(rows)] == [(["int4", "int8"], "no engine makes it.")]
    assert "<b>cannot" not in sweep_page(MIXED, {})


def test_the_tiles_are_the_choices_of_those_that_passed() -> None:
    text = text_of(sweep_page(MIXED, {}))
    assert "Smallest 488.3 KiB dynamic_int8, 0.200 ms Loses least +0.00 points float16, 878.9 KiB Fastest" in text


def test_different_samples_are_told_and_nothing_is_said_to_lose_least() -> None:
    other = row("float16", samples={"split": "test", "count": 9, "sha256": "b" * 64})
    mixed = table(row("full_int8"), other)
    text = text_of(sweep_page(mixed, {}))
    assert "not all measured on the same samples" in text
    assert "not all measured on the same samples" in sweep_summary(mixed)
    assert "Loses least" not in text


@pytest.mark.parametrize("rows", [[row("a", metrics={})], [row("a", "waiting")], [row("a", "error", error=WRONG)]])
def test_there_is_a_page_when_there_is_nothing_to_draw(rows: list[dict[str, Any]]) -> None:
    page = sweep_page(table(*rows), {})
    assert "<svg" not in page
    assert "nothing to weigh" in page


def test_the_next_step_is_the_command_that_makes_the_best_or_goes_on() -> None:
    commands = [command for _, command in next_steps(MIXED)]
    assert commands[0] == "tflite-pipeline run demo.yaml --set quantization.scheme=dynamic_int8"
    assert commands[1] == "tflite-pipeline search demo.yaml --max-drop 0.01"
    assert next(next_steps(table(row("a", "waiting"))))[1] == "tflite-pipeline sweep demo.yaml"
