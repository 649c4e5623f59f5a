"""What an inspection and a comparison show: a line for each fact, tables for inputs, outputs and ops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from tflite_pipeline.columns import Column, print_lines, print_table, width_of
from tflite_pipeline.report.words import NONE, bytes_text
from tflite_pipeline.runtime.census import TFLITE_METADATA
from tflite_pipeline.runtime.layers import short_name

_TOLD = 6
"""Layers or tensors that a line names."""
Row = dict[str, Any]


def show(told: Row) -> None:
    """Print what a file holds; `told` is that of `inspecting.Look`."""
    console = Console(highlight=False, soft_wrap=True)
    width = width_of(console)
    file = told["file"]
    console.print(f"\n[bold]{escape(file['path'])}[/]: {told['scheme']}, {bytes_text(file['bytes'])}")
    print_lines(console, "file", f"sha256 {file['sha256']}", width)
    print_lines(console, "content", f"fingerprint {told['fingerprint']}", width)
    rows = [*told["inputs"], *told["outputs"]]
    titles = ["input"] * len(told["inputs"]) + ["output"] * len(told["outputs"])
    left_out = print_table(list(_border_columns(titles, rows)), [("", "")] * len(rows), width)
    left_out += print_table(list(_op_columns(told["ops"])), [("", "")] * len(told["ops"]), width)
    for title, text in _facts(told):
        print_lines(console, title, text, width)
    if left_out:
        print_lines(console, "left out", f"{', '.join(left_out)}: the terminal is too narrow", width)


def show_changes(told: Row) -> None:
    """Print the verdict of a comparison and what it rests on; `told` is that of `changes.compare`."""
    console = Console(highlight=False, soft_wrap=True)
    width = width_of(console)
    style = "red" if told["app"] else "green"
    before, after = (escape(told[side]["file"]["path"]) for side in ("before", "after"))
    console.print(f"\n[bold]{before}[/] → [bold]{after}[/]")
    console.print(f"[{style}]{escape(told['verdict'])}[/]")
    for title, key in (("changed", "changes"), ("note", "notes")):
        for text in told[key]:
            print_lines(console, title, text, width)


def _border_columns(titles: Sequence[str], rows: Sequence[Row]) -> Iterator[Column]:
    yield Column("", tuple(f"  {title}" for title in titles), left=True)
    yield Column("name", tuple(short_name(row["name"]) for row in rows), left=True)
    yield Column("dtype", tuple(row["dtype"] for row in rows), left=True)
    yield Column("shape", tuple("x".join(map(str, row["shape"])) or "scalar" for row in rows), left=True)
    if any("scale" in row for row in rows):
        yield Column("scale", tuple(f"{row['scale']:.9g}" if "scale" in row else NONE for row in rows), 3)
        yield Column("zero point", tuple(str(row.get("zero_point", NONE)) for row in rows), 2)
    yield Column("bytes", tuple(NONE if row["bytes"] is None else str(row["bytes"]) for row in rows), 1)


def _op_columns(rows: Sequence[Row]) -> Iterator[Column]:
    yield Column("", tuple("  op" for _ in rows), left=True)
    yield Column("name", tuple(row["op"] for row in rows), left=True)
    yield Column("version", tuple(str(row["version"]) for row in rows))
    yield Column("count", tuple(str(row["count"]) for row in rows))


def _facts(told: Row) -> Iterator[tuple[str, str]]:
    yield "weights", _counts(told["weights"])
    yield "ops", ", ".join(f"{count} work on {dtype}" for dtype, count in told["activations"].items()) or "none"
    axes = [f"{row['count']} along axis {row['axis']} of {row['op']}" for row in told["channel_axes"]]
    if told["granularity"]:
        yield "scales", _counts(told["granularity"]) + (f"; a channel is {', '.join(axes)}" if axes else "")
    yield from _in_float(told)
    for title, key in (("Flex ops", "flex_ops"), ("custom ops", "custom_ops")):
        if told[key]:
            yield title, f"{', '.join(told[key])}: apps have to bring them"
    yield from _shapes(told)
    yield from _floor(told["floor"])
    yield from _additions(told)


def _in_float(told: Row) -> Iterator[tuple[str, str]]:
    floats = told["float_ops"]
    borders = f"{told['quantize_ops']} QUANTIZE, {told['dequantize_ops']} DEQUANTIZE"
    if not floats:
        yield "in float", f"no op; {borders}"
        return
    total = sum(row["count"] for row in told["ops"])
    yield "in float", f"{len(floats)} of {total} ops: {_counts(Counter(row['op'] for row in floats))}; {borders}"
    if len(floats) < total and set(told["activations"]) - {"float32"}:
        places = [f"{row['layer'] or short_name(row['tensor'])} ({row['op']})" for row in floats]
        yield "islands", _first(places)


def _shapes(told: Row) -> Iterator[tuple[str, str]]:
    if told["open_tensors"]:
        shapes = [f"{short_name(row['tensor'])} {row['shape']}" for row in told["open_tensors"]]
        yield "open", f"{len(shapes)} tensors have dimensions that may vary: {_first(shapes)}"
    for chain in told["shape_chains"]:
        feeds = f", for {_counts(Counter(chain['feeds']))}" if chain["feeds"] else ""
        yield "shapes", f"computed on the device by {' '.join(chain['ops'])}{feeds}"


def _floor(floor: Row) -> Iterator[tuple[str, str]]:
    why = f", as {_first(floor['because'])}" if floor["because"] else ""
    yield "runs from", f"TensorFlow Lite {floor['release']}{why}"
    if floor["unknown"]:
        yield "unknown", f"{', '.join(floor['unknown'])}: no table tells which release brought it"
    if floor["claim_holds"] is False:
        yield "claim", f"its metadata ask for {floor['claimed']} only, which is too old"
    yield "app needs", "; ".join(f"{kind} {text}" for kind, text in floor["packages"].items())


def _additions(told: Row) -> Iterator[tuple[str, str]]:
    sizes = [row["text"] or "(empty)" if "text" in row else bytes_text(row["bytes"]) for row in told["metadata"]]
    entries = [f"{row['name']} {size}" for row, size in zip(told["metadata"], sizes, strict=True)]
    yield "metadata", ", ".join(entries) or "none"
    if not any(row["name"] == TFLITE_METADATA for row in told["metadata"]):
        yield "", "no TFLite Metadata: apps are not told labels and normalization"
    if told["associated_files"]:
        yield "files", f"appended: {', '.join(told['associated_files'])}"
    for row in told["signatures"]:
        inputs, outputs = (", ".join(info["name"] for info in row[side]) for side in ("inputs", "outputs"))
        yield "signature", f"{row['key']}({inputs}) → {outputs}"
    if len(told["subgraphs"]) > 1:
        graphs = (f"{row['name'] or number} {row['ops']} ops" for number, row in enumerate(told["subgraphs"]))
        yield "graphs", ", ".join(graphs)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_TOLD]) + (f" and {len(names) - _TOLD} more" if len(names) > _TOLD else "")
