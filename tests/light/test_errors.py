"""Every error says where to read more, and there it is."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import get_args

import pytest

from tflite_pipeline.errors import (
    HELP,
    STAGE_CODES,
    LimitError,
    MissingExtraError,
    PipelineError,
    Problem,
    RecipeError,
    StageError,
    Topic,
    gate_code,
    help_line,
    section,
)
from tflite_pipeline.report.advice import ADVICE
from tflite_pipeline.stage import STAGES
from tflite_pipeline.validate.spec import Gates

DOCS = Path(__file__).parents[2] / "docs"
HEADINGS = re.findall(r"^## (\S+)$", (DOCS.parent / HELP).read_text(), flags=re.MULTILINE)
GATES = {"scheme", "io", "parity", "compression", "target"} | (set(Gates.model_fields) - {"confidence"})


def test_there_is_a_section_for_each_code_and_no_other() -> None:
    codes = {"stage", *STAGE_CODES.values(), *get_args(Topic), *map(gate_code, {*GATES, *ADVICE})} - {""}
    assert sorted(HEADINGS) == sorted(codes)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_each_stage_has_a_code(stage: str) -> None:
    assert STAGE_CODES[stage] in HEADINGS


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StageError("it broke", stage="dataset evaluation"), "dataset"),
        (StageError("it broke", stage="draft"), "quantization"),
        (StageError("it broke", stage="something new"), "stage"),
        (StageError("the file is damaged"), "file"),
        (StageError("no space", stage="export", topic="disk"), "disk"),
        (RecipeError([Problem("r.yaml:1", "name", "must be there.")]), "recipe"),
        (MissingExtraError("vela", "vela"), "extra"),
        (LimitError(), "gates"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_names_its_section(error: PipelineError, code: str) -> None:
    assert help_line(error) == f"help: {section(code)}"
    assert help_line(pickle.loads(pickle.dumps(error))) == f"help: {section(code)}"


def test_links_within_the_page_lead_somewhere() -> None:
    page = (DOCS / "troubleshooting.md").read_text()
    assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= set(HEADINGS)
    assert all((DOCS / name).is_file() for name in re.findall(r"\]\(([\w-]+\.md)\)", page))
