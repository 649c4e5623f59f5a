"""Pages of sweeps, searches, comparisons and the list of results, in a browser: what they show, ask for and do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.report.render import found_at
from tflite_pipeline.report.search_page import search_page
from tflite_pipeline.report.search_summary import search_summary
from tflite_pipeline.report.sweep_page import sweep_page
from tflite_pipeline.report.sweep_summary import sweep_summary
from tflite_pipeline.report.words import FORMS

DATA = Path(__file__).parents[1] / "data"
RECIPE = f"""
recipe: 1
name: tiny
model: {{source: tflite, path: {DATA / "conv_net.tflite"}}}
dataset:
  source: digits
  calibration: {{split: train, samples: 64}}
  evaluation: {{split: test, samples: 200}}
  preprocessing: [{{scale: {{factor: 0.125, offset: -1.0}}}}]
quantization: {{scheme: full_int8, engine: ai_edge}}
validation: {{metrics: [mse]}}
profile: {{warmup: 0, runs: 10}}
"""
SCHEMES = "float16,dynamic_int8,dynamic_int4,full_int8"
WRONG = 'quantization.allow_float=[[], ["NO_SUCH_OP"]]'
GATES = "validation.gates={max_drop: {mse: 1.0e-5}}"
MOST_BYTES = 5_000_000
KINDS = ("sweep", "search", "compare", "index", "large_sweep", "large_search")
TABLES = {
    "sweep": "#variants table",
    "search": "#candidates table",
    "compare": "#runs table.sortable",
    "index": "table",
}

pytestmark = pytest.mark.tf


@dataclass(frozen=True)
class Shown:
    """A page, the values that it shows, and the summary with the same numbers."""

    page: Path
    told: dict[str, Any]
    summary: str = ""


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, run_cli: Callable[..., Any]) -> Path:
    """A folder with a sweep some of whose variants fail, a search, and files of somebody else."""
    folder = tmp_path_factory.mktemp("tables")
    recipe, results = folder / "tiny.yaml", folder / "results"
    recipe.write_text(RECIPE)
    done = run_cli("sweep", recipe, "--schemes", SCHEMES, "--set", WRONG, "--set", GATES, "--out", results)
    assert done.code == 3, done.err
    done = run_cli("search", recipe, "--max-drop", "1e-5", "--out", results)
    assert done.code == 0, done.err
    (results / "broken").mkdir()
    (results / "broken" / "report.json").write_text("{")
    (results / "notes").mkdir()
    (results / "notes" / "mine.txt").write_text("not a result")
    done = run_cli(
        "run", recipe, "--set", "quantization.scheme=float16", "--set", "quantization.engine=auto", "--out", results
    )
    assert done.code == 0, done.err
    return results


@pytest.fixture(scope="module")
def shown(out: Path, run_cli: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shown]:
    folder = tmp_path_factory.mktemp("pages")
    both = {}
    for kind in ("sweep", "search"):
        there = out / f"tiny-{kind}"
        both[kind] = Shown(there / f"{kind}.html", _read(there / f"{kind}.json"), (there / f"{kind}.md").read_text())
    done = run_cli(
        "compare", out / "tiny", out / "tiny-search", out / "tiny-sweep", "--out", folder / "c.html", "--json"
    )
    assert done.code == 0, done.err
    sweep, search = _many_variants(both["sweep"].told), _many_candidates(both["search"].told)
    recipe = "key: value\n" * 200
    (folder / "sweep.html").write_text(sweep_page(sweep, {row["variant"]: recipe for row in sweep["rows"]}))
    (folder / "search.html").write_text(search_page(search, {row["candidate"]: recipe for row in search["rows"]}))
    return {
        **both,
        "compare": Shown(folder / "c.html", json.loads(done.out)),
        "index": Shown(out / "index.html", {}),
        "large_sweep": Shown(folder / "sweep.html", sweep, sweep_summary(sweep)),
        "large_search": Shown(folder / "search.html", search, search_summary(search)),
    }


def _many_variants(table: dict[str, Any]) -> dict[str, Any]:
    rows = [
        {
            **table["rows"][number % len(table["rows"])],
            "variant": f"variant {number}",
            "settings": {"seed": str(number)},
        }
        for number in range(200)
    ]
    return {**table, "rows": rows, "best": next(row["variant"] for row in rows if row["status"] == "passed")}


def _many_candidates(table: dict[str, Any]) -> dict[str, Any]:
    given = [row for row in table["rows"] if row["candidate"] != table["winner"]]
    winner = [row for row in table["rows"] if row["candidate"] == table["winner"]]
    rows = winner + [{**given[number % len(given)], "candidate": f"candidate {number}"} for number in range(299)]
    events = [
        {"candidate": row["candidate"], "status": row["status"], "best": table["winner"], "seconds": 2.0 * number}
        for number, row in enumerate(rows)
    ]
    return {**table, "rows": rows, "timeline": events, "layers": table["layers"] * 1000}


@pytest.mark.parametrize("kind", KINDS)
def test_all_charts_are_drawn_and_say_what_they_show(kind: str, shown, open_page) -> None:
    charts = {row["id"]: row for row in open_page(shown[kind].page).charts()}
    expected = {"search": {"by-size", "timeline"}, "index": set()}.get(
        kind.removeprefix("large_"), {"by-size", "by-latency"}
    )
    assert set(charts) == expected
    for row in charts.values():
        assert min(row["width"], row["height"]) > 50, row
        assert row["drawn"] > 5000, row
        assert row["marks"] > 5, row
        assert row["told"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_small(kind: str, shown) -> None:
    assert shown[kind].page.stat().st_size < MOST_BYTES


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", TABLES)
def test_nobody_is_kept_from_using_the_page(kind: str, scheme: str, shown, open_page, axe) -> None:
    opened = open_page(shown[kind].page, scheme=scheme)
    opened.unfold()
    assert opened.violations(axe) == []


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_overflows_on_a_phone(kind: str, shown, open_page) -> None:
    opened = open_page(shown[kind].page, width=390)
    assert opened.overflow() <= 0
    opened.unfold()
    assert opened.overflow() <= 0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "index"])
def test_the_numbers_of_the_page_are_those_of_the_table(kind: str, shown, open_page) -> None:
    numbers = open_page(shown[kind].page).numbers()
    assert len(numbers) > 20
    for key, form, value, text in numbers:
        assert json.loads(value) == found_at(shown[kind].told, key), key
        assert text == FORMS[form](found_at(shown[kind].told, key)), key


@pytest.mark.parametrize("kind", ["sweep", "search", "large_sweep"])
def test_the_summary_says_what_the_page_says(kind: str, shown, open_page) -> None:
    opened, lines = open_page(shown[kind].page), shown[kind].summary.splitlines()
    assert opened.texts(".verdict span")[0] in lines
    table = TABLES[kind.removeprefix("large_")]
    by_name = {cells[1].strip(" *"): line for line in lines if len(cells := line.split("|")) > 6}
    for row in opened.page.locator(f"{table} tbody tr").all():
        name = row.locator("th").inner_text().removesuffix(" ★")
        texts = row.locator("data").evaluate_all(
            """all => all.filter(one => /bytes|drop|interval|quantized/.test(one.dataset.key))
                         .map(one => one.textContent)"""
        )
        if len(texts) > 1:
            assert all(f"| {text} |" in by_name[name] for text in texts), name


@pytest.mark.parametrize("kind", TABLES)
def test_the_table_is_sorted_by_the_keyboard(kind: str, shown, open_page) -> None:
    opened, table = open_page(shown[kind].page), TABLES[kind]
    sizes = opened.column(table, "size")
    assert len(sizes) > 2
    assert opened.sort(table, "size") == "ascending"
    assert opened.column(table, "size") == sorted(sizes)
    assert opened.sort(table, "size") == "descending"
    assert opened.column(table, "size") == sorted(sizes, reverse=True)


@pytest.mark.parametrize("kind", TABLES)
def test_dark_and_light_are_switched(kind: str, shown, open_page) -> None:
    page = open_page(shown[kind].page).page
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Dark", exact=True).press("Space")
    assert page.evaluate(paper) == "rgb(20, 23, 27)"


@pytest.mark.parametrize("kind", ["sweep", "search"])
def test_a_point_leads_to_its_row_and_from_there_to_its_recipe(kind: str, shown, open_page) -> None:
    page = open_page(shown[kind].page).page
    point = page.locator("#by-size a").first
    name = point.get_attribute("aria-label").partition(", ")[2].partition(": ")[0]
    point.focus()
    page.keyboard.press("Enter")
    row = page.locator("tr:target")
    assert row.locator("th").inner_text().removesuffix(" ★") == name
    row.get_by_role("link", name=f"recipe of {name}").press("Enter")
    recipe = page.locator("div:target")
    assert recipe.is_visible()
    assert "recipe: 1\nname: tiny\n" in recipe.inner_text()
    assert page.locator("details.recipe[open]").count() == 1


def test_what_failed_is_told_with_the_reason(shown, open_page) -> None:
    opened = open_page(shown["sweep"].page)
    (row,) = [text for text in opened.texts("#failed tbody tr") if "NO_SUCH_OP" in text.split("\t")[2]]
    assert row.startswith('full_int8 allow_float=["NO_SUCH_OP"]\terror\tstage engine: ')


def test_a_page_that_was_moved_still_has_the_recipes(shown, open_page, tmp_path) -> None:
    moved = tmp_path / "else.html"
    moved.write_bytes(shown["sweep"].page.read_bytes())
    opened = open_page(moved)
    opened.unfold()
    assert sum("recipe: 1\n" in text for text in opened.texts("#recipes pre")) == len(shown["sweep"].told["rows"])


def test_a_path_without_a_report_is_told(out: Path, run_cli, tmp_path) -> None:
    done = run_cli("compare", out / "tiny", out / "broken", out / "notes", "--out", tmp_path / "c.html")
    assert done.code == 2
    assert "broken/report.json: must be a report of tflite-pipeline." in done.err
    assert "notes: must hold report.json, sweep.json or search.json." in done.err
    assert not (tmp_path / "c.html").exists()


def test_the_list_has_our_results_alone_with_the_newest_first(out: Path, shown, open_page) -> None:
    opened = open_page(shown["index"].page)
    rows = [text.split("\t") for text in opened.texts("tbody tr")]
    assert [row[0].split("\n")[-1] for row in rows] == ["tiny", "broken", "tiny-search/", "tiny-sweep/"]
    assert [row[1] for row in rows] == ["run", "run", "search", "sweep"]
    assert "unreadable" in rows[1][3]
    links = opened.page.locator("tbody a").evaluate_all("all => all.map(link => link.getAttribute('href'))")
    assert links == ["tiny/report.html", "tiny-search/search.html", "tiny-sweep/sweep.html"]
    assert all((out / link).is_file() for link in links)
