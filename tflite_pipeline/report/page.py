"""The report of a run in; the page that shows it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tflite_pipeline.report import confusion
from tflite_pipeline.report.layers import shown_layers, worst_layers
from tflite_pipeline.report.render import render
from tflite_pipeline.report.run_charts import MOST_BINS, cost_chart, drop_chart, layer_chart, training_chart
from tflite_pipeline.report.verdict import urgent_first, verdict_text
from tflite_pipeline.report.words import count_text
from tflite_pipeline.schemes import SCHEMES

SECTIONS = (
    ("gates", "Gates"),
    ("accuracy", "Float against quantized"),
    ("confusion", "Confusion of classes"),
    ("contents", "What the file holds"),
    ("calibration", "Calibration"),
    ("layers", "Error by layer"),
    ("samples", "Samples that differ"),
    ("kernels", "Kernels"),
    ("targets", "Targets"),
    ("training", "Training"),
    ("provenance", "Where it comes from"),
)
"""In the order of the page; each has a template of its own."""
LIMITS = {
    "most_islands": 20,
    "most_findings": 5,
    "most_weights": 200,
    "most_pairs": confusion.MOST_PAIRS,
    "most_classes": confusion.MOST_CLASSES,
    "largest_square": confusion.LARGEST_SQUARE,
}
"""Rows of tables that may be long."""
_DRAWN = (
    "They are drawn as the model takes them, after preprocessing, but each spread over the whole range from dark to "
    "light, or low to high; what is much longer than wide lies on its side, as a spectrogram."
)

Report = dict[str, Any]


def write_page(path: Path, report: Report, recipe: str = "", pictures: Sequence[Markup] = ()) -> None:
    """Write the page of a run; `recipe` is its text, `pictures` are those of `report["disagreements"]`."""
    path.write_text(page(report, recipe, pictures))


def page(report: Report, recipe: str = "", pictures: Sequence[Markup] = ()) -> str:
    """Give the page as HTML."""
    rows = report["layers"]["rows"]
    worst = worst_layers(rows)
    charts = {
        "drops": drop_chart(report),
        "costs": cost_chart(report),
        "layers": layer_chart(rows, worst),
        "thinned": f", of some neighbours the worst of {-(-len(rows) // MOST_BINS)}" if len(rows) > MOST_BINS else "",
        "training": [training_chart(step, number) for number, step in enumerate(report["training"]["steps"])],
    }
    return render(
        "page.html",
        report,
        sections=SECTIONS,
        sentence=verdict_text(report),
        gates=urgent_first(report["gates"]),
        on_floats=SCHEMES[report["scheme"]["asked"]].activations.startswith("float"),
        judged=judged_output(report),
        gated=any(gate["name"].startswith("max_drop:") for gate in report["gates"]),
        charts=charts,
        worst=worst,
        places={row["index"]: number for number, row in enumerate(rows)},
        all_layers=shown_layers(rows),
        recipe=recipe,
        pictures=list(_pictured(report["disagreements"], pictures)),
        kernel_metrics=[f"#{name}" for name in report["metrics"]] if report["kernels"]["rows"] else [],
        told_samples=disagreements_told(report),
        changes=confusion.changes,
        pairs=confusion.pairs,
        recalls=confusion.recalls,
        **LIMITS,
    )


def disagreements_told(report: Report) -> str:
    """Tell on how many samples the two files name different classes, and which of them are shown."""
    output = judged_output(report)
    if not report["agreement"]:
        return "Not known: the recipe has no dataset, so there are no samples."
    if output is None:
        return _distances_told(report)
    row, shown = report["agreement"][output], len(report["disagreements"])
    count = round((1 - row["value"]) * row["samples"])
    if not count:
        return f"Both files name the same class for each of {count_text(row['samples'])} samples."
    which = f"The {shown} on which the float file is surest are" if shown < count else "They are"
    return (
        f"The two files name different classes for {count_text(count)} of {count_text(row['samples'])} samples. "
        f"{which} here; beside each class is its score. {_DRAWN}"
    )


def _distances_told(report: Report) -> str:
    if not report["disagreements"]:
        return "Both files give the same values for every sample."
    return (
        f"No metric takes an output for a choice between classes: these are the {len(report['disagreements'])} samples "
        f"on which the first output differs most, with its first values. {_DRAWN}"
    )


def judged_output(report: Report) -> str | None:
    """Name the first output that is a choice between classes; None where there is none."""
    return next((name for name, row in report["agreement"].items() if row["value"] is not None), None)


def _pictured(rows: Sequence[Report], pictures: Sequence[Markup]) -> Iterator[Report]:
    """Bring samples and their pictures together; a side is good or bad where the label is known."""
    for number, (row, picture) in enumerate(zip(rows, pictures, strict=False)):
        sides = {}
        for side in ("reference", "quantized"):
            name = row[side].get("class")
            kind = "" if row["label"] is None else "good" if name == row["label"] else "bad"
            sides[side] = {"name": name, "kind": kind, "values": row[side].get("values", [])}
        yield {"number": number, "row": row["row"], "label": row["label"], "picture": picture, **sides}
