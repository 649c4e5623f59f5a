"""The contract and what a run found out in; a card that people read out: what the file is, how good, where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tflite_pipeline.handoff.preparing import tell_steps

FACTS = (
    *(
        "recipe",
        "reference",
        "scheme",
        "io",
        "metrics",
        "agreement",
        "parity",
        "gates",
        "targets",
        "samples",
        "training",
    ),
    *("recovery", "calibration", "audit", "kernels", "versions"),
)
"""What the card takes from `report.json`, by its keys."""
_TEMPLATE = "MODEL_CARD.md.j2"


def choose_facts(report: Mapping[str, Any]) -> dict[str, Any]:
    """Take from a report what the card tells."""
    facts = {key: report.get(key) for key in FACTS}
    calibration, audit = report["calibration"], report["audit"]
    return facts | {
        "recipe": {key: report["recipe"][key] for key in ("name", "sha256")},  # not where it lies
        "calibration": {key: calibration[key] for key in ("method", "seed") if key in calibration},
        "audit": {"float_ops": audit["float_ops"], "custom_ops": audit["custom_ops"]},
        "training": [{key: step.get(key) for key in ("method", "epochs")} for step in report["training"]["steps"]],
        "recovery": report["recovery"].get("used", []),
    }


def write_card(contract: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Write the card as Markdown; `facts` as `choose_facts` gives them."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(short=lambda value: f"{value:.4g}", cell=_cell, steps=tell_steps)
    return environment.get_template(_TEMPLATE).render(contract=contract, **facts)


def _cell(text: Any) -> str:
    """Write a text into a cell of a table."""
    return " ".join(str(text).split()).replace("|", r"\|")
