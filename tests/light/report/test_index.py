from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.report.index import write_index

SWEEP: dict[str, Any] = {
    "recipe": {"name": "demo"},
    "best": "full_int8",
    "rows": [
        {"variant": "full_int8", "status": "passed", "bytes": 2048, "metrics": {}},
        {"variant": "int8x4", "status": "waiting"},
    ],
}
SEARCH: dict[str, Any] = {
    "recipe": {"name": "demo"},
    "winner": None,
    "nearest": "int8x4",
    "passed": None,
    "finished": True,
    "full": {},
    "rows": [{"candidate": "int8x4", "bytes": 1024}],
}
DEBUG = {"recipe": {"name": "demo"}, "scheme": "full_int8", "model": {"bytes": 512}, "rows": [1, 2]}


def put(out: Path, name: str, mark: str, content: Any, when: int, page: str = "") -> None:
    (out / name).mkdir(parents=True, exist_ok=True)
    (out / name / mark).write_text(content if isinstance(content, str) else json.dumps(content))
    os.utime(out / name / mark, (when, when))
    if page:
        (out / name / page).write_text("")


def rows(out: Path) -> list[str]:
    assert write_index(out)
    body = (out / "index.html").read_text().split("<tbody>")[1].split("</tbody>")[0]
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in body.split("</tr>")[:-1]]


@pytest.fixture
def out(tmp_path: Path, make_report) -> Path:
    put(tmp_path, "demo", "report.json", make_report(), 86_400, "report.html")
    put(tmp_path, "demo-sweep", "sweep.json", SWEEP, 4 * 86_400, "sweep.html")
    put(tmp_path, "demo-search", "search.json", SEARCH, 3 * 86_400)
    put(tmp_path, "demo-debug", "debug.json", DEBUG, 2 * 86_400)
    return tmp_path


def test_all_kinds_are_listed_with_the_newest_first(out: Path) -> None:
    assert rows(out) == [
        "demo demo-sweep/ sweep 1970-01-05 00:00 passed 1 of 2 passed, 1 not run full_int8 2.0 KiB - - - -",
        "demo demo-search/ search 1970-01-04 00:00 failed 1 tried int8x4 1.0 KiB - - - -",
        "demo demo-debug/ debug 1970-01-03 00:00 2 ops measured full_int8 512 B - - - -",
        "demo run 1970-01-02 00:00 passed full_int8 4.1 KiB top1 90.00% +3.10 points +1.90 … +4.30",
    ]


def test_links_are_relative_and_lead_to_pages_that_are_there(out: Path) -> None:
    put(out, "my net", "report.json", "{", 0, "report.html")
    rows(out)
    links = re.findall(r'<th scope="row"><a href="([^"]+)"', (out / "index.html").read_text())
    assert links == ["demo-sweep/sweep.html", "demo-debug/debug.json", "demo/report.html", "my%20net/report.html"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"rows": 1}', "\x00"])
@pytest.mark.parametrize("mark", ["report.json", "sweep.json", "search.json", "debug.json"])
def test_what_cannot_be_read_is_listed_as_such(tmp_path: Path, mark: str, content: str) -> None:
    put(tmp_path, "odd", mark, content, 0)
    (row,) = rows(tmp_path)
    assert f"unreadable {mark} cannot be read: it is damaged, or of another version" in row


def test_what_is_of_somebody_else_is_not_listed(out: Path) -> None:
    before = rows(out)
    (out / "notes.txt").write_text("")
    (out / "data").mkdir()
    put(out, ".hidden", "report.json", {}, 0)
    assert rows(out) == before


def test_a_foreign_index_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>mine</h1>")
    assert not write_index(tmp_path)
    assert (tmp_path / "index.html").read_text() == "<h1>mine</h1>"


def test_what_was_read_before_is_read_anew_when_it_changed(out: Path) -> None:
    (out / ".cache").mkdir()
    first = rows(out)
    assert (out / ".cache" / "index.json").is_file()
    assert rows(out) == first
    put(out, "demo", "report.json", "{", 86_400)
    assert "unreadable" in rows(out)[-1]
    (out / ".cache" / "index.json").write_text("damaged")
    assert rows(out)[:-1] == first[:-1]


def test_names_are_no_markup(tmp_path: Path) -> None:
    put(tmp_path, "a", "debug.json", {**DEBUG, "recipe": {"name": "<script>"}}, 0)
    assert "&lt;script&gt;" in rows(tmp_path)[0]
