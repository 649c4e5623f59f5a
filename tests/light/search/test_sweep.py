from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tflite_pipeline.artifacts import file_digest
from tflite_pipeline.bench import Options
from tflite_pipeline.errors import RecipeError
from tflite_pipeline.search.rows import best_row
from tflite_pipeline.search.sweep import exit_code, sweep
from tflite_pipeline.search.variants import plan_variants

pytestmark = pytest.mark.slow

DATA = Path(__file__).parent.parent.parent / "data"
RECIPE = Path(__file__).parent.parent.parent.parent / "recipes" / "mobilenet.yaml"
MODEL = DATA / "float32.tflite"


class Watch:
    """Keeps what it is told; what began and did not end has failed."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.failed: list[str] = []
        self.names: list[str] = []
        self.rows: list[dict[str, Any]] = []

    def variant(self, number: int, name: str) -> None:
        assert number == len(self.names) + 1
        self.names.append(name)

    def judged(self, row: dict[str, Any], seconds: float) -> None:
        self.rows.append(row)

    def begin(self, stage: str) -> None:
        self.failed.append(stage)

    def progress(self, stage: str, done: int, total: int, what: str) -> None: ...

    def end(self, stage: str, seconds: float, cached: bool) -> None:
        self.failed.remove(stage)
        self.made += [] if cached else [stage]


def swept(
    folder: Path, *sets: str, schemes: str | None = "float32,float16,dynamic_int8"
) -> tuple[dict[str, Any], Watch]:
    recipe = folder / "small.yaml"
    content = {
        "recipe": 1,
        "name": "small",
        "model": {"source": "tflite", "path": str(MODEL)},
        "quantization": {"scheme": "float16"},
        "validation": {"gates": {"max_size": "6KB"}},
        "profile": {"warmup": 0, "runs": 2},
    }
    recipe.write_text(yaml.safe_dump(content))
    watch = Watch()
    variants = plan_variants(str(recipe), schemes, sets)
    return sweep(str(recipe), variants, Options(folder / "out"), watch), watch


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Watch]:
    folder = tmp_path_factory.mktemp("sweep")
    return folder, *swept(folder)


@pytest.fixture
def place(first: tuple[Path, dict[str, Any], Watch], tmp_path: Path) -> Path:
    """A folder for sweeps that find the stages of the first one."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".cache").symlink_to(first[0] / "out" / ".cache")
    return tmp_path


def test_rows_say_what_the_files_are(first: tuple[Path, dict[str, Any], Watch]) -> None:
    folder, table, watch = first
    place = folder / "out" / "small-sweep"
    assert table == json.loads((place / "sweep.json").read_text())
    assert watch.rows == table["rows"]
    assert [(row["variant"], row["status"]) for row in table["rows"]] == [
        ("float32", "failed"),
        ("float16", "passed"),
        ("dynamic_int8", "passed"),
    ]
    for row in table["rows"]:
        assert file_digest(place / row["file"]) == row["sha256"]
        assert (place / row["file"]).stat().st_size == row["bytes"]
        report = json.loads((place / row["report"]).read_text())
        assert report["recipe"]["sha256"] == row["recipe_sha256"]
        assert report["gates"] == row["gates"]
        assert report["latency"]["quantized_ms"] == row["latency_ms"]
        assert row["found"] == row["scheme"]
        assert row["engine"]["why"]
    assert table["rows"][0]["file"] == "float32/model.FAILED.tflite"
    assert table["best"] == min(table["rows"][1:], key=lambda row: row["bytes"])["variant"]
    assert exit_code(table) == 0


def test_what_variants_share_is_made_once(first: tuple[Path, dict[str, Any], Watch]) -> None:
    _, _, watch = first
    assert watch.made.count("export") == 1
    assert watch.made.count("profile reference") == 1
    assert watch.made.count("engine") == 3


def test_second_sweep_finds_everything_and_gives_the_same_table(first: tuple[Path, dict[str, Any], Watch]) -> None:
    folder, table, _ = first
    before = {path: path.read_bytes() for path in (folder / "out" / "small-sweep").rglob("*.tflite")}
    again, watch = swept(folder)
    assert again == table
    assert watch.made == []
    assert {path: path.read_bytes() for path in before} == before


def test_errors_are_rows_and_the_others_go_on(place: Path) -> None:
    paths = json.dumps([str(DATA / "custom_op.tflite"), str(MODEL)])
    table, watch = swept(place, f"model.path={paths}", "validation.gates={}", schemes="float32,float16")
    assert [row["status"] for row in table["rows"]] == ["error", "passed", "error", "passed"]
    for row in (table["rows"][0], table["rows"][2]):
        assert row["error"]["stage"] == "export"
        assert row["error"]["what"]
        assert row["file"] is None
        assert not (place / "out" / "small-sweep" / row["folder"]).exists()
    assert watch.failed == ["export"]
    assert exit_code(table) == 3
    assert table["best"] == table["rows"][3]["variant"]


@pytest.mark.parametrize(("schemes", "status"), [(None, "refused"), ("dynamic_int4_block128", "error")])
def test_scheme_that_no_engine_can_make_is_an_error_when_it_was_named(
    place: Path, schemes: str | None, status: str
) -> None:
    table, _ = swept(place, "validation.gates={}", schemes=schemes)
    by_name = {row["variant"]: row for row in table["rows"]}
    row = by_name["dynamic_int4_block128"]
    assert row["status"] == status
    assert row["error"]["stage"] == "engine"
    assert "multiple of 128" in row["error"]["what"]
    assert exit_code(table) == (3 if status == "error" else 0)


def test_results_of_earlier_sweeps_go_when_they_are_no_rows_any_more(place: Path) -> None:
    results = place / "out" / "small-sweep"
    swept(place)
    (results / "mine").mkdir()
    swept(place, schemes="float16")
    assert {path.name for path in results.iterdir()} == {"float16", "mine", "sweep.html", "sweep.json", "sweep.md"}


@pytest.mark.parametrize("named", ["..", "", ".", "../../out"])
def test_only_folders_of_the_sweep_go_when_its_old_table_names_others(place: Path, named: str) -> None:
    results = place / "out" / "small-sweep"
    results.mkdir()
    (results.parent / "report.json").write_text("{}")
    (results / "sweep.json").write_text(json.dumps({"rows": [{"folder": named}]}))
    table, _ = swept(place, schemes="float16")
    assert (results.parent / "report.json").is_file()
    assert [row["status"] for row in table["rows"]] == ["passed"]


def test_file_of_an_earlier_sweep_goes_when_the_variant_fails_now(place: Path) -> None:
    model = shutil.copy(MODEL, place / "model.tflite")
    results = place / "out" / "small-sweep"
    swept(place, f"model.path={model}", schemes="float16")
    assert (results / "float16").is_dir()
    shutil.copy(DATA / "custom_op.tflite", model)
    table, _ = swept(place, f"model.path={model}", schemes="float16")
    assert table["rows"][0]["status"] == "error"
    assert not (results / "float16").exists()


@pytest.mark.parametrize("made", ["small-sweep/notes.txt", "small-sweep/float16/notes.txt", "small-sweep"])
def test_foreign_folders_are_refused_before_anything_runs(place: Path, made: str) -> None:
    file = place / "out" / made
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    if file.parent.name == "float16":
        (file.parent.parent / "sweep.json").write_text("{}")
    with pytest.raises(RecipeError, match="--out"):
        swept(place)
    assert file.read_text() == "mine"


def test_exit_code_is_1_when_nothing_passed(place: Path) -> None:
    table, _ = swept(place, "validation.gates.max_size=1KB", schemes="float16")
    assert exit_code(table) == 1
    assert table["best"] is None


def test_planning_needs_no_numpy_and_help_not_even_a_recipe() -> None:
    code = f"""
import sys
from tflite_pipeline.search.variants import plan_variants
plan_variants({str(RECIPE)!r})
print([name for name in ("numpy", "rich", "tensorflow") if name in sys.modules])
"""
    planned = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert planned.stdout == "[]\n"
    command = [sys.executable, "-X", "importtime", "-m", "tflite_pipeline", "sweep", "--help"]
    helped = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "exit codes" in helped.stdout
    for name in ("numpy", "pydantic", "rich", "tensorflow"):
        assert f" {name}\n" not in helped.stderr


def test_best_is_the_first_of_the_smallest_that_passed() -> None:
    rows = [
        {"variant": "a", "status": "failed", "bytes": 1},
        {"variant": "b", "status": "passed", "bytes": 3},
        {"variant": "c", "status": "passed", "bytes": 2},
        {"variant": "d", "status": "passed", "bytes": 2},
    ]
    best = best_row(rows)
    assert best is not None
    assert best["variant"] == "c"
