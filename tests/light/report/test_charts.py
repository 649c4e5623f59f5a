from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from tflite_pipeline.report.charts import INK, QUANTIZED, draw

pytestmark = pytest.mark.slow


def paint(figure: Any) -> None:
    axes = figure.add_subplot()
    axes.plot([1, 2, 3], [3, 1, 2], "o-", color=QUANTIZED)
    axes.set_title("Größe <1 %", color=INK)


def test_a_chart_is_of_the_size_that_was_asked_and_says_what_it_shows() -> None:
    root = ElementTree.fromstring(draw("one", "Falls & rises", (300, 120), paint))
    assert (root.tag, root.get("role"), root.get("aria-label")) == ("svg", "img", "Falls & rises")
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("300", "120", "0 0 300 120")


def test_colours_are_the_pages_and_text_stays_text() -> None:
    svg = draw("one", "", (300, 120), paint)
    assert "var(--quantized)" in svg
    assert "var(--ink)" in svg
    assert not re.search(r"#0000\w\w|font-family|<style", svg)
    assert "Größe &lt;1 %" in svg


def test_ids_of_two_charts_differ_and_all_that_is_referred_to_is_there() -> None:
    ids = []
    for name in ("one", "two"):
        svg = draw(name, "", (300, 120), paint)
        ids.append(set(re.findall(r' id="([^"]+)"', svg)))
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)) != set()
        assert {first or second for first, second in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)} <= ids[-1]
    assert not ids[0] & ids[1]


def test_a_chart_is_the_same_every_time_it_is_drawn() -> None:
    assert draw("one", "", (300, 120), paint) == draw("one", "", (300, 120), paint)


@pytest.mark.parametrize("links", [None, {"#b": "the recipe b"}])
def test_points_that_lead_somewhere_say_where(links: dict[str, str] | None) -> None:
    def linked(figure: Any) -> None:
        points = figure.add_subplot().scatter([1, 2], [1, 2])
        points.set_urls(["#b", None] if links else [None, None])

    root = ElementTree.fromstring(draw("one", "", (300, 120), linked, links))
    found = [(node.get("href"), node.get("aria-label")) for node in root.iter("a")]
    assert found == ([("#b", "the recipe b")] if links else [])
    assert root.get("role") == ("group" if links else "img")
