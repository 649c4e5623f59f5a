"""Pages of runs, in a browser: what they show, ask for and do, and that their numbers are those of the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.report.page import write_page
from tflite_pipeline.report.render import found_at
from tflite_pipeline.report.words import FORMS, drop_form, metric_form

ROOT = Path(__file__).parents[2]
KINDS = ("passed", "failed", "without_dataset", "trained", "large")
MOST_BYTES = {"large": 5_000_000}
USUAL_BYTES = 3_000_000

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def pages(build: Path, run_cli: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The result folders of three runs, and pages of reports made up from the first."""
    recipe, folders = ROOT / "recipes" / "mobilenet.yaml", tmp_path_factory.mktemp("pages")
    small = folders / "small.yaml"
    small.write_text(
        f"recipe: 1\nname: small\nmodel: {{source: tflite, path: {ROOT / 'tests' / 'data' / 'conv_net.tflite'}}}\n"
        "quantization: {scheme: dynamic_int8}\n"
    )
    tight = ("--set", "name=tight", "--set", "validation.gates.max_size=10KiB")
    for code, words in ((0, (recipe,)), (1, (recipe, *tight)), (0, (small,))):
        done = run_cli("run", *words, "--out", build)
        assert done.code == code, done.err
    runs = {"passed": build / "mobilenet", "failed": build / "tight", "without_dataset": build / "small"}
    return {**runs, **{name: _write(folders / name, make, runs["passed"]) for name, make in MADE_UP.items()}}


def _write(folder: Path, make: Callable[[dict[str, Any]], dict[str, Any]], source: Path) -> Path:
    report = make(json.loads((source / "report.json").read_text()))
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(report))
    write_page(folder / "report.html", report)
    return folder


def _trained(report: dict[str, Any]) -> dict[str, Any]:
    history = [{"val_accuracy": 0.9, "val_loss": 0.5}]
    history += [{"loss": 0.5 / n, "accuracy": 1 - 0.1 / n, "val_accuracy": 1 - 0.2 / n} for n in range(2, 9)]
    report["training"]["steps"] = [{"method": "qat", "epochs": 7, "best_epoch": 6, "history": history}]
    return report


def _large(report: dict[str, Any]) -> dict[str, Any]:
    """Ten thousand ops, and two hundred classes each of which is taken for many others."""
    random, rows = np.random.default_rng(0), report["layers"]["rows"]
    report["layers"]["rows"] = [{**rows[number % len(rows)], "index": number} for number in range(10_000)]
    report["audit"]["float_ops"] = [{"op": "ADD", "layer": "", "tensor": f"t/{number}"} for number in range(10_000)]
    counts = random.integers(0, 3, (2, 200, 200))
    rows = [[[t, p, int(side[t, p])] for t, p in np.argwhere(side).tolist()] for side in counts]
    recall = [[float(side[n, n] / side[n].sum()) for n in range(200)] for side in counts]
    sides = ("reference", "quantized")
    report["confusion"]["predictions"] = {
        "classes": [f"class {number}" for number in range(200)],
        **dict(zip(sides, rows, strict=True)),
        "recall": dict(zip(sides, recall, strict=True)),
    }
    return report


MADE_UP: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"trained": _trained, "large": _large}


def test_the_report_has_the_error_of_every_op_and_the_samples_that_differ(pages) -> None:
    report = json.loads((pages["passed"] / "report.json").read_text())
    rows = report["layers"]["rows"]
    assert (report["layers"]["samples"], report["layers"]["note"]) == (32, "")
    assert [row["file_index"] for row in rows] == sorted(row["file_index"] for row in rows)
    assert len(rows) == sum(report["audit"]["ops"].values())
    assert all(row["sqnr_db"] > 15 and row["cause"]["text"] and row["remedy"] for row in rows)
    agreement = report["agreement"]["predictions"]
    differing = round((1 - agreement["value"]) * agreement["samples"])
    assert len(report["disagreements"]) == min(differing, 12)
    assert all(row["reference"]["class"] != row["quantized"]["class"] for row in report["disagreements"])
    bare = json.loads((pages["without_dataset"] / "report.json").read_text())
    assert (bare["layers"]["rows"], bare["disagreements"]) == ([], [])
    assert bare["layers"]["note"].startswith("Not measured: the recipe has no dataset")


@pytest.mark.parametrize("kind", KINDS)
def test_all_charts_are_drawn_and_say_what_they_show(kind: str, pages, open_page) -> None:
    opened = open_page(pages[kind] / "report.html")
    charts = opened.charts()
    expected = {"costs"} if kind == "without_dataset" else {"costs", "drops", "layers"}
    assert {row["id"] for row in charts} >= expected | ({"training-0"} if kind == "trained" else set())
    for row in charts:
        assert row["asked"]
        assert min(row["width"], row["height"]) > 50, row
        assert row["drawn"] > 5000, row
        assert row["marks"] > 5, row
        assert row["told"]


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_shown_and_the_page_is_small(kind: str, pages, open_page) -> None:
    opened = open_page(pages[kind] / "report.html")
    widths = opened.page.locator("img").evaluate_all("all => all.map(image => image.complete && image.naturalWidth)")
    assert all(widths)
    assert bool(widths) is (kind in ("passed", "failed"))
    assert (pages[kind] / "report.html").stat().st_size < MOST_BYTES.get(kind, USUAL_BYTES)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_kept_from_using_the_page(kind: str, scheme: str, pages, open_page, axe) -> None:
    opened = open_page(pages[kind] / "report.html", scheme=scheme)
    opened.unfold()
    assert opened.violations(axe) == []


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_overflows_on_a_phone(kind: str, pages, open_page) -> None:
    opened = open_page(pages[kind] / "report.html", width=390)
    assert opened.overflow() <= 0
    opened.unfold()
    assert opened.overflow() <= 0


def test_what_scrolls_sideways_is_reached_by_the_keyboard(pages, open_page) -> None:
    opened = open_page(pages["passed"] / "report.html", width=390)
    opened.unfold()
    opened.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    boxes = opened.page.locator(".scroll")
    states = boxes.evaluate_all("all => all.map(box => [box.scrollWidth > box.clientWidth, box.tabIndex === 0])")
    assert [True, True] in states
    assert all(scrolls == reached for scrolls, reached in states)


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_of_the_page_are_those_of_the_report(kind: str, pages, open_page) -> None:
    report = json.loads((pages[kind] / "report.json").read_text())
    opened = open_page(pages[kind] / "report.html")
    shown = opened.page.locator("data[data-key]").evaluate_all(
        "all => all.map(one => [one.dataset.key, one.dataset.form, one.value, one.textContent])"
    )
    assert len(shown) > (20 if kind == "without_dataset" else 100)
    for key, form, value, text in shown:
        assert json.loads(value) == found_at(report, key), key
        assert text == FORMS[form](found_at(report, key)), key


@pytest.mark.parametrize("kind", ["passed", "failed"])
def test_the_numbers_of_the_summary_are_those_of_the_page(kind: str, pages, open_page) -> None:
    opened = open_page(pages[kind] / "report.html")
    shown = dict(
        opened.page.locator("data[data-key]").evaluate_all("all => all.map(one => [one.dataset.key, one.textContent])")
    )
    lines = (pages[kind] / "report.md").read_text().splitlines()
    told = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split("|") for line in lines)
        if len(cells) > 2
    }
    sides = ("reference", "quantized", "drop", "interval", "samples")
    assert told["top1"] == [shown[f"/metrics/top1/{side}"] for side in sides]
    assert told["size"] == [shown["/reference/bytes"], shown["/model/bytes"]]
    assert told["latency, median"] == [shown["/latency/reference_ms"], shown["/latency/quantized_ms"]]
    assert told["memory"] == [shown["/memory/reference_bytes"], shown["/memory/quantized_bytes"]]
    assert opened.texts(".verdict span")[0] in lines
    gates = opened.page.locator("#gates tbody tr")
    assert [told[name][0].split()[1] for name in opened.texts("#gates tbody th")] == opened.texts("#gates .mark")
    assert gates.count() == len(json.loads((pages[kind] / "report.json").read_text())["gates"])


def test_the_forms_of_a_metric_are_known() -> None:
    assert {metric_form(name) for name in ("top1", "mae")} | {drop_form(name) for name in ("top1", "mae")} <= set(FORMS)


def test_a_table_is_sorted_by_the_keyboard(pages, open_page) -> None:
    opened = open_page(pages["passed"] / "report.html")
    head = opened.page.locator("#layers table.sortable thead th", has_text="SQNR").first
    column = head.evaluate("head => head.cellIndex")
    table = opened.page.locator("#layers table.sortable").first

    def values() -> list[float]:
        cells = table.locator(f"tbody tr > :nth-child({column + 1}) data")
        return cells.evaluate_all("all => all.map(cell => Number(cell.value))")

    before = values()
    head.get_by_role("button").focus()
    opened.page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert values() == sorted(before)
    opened.page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert values() == sorted(before, reverse=True)
    assert len(before) > 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_system_and_the_switch(scheme: str, pages, open_page) -> None:
    page = open_page(pages["passed"] / "report.html", scheme=scheme).page
    switch = page.get_by_role("button", name="Dark", exact=True)

    def look() -> tuple[str, str]:
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return paper, page.evaluate("getComputedStyle(document.querySelector('svg.chart text')).fill")

    looks = {"light": ("rgb(255, 255, 255)", "rgb(84, 93, 104)"), "dark": ("rgb(20, 23, 27)", "rgb(168, 177, 189)")}
    other = "light" if scheme == "dark" else "dark"
    assert (look(), switch.get_attribute("aria-pressed")) == (looks[scheme], str(scheme == "dark").lower())
    switch.press("Space")
    assert (look(), switch.get_attribute("aria-pressed")) == (looks[other], str(other == "dark").lower())


def test_the_contents_lead_to_every_section_and_the_first_stop_skips_them(pages, open_page) -> None:
    page = open_page(pages["passed"] / "report.html").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    targets = page.locator("nav a").evaluate_all("all => all.map(link => link.hash.slice(1))")
    assert targets == page.locator("main section").evaluate_all("all => all.map(section => section.id)")
