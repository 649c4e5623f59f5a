"""What a run has made goes in; a result folder, put in place whole, comes out."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tflite_pipeline import __version__
from tflite_pipeline.artifacts import Samples
from tflite_pipeline.recipe.load import LoadedRecipe
from tflite_pipeline.report.build import write_json
from tflite_pipeline.report.page import write_page
from tflite_pipeline.report.pictures import draw_samples
from tflite_pipeline.report.summary import write_summary
from tflite_pipeline.store import Store, installed

VERSIONS = ("tensorflow", "keras", "tf_keras", "ai-edge-litert", "ai-edge-quantizer", "numpy")


def publish(
    store: Store,
    loaded: LoadedRecipe,
    report: dict[str, Any],
    files: dict[str, Path],
    folder: Path,
    evaluation: Samples | None,
) -> None:
    """Fill a fresh folder with the report, the recipe and `files` by name, then put it in the place of `folder`.

    `evaluation` are the samples of which the page shows some.
    """
    fresh = store.fresh_folder()
    for name, path in files.items():
        shutil.copyfile(path, fresh / name)
    if report["calibration"]:
        write_json(fresh / "calibration.json", report["calibration"])
    (fresh / "recipe.resolved.yaml").write_text(loaded.resolved)
    write_json(fresh / "report.json", report)
    differing = [row["row"] for row in report["disagreements"]]
    pictures = draw_samples(differing, evaluation) if evaluation else []
    write_page(fresh / "report.html", report, loaded.resolved, pictures)
    write_summary(fresh / "report.md", report)
    folder.parent.mkdir(parents=True, exist_ok=True)
    store.replace(fresh, folder)


def versions() -> dict[str, str]:
    """Give the versions of Python, of this package and of all that decides what a file holds."""
    found = {name: installed(name) for name in VERSIONS}
    return {"tflite-pipeline": __version__, "python": sys.version.split()[0], **found}


def named(files: Sequence[Path]) -> dict[str, Path]:
    """Key files by their own names."""
    return {path.name: path for path in files}
