"""`list` names all that a recipe can name, with one line each."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from tflite_pipeline.columns import UNBOUNDED
from tflite_pipeline.convert.spec import EngineName, Method, Pass
from tflite_pipeline.dataset.load import SOURCES
from tflite_pipeline.dataset.preprocessing import STEPS
from tflite_pipeline.errors import RecipeError
from tflite_pipeline.listing import choose, listing
from tflite_pipeline.listing_table import show
from tflite_pipeline.model.load import OPENERS
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.targets.profiles import TARGETS
from tflite_pipeline.train.spec import Step
from tflite_pipeline.validate.metrics import METRICS

TABLES = listing()


def test_each_kind_lists_all_that_is_known() -> None:
    methods = {get_args(section.model_fields["method"].annotation)[0] for section in get_args(Step)}
    known: dict[str, Any] = {
        "schemes": SCHEMES,
        "calibration methods": get_args(Method),
        "recovery passes": get_args(Pass),
        "engines": get_args(EngineName),
        "model sources": {*OPENERS, "saved_model", "tflite"},
        "dataset sources": SOURCES,
        "preprocessing steps": STEPS,
        "training methods": methods,
        "metrics": METRICS,
        "targets": TARGETS,
    }
    assert {kind: set(rows) for kind, rows in TABLES.items()} == {kind: set(names) for kind, names in known.items()}


@pytest.mark.parametrize("kind", sorted(TABLES))
def test_each_name_has_one_line(kind: str) -> None:
    for name, text in TABLES[kind].items():
        assert len(text) > 10, name
        assert "\n" not in text, name


@pytest.mark.parametrize("width", [64, 80, 140])
def test_no_line_is_wider_than_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    show(TABLES)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert "\x1b" not in "".join(lines)
    words = " ".join(" ".join(lines).split())
    assert all(" ".join(text.split()) in words for rows in TABLES.values() for text in rows.values())


def test_each_name_has_a_line_of_its_own_in_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    show(TABLES)
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("  ")]) == sum(map(len, TABLES.values()))
    assert max(map(len, lines)) < UNBOUNDED


def test_one_kind_can_be_chosen() -> None:
    assert choose(TABLES, "recovery-passes") == {"recovery passes": TABLES["recovery passes"]}
    with pytest.raises(RecipeError, match="Did you mean 'schemes'"):
        choose(TABLES, "scheme")
