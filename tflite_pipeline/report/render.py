"""A template's name and what it shows in; one self-contained HTML page out, which may load nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tflite_pipeline.report.advice import advice_on
from tflite_pipeline.report.training import kept_text
from tflite_pipeline.report.words import (
    FORMS,
    difference_text,
    drop_form,
    flat,
    gate_form,
    layer_name,
    metric_form,
    recovered_text,
)
from tflite_pipeline.runtime.layers import short_name

HERE = Path(__file__).parent
GENERATOR = '<meta name="generator" content="tflite-pipeline">'
"""In each page, so that no other file is taken for one and replaced."""


def render(template: str, report: dict[str, Any], **shown: Any) -> str:
    """Fill a template that extends `base.html`; it has `report`, `figure` for its numbers, and what else is given."""
    return str(_environment().get_template(template).render(report=report, figure=_figures(report), **shown))


def is_ours(path: Path) -> bool:
    """Tell whether a file is a page that this package made."""
    with path.open(errors="replace") as file:
        return GENERATOR in file.read(2000)


def found_at(report: Any, pointer: str) -> Any:
    """Give the value that a JSON pointer (RFC 6901) means. Raises KeyError or IndexError where there is none."""
    for word in pointer.split("/")[1:]:
        key = word.replace("~1", "/").replace("~0", "~")
        report = report[int(key)] if isinstance(report, list) else report[key]
    return report


@cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (HERE / "page.js").read_text().strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals.update(
        style=Markup((HERE / "style.css").read_text()),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )
    environment.globals.update(metric_form=metric_form, drop_form=drop_form, gate_form=gate_form)
    environment.filters.update(FORMS)
    environment.filters.update(
        kept=kept_text,
        recovered=recovered_text,
        short_name=short_name,
        layer_name=layer_name,
        flat=flat,
        advice_on=advice_on,
        difference=difference_text,
    )
    return environment


def _figures(report: dict[str, Any]) -> Any:
    """Give a function that writes a number of the report, with its place there, so that both can be held together."""

    def figure(form: str, *path: str | int) -> Markup:
        pointer = "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in path)
        value = found_at(report, pointer)
        if value is None:
            return Markup("{}").format(FORMS[form](value))
        return Markup('<data value="{}" data-key="{}" data-form="{}">{}</data>').format(
            json.dumps(value), pointer, form, FORMS[form](value)
        )

    return figure
