"""What to paint in; a chart as SVG inside the page, in the page's colours and with text that stays text, out."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

INK, SOFT, LINE, FLOAT, QUANTIZED, GOOD, BAD, WAIT, PAPER = (f"#0000{number:02x}" for number in range(1, 10))
"""Colours to paint with; the page says what they are, for light and for dark."""

TEXT = 12
"""Pixels of a letter's height, as everywhere else in small print on the page."""

_NAMES = dict(
    zip(
        (INK, SOFT, LINE, FLOAT, QUANTIZED, GOOD, BAD, WAIT, PAPER),
        ("ink", "soft", "line", "float", "quantized", "good", "bad", "wait", "paper"),
        strict=True,
    )
)
_COLOUR = re.compile("|".join(_NAMES))
_REFERENCE = re.compile(r"#([\w-]+)")
_LONG = re.compile(r"-?\d+\.\d{3,}")
_STYLE = {
    "svg.fonttype": "none",
    "font.size": TEXT,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": TEXT,
    "axes.titlelocation": "left",
    "axes.labelsize": TEXT,
    "axes.unicode_minus": True,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "grid.color": LINE,
    "grid.linewidth": 0.75,
    "legend.frameon": False,
    "legend.fontsize": TEXT,
    "legend.labelcolor": INK,
    "lines.linewidth": 2,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "path.simplify": True,
}


def draw(
    name: str, told: str, size: tuple[int, int], paint: Callable[[Any], None], links: Mapping[str, str] | None = None
) -> Markup:
    """Give an `<svg>` of `size` pixels, width first, that `paint` fills, given a matplotlib figure.

    `name` must be a chart's own on its page: the ids in it begin so. `told` says in words what is to be seen. `links`
    tells by address where each one leads that `paint` has set on a point.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # One unit of the SVG is a pixel where an inch has as many of them as points.
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=72)
        paint(figure)
        file = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(file, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _inline(file.getvalue(), name, told, size, links or {})


def _inline(data: bytes, name: str, told: str, size: tuple[int, int], links: Mapping[str, str]) -> Markup:
    """Make of a whole SVG file an element of a page."""
    root = ElementTree.fromstring(data)
    for child in [child for child in root if _bare(child.tag) in ("metadata", "defs")]:
        if not any("id" in below.attrib for below in child.iter()):
            root.remove(child)
    named = {node.get("id", "") for node in root.iter()}
    texts = (value for node in root.iter() for value in node.attrib.values())
    used = named & {match for text in texts for match in _REFERENCE.findall(text)}
    for node in root.iter():
        node.tag = _bare(node.tag)
        node.attrib = _attributes(node, name, used)
        node.text, node.tail = (text and text.strip() for text in (node.text, node.tail))
        if node.tag == "a":
            node.attrib["aria-label"] = links.get(node.attrib["href"], node.attrib["href"])
            del node.attrib["target"]  # matplotlib means another window
            ElementTree.SubElement(node, "title").text = node.attrib["aria-label"]
    root.attrib = {
        "class": "chart",
        "id": name,
        "role": "group" if links else "img",
        "aria-label": told,
        "width": str(size[0]),
        "height": str(size[1]),
        "viewBox": f"0 0 {size[0]} {size[1]}",
    }
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=True))


def _bare(tag: str) -> str:
    return tag.rpartition("}")[2]


def _attributes(node: ElementTree.Element, name: str, used: set[str]) -> dict[str, str]:
    """Keep what is needed: short numbers, colours by their names, ids that something refers to."""
    kept = {}
    for key, value in node.attrib.items():
        key = _bare(key)
        if key == "id" and value not in used:
            continue
        if key == "id":
            value = f"{name}-{value}"
        elif value.startswith("#") or "url(#" in value:
            value = _REFERENCE.sub(lambda match: f"#{name}-{match[1]}" if match[1] in used else match[0], value)
        if key == "transform" and value.startswith("rotate(-0 "):
            continue
        if key == "style":
            value = _style(value)
        if key in ("d", "x", "y", "transform"):
            value = _LONG.sub(lambda match: f"{float(match[0]):.2f}", " ".join(value.split()))
        kept[key] = value
    return kept


def _style(text: str) -> str:
    parts = [part.strip() for part in text.split(";")]
    kept = [part for part in parts if part and not part.startswith("font-family")]
    return _COLOUR.sub(lambda match: f"var(--{_NAMES[match[0]]})", "; ".join(kept))
