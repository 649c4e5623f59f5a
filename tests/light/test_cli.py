"""The command line as a terminal and as a pipe see it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ESCAPE = "\x1b"
WATCHED = """
import time
from tflite_pipeline.terminal import Watcher
with Watcher("demo", verbose={verbose}) as watcher:
    watcher.begin("export")
    watcher.progress("export", 3, 10, "converting")
    time.sleep(0.15)
    watcher.echo("[a line] of the log")
    watcher.end("export", 1.5, False)
    watcher.begin("calibrate")
    watcher.end("calibrate", 0.5, True)
"""


def on_terminal(words: list[str], folder: Path, **variables: str) -> tuple[int, str]:
    """Run Python with these words on a terminal of its own; give the exit code and all that it shows."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color", **variables}
    child = subprocess.Popen(
        [sys.executable, *words], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # the other side was closed: Linux says so with EIO
        pass
    os.close(ours)
    return child.wait(), shown.decode().replace("\r\n", "\n")


def in_pipe(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=folder, check=False)


def test_colours_show_on_a_terminal_only(tmp_path: Path) -> None:
    words = ["-m", "tflite_pipeline", "list", "metrics"]
    assert ESCAPE in on_terminal(words, tmp_path)[1]
    assert "\x1b[36m" not in on_terminal(words, tmp_path, NO_COLOR="1")[1]
    assert ESCAPE not in in_pipe(words, tmp_path).stdout


def test_lines_are_no_wider_than_the_terminal(tmp_path: Path) -> None:
    shown = on_terminal(["-m", "tflite_pipeline", "list", "schemes"], tmp_path, COLUMNS="50", NO_COLOR="1")[1]
    plain = shown.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert max(map(len, plain.splitlines())) <= 50


def test_a_stage_is_shown_while_it_runs_on_a_terminal(tmp_path: Path) -> None:
    shown = on_terminal(["-c", WATCHED.format(verbose=False)], tmp_path)[1]
    assert "demo: export" in shown
    assert "converting" in shown
    assert "  cached: calibrate" in shown


def test_a_pipe_gets_one_line_a_stage(tmp_path: Path) -> None:
    told = in_pipe(["-c", WATCHED.format(verbose=True)], tmp_path).stderr
    assert told.splitlines() == [
        "  | [a line] of the log",
        "  export                   1.5 s",
        "  calibrate                0.5 s, cached",
    ]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["run", "none.yaml"], 2, "help: docs/troubleshooting.md#recipe"),
        pytest.param(["inspect", "cut.tflite"], 3, "help: docs/troubleshooting.md#file", id="inspect"),
        (["list", "shemes"], 2, "Did you mean 'schemes'?"),
        (["completion", "tcsh"], 2, "invalid choice"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_errors_have_one_style(tmp_path: Path, words: list[str], code: int, told: str) -> None:
    (tmp_path / "cut.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(8))
    done = in_pipe(["-m", "tflite_pipeline", *words], tmp_path)
    assert done.returncode == code
    assert told in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
