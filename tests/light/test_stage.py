"""How a stage is run: what its key covers, who hears of it, and what is started meanwhile."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline import course, debug, deep, op_errors, pipeline, quantizing, training
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.worker import Workers
from tflite_pipeline.search import evaluate
from tflite_pipeline.stage import SHARED_CODE, STAGES, Runner
from tflite_pipeline.store import Entry, Store

PACKAGE = "tflite_pipeline"
FACTORIES = Path(__file__).parents[1] / "factories"
ROOT = Path(pipeline.__file__).parent.parent


class Started(Workers):
    """Notes which children are started, and starts the plain one only."""

    def __init__(self, log: Path, folder: Path) -> None:
        super().__init__(log, [folder])
        self.kinds: list[str] = []

    def start(self, kind: Any) -> None:
        self.kinds.append(kind)
        super().start("plain")


class Heard:
    """Notes what an observer is told."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def begin(self, stage: str) -> None:
        self.events.append(("begin", stage))

    def progress(self, stage: str, done: int, total: int, what: str) -> None:
        self.events.append(("progress", stage, done, total, what))

    def end(self, stage: str, seconds: float, cached: bool) -> None:
        self.events.append(("end", stage, cached))


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that the worker imports by its bare name."""
    monkeypatch.syspath_prepend(FACTORIES)
    return importlib.import_module("sums")


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    with Started(tmp_path / "log.txt", FACTORIES) as workers:
        yield Runner(Store(tmp_path / "cache"), workers, Heard())


def test_keras_is_started_early_only_when_a_stage_before_it_is_made(runner: Runner, sums: Any) -> None:
    runner.keras = "keras3"
    runner.run("dataset", sums.Sum, sums.add, 1, 2)
    assert runner.workers.kinds == ["keras3", "plain"]
    runner.run("dataset", sums.Sum, sums.add, 1, 2)  # found
    runner.run("compare", sums.Sum, sums.add, 1, 2)
    assert runner.workers.kinds == ["keras3", "plain", "plain"]


def test_observer_hears_begin_progress_and_end(runner: Runner, sums: Any) -> None:
    for _ in range(2):
        assert runner.run("compare", sums.Sum, sums.add, 1, 2, label="sums").artifact == sums.Sum(3)
    made = [("begin", "sums"), ("progress", "sums", 1, 1, "adding"), ("end", "sums", False)]
    assert runner.observer.events == [*made, ("begin", "sums"), ("end", "sums", True)]
    assert (list(runner.seconds), runner.cached) == (["sums"], ["sums"])


def test_entries_count_by_their_digest_and_go_in_as_artifacts(runner: Runner, sums: Any) -> None:
    first, second = (runner.run("compare", sums.Sum, sums.add, 1, term) for term in (2, 3))
    total = runner.run("compare", sums.Sum, sums.add_all, (first, second))
    assert total.artifact == sums.Sum(7)
    elsewhere = tuple(Entry(entry.artifact, entry.digest, 9.0, False) for entry in (first, second))
    assert runner.run("compare", sums.Sum, sums.add_all, elsewhere).cached
    assert not runner.run("compare", sums.Sum, sums.add_all, (replace(first, digest="other"), second)).cached


def test_what_decides_a_result_beside_its_arguments_is_in_the_key(runner: Runner, sums: Any) -> None:
    assert not runner.run("compare", sums.Sum, sums.add, 1, 2, also="one").cached
    assert not runner.run("compare", sums.Sum, sums.add, 1, 2, also="two").cached
    assert runner.run("compare", sums.Sum, sums.add, 1, 2, also="one").cached


def test_error_names_the_stage_by_its_label(runner: Runner, sums: Any) -> None:
    with pytest.raises(StageError) as caught:
        runner.run("compare", sums.Sum, sums.fail, label="sums")
    assert caught.value.stage == "sums"
    assert runner.observer.events == [("begin", "sums")]


def file_of(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def imports(module: str) -> set[str]:
    """The modules of the project that a module imports, be it inside a function."""
    nodes = [node for node in ast.walk(ast.parse(file_of(module).read_text())) if isinstance(node, ast.ImportFrom)]
    names = {f"{node.module}{name}" for node in nodes for name in ("", *(f".{alias.name}" for alias in node.names))}
    return {name for name in names if name.startswith(f"{PACKAGE}.") and file_of(name).is_file()}


def all_imports(module: str) -> set[str]:
    """The module itself, and all that it imports, be it by way of another one."""
    found: set[str] = set()
    waiting = {module}
    while waiting:
        found |= waiting
        waiting = {name for module in waiting for name in imports(module)} - found
    return found


def stage_functions() -> Iterator[tuple[str, str]]:
    """Each stage that the pipeline and the look ahead run, and the module of its function."""
    for module in (pipeline, course, training, quantizing, op_errors, deep, debug, evaluate):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("runner.run"):
                stage, _, function = node.args[:3]
                yield ast.literal_eval(stage), getattr(module, ast.unparse(function)).__module__


def test_every_stage_is_run_by_the_pipeline() -> None:
    assert {stage for stage, _ in stage_functions()} == set(STAGES)


@pytest.mark.parametrize(("stage", "module"), sorted(set(stage_functions())))
def test_key_covers_all_code_that_a_stage_imports(stage: str, module: str) -> None:
    used = {name.split(".")[1] for name in all_imports(module)}
    # What an error says decides no result.
    assert used - {"errors"} <= {*STAGES[stage].code, *SHARED_CODE}
