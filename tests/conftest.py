"""Fixtures for all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tflite_pipeline.runtime.worker import Workers

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real models and data; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("TFLITE_PIPELINE_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: set TFLITE_PIPELINE_DATA to the folder of the real models and data")
    return folder


@dataclass(frozen=True)
class Finished:
    """A command that ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


def run_command(*words: str | Path, data: Path | None = None, cwd: Path = ROOT) -> Finished:
    """Run `tflite-pipeline` with these words as a process of its own."""
    environment = dict(os.environ) | ({"TFLITE_PIPELINE_DATA": str(data)} if data else {})
    command = [sys.executable, "-m", "tflite_pipeline", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False)
    return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., Finished]:
    """Run the command line: `run_cli("check", path)`."""
    return run_command


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One result folder for all recipes, so that they share what they have in common."""
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Worker processes that find the modules of `tests/factories`."""
    log = tmp_path_factory.mktemp("workers") / "log.txt"
    with Workers(log, [ROOT / "tests" / "factories"]) as running:
        yield running
