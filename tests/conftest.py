"""Fixtures for all tests."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.runtime.worker import Workers
from tflite_pipeline.targets.profiles import check_targets

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


ALIKE = 0.2
"""Mean difference, in standard deviations of the outputs: what rounding makes is below 0.1, wrong numbers about 1."""


@pytest.fixture(scope="session")
def make_python(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make an environment with nothing but these packages and what they need; give its Python."""

    def make(*packages: str | Path) -> Path:
        folder = tmp_path_factory.mktemp("environment")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = folder / "bin" / "python"
        install = [python, "-m", "pip", "install", "--quiet", *packages]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return python

    return make


@pytest.fixture(scope="session")
def old_python(make_python: Callable[..., Path]) -> Path:
    """The Python of an environment with tflite-runtime 2.14; it has no wheel for other Pythons than 3.11."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("tflite-runtime 2.14 has no wheel for this Python")
    return make_python("tflite-runtime==2.14.0", "numpy<2")


def answers(python: Path | str, files: Sequence[Path], out: Path) -> dict[str, Any]:
    """Give what the runtime of a Python answers to noise, by file; the message of one that is refused."""
    command = [python, ROOT / "tests" / "e2e" / "run_file.py", out, *files]
    subprocess.run(command, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def _same(old: Any, new: Any) -> bool:
    """Tell whether an old runtime gives what today's gives."""
    if isinstance(old, str):
        return False
    before, after = np.concatenate(old), np.concatenate(new)
    return bool(np.sqrt(np.mean((before - after) ** 2)) <= ALIKE * after.std())


@pytest.fixture(scope="session")
def runs_in_old(old_python: Path) -> Callable[[Sequence[Path], Path], dict[Path, bool]]:
    """Tell of files whether the old runtime runs them as today's does; fails where the verdict says otherwise."""

    def compare(files: Sequence[Path], folder: Path) -> dict[Path, bool]:
        old = answers(old_python, files, folder / "old.json")
        new = answers(sys.executable, files, folder / "new.json")
        runs, verdicts = {}, {}
        for file in files:
            (check,) = check_targets(("tflite-2.14",), file, (), folder).checks
            verdicts[file] = check["passed"]
            today = new[str(file)]
            runs[file] = not isinstance(old[str(file)], str) if isinstance(today, str) else _same(old[str(file)], today)
        assert verdicts == runs
        return runs

    return compare


CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, driven by Playwright: `browser.new_page()`; close the page when done."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium: install Debian's package of that name")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def node_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `node_modules` with the packages that `tests/web/package.json` names."""
    if shutil.which("npm") is None:
        pytest.skip("no npm: install Debian's packages nodejs and npm")
    folder = tmp_path_factory.mktemp("node")
    shutil.copy(ROOT / "tests" / "web" / "package.json", folder)
    install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "node_modules"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Serve a folder by HTTP on this machine until the test ends: `serve(folder)` gives its address."""
    servers = []

    def start(folder: Path) -> str:
        handler = functools.partial(_Quiet, directory=str(folder))
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
