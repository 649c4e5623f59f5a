from __future__ import annotations

from tflite_pipeline.report.page import page
from tflite_pipeline.report.render import found_at
from tflite_pipeline.report.summary import summary


def test_the_summary_has_verdict_metrics_costs_targets_and_what_to_do(make_report) -> None:
    gate = {"name": "max_size", "verdict": "failed", "text": "a | b", "limit": 1, "value": 2, "interval": None}
    target = {"name": "litert", "passed": None, "checked_by": "by rule", "findings": ["no runtime"], "told": ""}
    text = summary(make_report(verdict="failed", gates=[gate], targets=[target]))
    assert text.startswith("## ❌ demo: failed\n\n1 of 1 gates failed (max_size): the full_int8 file has")
    assert "| max_size | ❌ failed | a \\| b **What to do:** try a scheme with smaller weights" in text
    assert "| top1 | 93.10% | 90.00% | +3.10 points | +1.90 … +4.30 | 719 |" in text
    assert "| latency, median | 0.100 ms | 0.100 ms |" in text
    assert "| litert | ❔ undecided | by rule | no runtime |" in text
    assert "tflite-pipeline run recipe.resolved.yaml" in text


def test_the_summary_says_that_accuracy_was_not_measured(make_report) -> None:
    report = make_report()
    report["metrics"] = {}
    assert "Accuracy was not measured." in summary(report)
    assert "how accurate it is was not measured" in page(report)


def test_a_pointer_finds_keys_with_slashes_and_rows_of_lists() -> None:
    assert found_at({"a/b": [{"c~d": 5}]}, "/a~1b/0/c~0d") == 5
