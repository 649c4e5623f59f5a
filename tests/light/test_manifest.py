"""The data that the project carries is what its manifest says."""

from __future__ import annotations

from pathlib import Path

import yaml

from tflite_pipeline.artifacts import file_digest

DATA = Path(__file__).parent.parent.parent / "data"
MANIFEST = yaml.safe_load((DATA / "MANIFEST.yaml").read_text())


def test_every_file_is_in_the_manifest_with_its_digest() -> None:
    files = {path.name: file_digest(path) for path in DATA.iterdir() if path.name != "MANIFEST.yaml"}
    assert files == {name: row["sha256"] for name, row in MANIFEST.items()}


def test_every_row_says_where_it_comes_from() -> None:
    for row in MANIFEST.values():
        assert {"what", "origin", "licence", "remake"} <= set(row)


def test_models_are_small() -> None:
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 4_000_000
