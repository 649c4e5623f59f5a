from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.compare_table import show
from tflite_pipeline.comparing import compare, write_comparison
from tflite_pipeline.errors import RecipeError
from tflite_pipeline.report.compare_page import compare_verdict

RECIPE = "recipe: 1\nname: {name}\nquantization: {{scheme: {scheme}, recovery: []}}\n"


@pytest.fixture
def put(tmp_path: Path, make_report):
    """Write a result folder: `put("a", "full_int8", bytes, drop, evaluation=digest, host=name)`."""

    def write(name: str, scheme: str = "full_int8", size: int = 2048, drop: float = 0.031, **more: Any) -> Path:
        report = make_report()
        report["recipe"]["name"], report["scheme"]["found"] = name, scheme
        report["model"]["bytes"] = size
        row = report["metrics"]["top1"]
        row.update(drop=drop, quantized=row["reference"] - drop, interval=[drop - 0.01, drop + 0.01])
        report["samples"] = {"evaluation": {"split": "test", "count": 719, "sha256": more.get("evaluation", "a" * 64)}}
        report["latency"]["host"] = more.get("host", "one host")
        report["latency"]["quantized"] = {"min": 0.1, "p50": 0.1, "p90": 0.2}
        folder = tmp_path / name
        folder.mkdir()
        (folder / "report.json").write_text(json.dumps(report | more.get("changes", {})))
        (folder / "report.html").write_text("")
        (folder / "recipe.resolved.yaml").write_text(RECIPE.format(name=name, scheme=scheme))
        return folder

    return write


def told_of(error: pytest.ExceptionInfo[RecipeError]) -> list[str]:
    return [problem.text for problem in error.value.problems]


def test_runs_stand_side_by_side_with_the_keys_that_differ(put) -> None:
    told = compare([put("a"), put("b", "int8x4", 1024, 0.05)])
    assert [run["name"] for run in told["runs"]] == ["a", "b"]
    assert told["notes"] == []
    assert told["metrics_compare"]
    assert told["recipe"] == [
        {"key": "name", "values": ["a", "b"]},
        {"key": "quantization.scheme", "values": ["full_int8", "int8x4"]},
    ]
    assert " ".join(compare_verdict(told)).startswith(
        "2 of 2 passed their gates. Smallest of them: b, 1.0 KiB. Loses least: a, a drop of top1 of +3.10 points (95 % "
        "interval +2.10 … +4.10). The interval of b meets it, so their difference may be chance."
    )


def test_other_samples_and_hosts_are_told_and_nothing_is_drawn(put, tmp_path) -> None:
    told = compare([put("a"), put("b", evaluation="b" * 64, host="another host")])
    assert not told["metrics_compare"]
    assert not told["latency_compares"]
    assert told["notes"][0].startswith(
        "metrics cannot be compared: the runs were evaluated on different samples (a: 719"
    )
    assert (
        "latency cannot be compared: it was measured on different hosts (a: one host; b: another host)" in told["notes"]
    )
    assert "Loses least" not in " ".join(compare_verdict(told))
    write_comparison(told, tmp_path / "c.html")
    assert "<svg" not in (tmp_path / "c.html").read_text()


def test_a_sweep_and_a_search_stand_for_their_results(put, tmp_path) -> None:
    rows = [{"report": f"{put(name).name}/report.json"} for name in ("a", "b")] + [{"report": None}]
    (tmp_path / "sweep.json").write_text(json.dumps({"sweep": 1, "rows": rows}))
    found = tmp_path / "net-search"
    found.mkdir()
    put("c").rename(found / "best")
    (found / "search.json").write_text('{"search": 1}')
    told = compare([tmp_path, found, tmp_path / "a" / "report.json"])
    assert [Path(run["file"]).relative_to(tmp_path).as_posix() for run in told["runs"]] == [
        "a/report.json",
        "b/report.json",
        "net-search/best/report.json",
    ]


def test_runs_of_one_recipe_are_named_by_their_folders(put) -> None:
    one, other = put("a"), put("b")
    for folder in (one, other):
        report = json.loads((folder / "report.json").read_text())
        (folder / "report.json").write_text(json.dumps({**report, "recipe": {**report["recipe"], "name": "same"}}))
    assert [run["name"] for run in compare([one, other])["runs"]] == ["a", "b"]


def test_a_recipe_that_is_not_there_is_told(put) -> None:
    one, other, third = put("a"), put("b", "int8x4"), put("c")
    (third / "recipe.resolved.yaml").unlink()
    rows = {row["key"]: row["values"] for row in compare([one, other, third])["recipe"]}
    assert rows["quantization.scheme"] == ["full_int8", "int8x4", "its recipe is not beside its report"]


def test_every_wrong_path_is_told(put, tmp_path) -> None:
    wrong = {
        "empty": None,
        "text.json": "no json",
        "other.json": '{"a": 1}',
        "later.json": '{"report": 2}',
        "short.json": '{"report": 1}',
    }
    for name, text in wrong.items():
        if text is None:
            (tmp_path / name).mkdir()
        else:
            (tmp_path / name).write_text(text)
    with pytest.raises(RecipeError) as error:
        compare([put("a"), *(tmp_path / name for name in wrong), tmp_path / "nothing"])
    texts = [
        "must hold report.json, sweep.json or search.json. Got a folder with none of them.",
        "must be a result folder or a report.json. There is no such file or folder.",
        "must be a report of tflite-pipeline. Got a file that cannot be read: no JSON.",
        "must be a report of tflite-pipeline. Got other JSON, without the key 'report'.",
        "must be a report of version 1. Got version 2; run its recipe again.",
        "must be a report of this version of tflite-pipeline. Got one that lacks 'audit'; run its recipe again.",
    ]
    assert told_of(error) == texts
    with pytest.raises(RecipeError) as error:
        compare([tmp_path / "a", tmp_path / "a"])
    assert told_of(error) == ["must be two results or more. Got 1."]


def test_the_page_leads_to_the_reports_from_where_it_lies(put, tmp_path) -> None:
    told = compare([put("a net"), put("b")])
    write_comparison(told, tmp_path / "pages" / "c.html")
    page = (tmp_path / "pages" / "c.html").read_text()
    assert re.findall(r'<th scope="row"><a href="([^"]+)"', page) == ["../a%20net/report.html", "../b/report.html"]
    write_comparison(told, tmp_path / "pages" / "c.html")


def test_a_foreign_file_is_not_replaced(put, tmp_path) -> None:
    told = compare([put("a"), put("b")])
    (tmp_path / "model.tflite").write_bytes(b"\xff\xfe")
    for name in ("model.tflite", "a"):
        with pytest.raises(RecipeError, match="must be a new file, or a page that tflite-pipeline made"):
            write_comparison(told, tmp_path / name)
    assert (tmp_path / "model.tflite").read_bytes() == b"\xff\xfe"


@pytest.mark.parametrize("width", ["60", "200"])
def test_the_terminal_shows_all_runs_within_its_width(put, capsys, monkeypatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    show(compare([put("a"), put("b", "int8x4", evaluation="b" * 64)]), Path("c.html"))
    text = capsys.readouterr().out
    assert "left out" in text if width == "60" else "left out" not in text
    assert all(len(line) <= int(width) for line in text.splitlines())
    assert "quantization.scheme  full_int8  int8x4" in text
    assert "metrics cannot be compared" in text
    assert "page       c.html" in text
