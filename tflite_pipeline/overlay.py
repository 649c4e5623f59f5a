"""What was measured of each op in; node data for Model Explorer, which colours the ops of the file by it, out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tflite_pipeline.runtime import litert

_DEFAULT = "main"
_COLOURS = ((20, "#d73027"), (30, "#fc8d59"), (40, "#fee08b"), (1000, "#91cf60"))
"""Up to how many decibels an op has which colour."""


def overlay(path: Path, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Give `{graph: {name, results: {op: {value}}, thresholds}}`; `rows` are those of `debug.json`.

    Model Explorer names the graph as the file does, and an op by its index in the file. The value is the SQNR in dB of
    the outputs where the op alone is quantized, or that of what the op puts out where no effect was measured at all;
    an op that changes nothing has none.
    """
    effects = any(row["effect"] for row in rows)
    part, what = ("effect", "outputs, this op alone quantized") if effects else ("errors", "output of each op")
    results = {
        str(row["errors"]["file_index"]): {"value": round(row[part]["sqnr_db"], 2)}
        for row in rows
        if row["errors"] and row[part] and row[part]["sqnr_db"] is not None
    }
    name = litert.read_model(path).Subgraphs(0).Name()
    graph = name.decode() if name else _DEFAULT
    thresholds = [{"value": most, "bgColor": colour} for most, colour in _COLOURS]
    return {graph: {"name": f"SQNR in dB ({what})", "results": results, "thresholds": thresholds}}
