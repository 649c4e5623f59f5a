"""Jobs in child processes: results, errors, crashes and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tflite_pipeline.errors import RecipeError, StageError
from tflite_pipeline.runtime import litert, progress
from tflite_pipeline.runtime.worker import Workers

pytestmark = pytest.mark.slow


def test_result_comes_back_and_the_child_is_kept(tmp_path: Path) -> None:
    with Workers(tmp_path / "log.txt") as workers:
        first = workers.run("plain", os.getpid)
        assert first != os.getpid()
        assert workers.run("plain", os.getpid) == first


def test_own_error_comes_back_as_it_is(tmp_path: Path) -> None:
    with Workers(tmp_path / "log.txt") as workers, pytest.raises(StageError) as caught:
        workers.run("plain", litert.open_interpreter, tmp_path / "none.tflite")
    assert "none.tflite" in str(caught.value)
    assert not isinstance(caught.value, RecipeError)


def test_foreign_error_is_a_stage_error_with_its_traceback_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with Workers(log) as workers, pytest.raises(StageError, match="ValueError: invalid literal"):
        workers.run("plain", int, "x")
    assert "Traceback" in log.read_text()


def test_abort_names_the_signal_and_shows_the_last_log_lines(tmp_path: Path) -> None:
    with Workers(tmp_path / "log.txt") as workers:
        pid = workers.run("plain", os.getpid)
        with pytest.raises(StageError) as caught:
            # The shell stays, or the child could answer before the signal has done its work.
            workers.run("plain", os.system, f"echo LLVM ERROR: last words; kill -ABRT {pid}; sleep 2")
        assert "SIGABRT" in caught.value.what
        assert caught.value.log == "LLVM ERROR: last words"
        assert workers.run("plain", int, "7") == 7  # a new child takes over


def test_kill_from_outside_is_told_as_lack_of_memory(tmp_path: Path) -> None:
    with Workers(tmp_path / "log.txt") as workers:
        pid = workers.run("plain", os.getpid)
        with pytest.raises(StageError) as caught:
            workers.run("plain", os.kill, pid, signal.SIGKILL)
    assert "memory" in caught.value.remedy


def test_death_while_idle_is_told_by_the_next_job(tmp_path: Path) -> None:
    with Workers(tmp_path / "log.txt") as workers:
        os.kill(workers.run("plain", os.getpid), signal.SIGKILL)
        time.sleep(0.2)
        with pytest.raises(StageError, match="SIGKILL"):
            workers.run("plain", int, "7")
        assert workers.run("plain", int, "7") == 7


def test_leaving_ends_what_another_thread_waits_for(tmp_path: Path) -> None:
    for _ in range(5):
        with ThreadPoolExecutor(1) as spare, Workers(tmp_path / "log.txt") as workers:
            workers.run("plain", int, "7")
            waiting = spare.submit(workers.run, "plain", time.sleep, 60)
            time.sleep(0.05)
        assert waiting.exception() is not None


def test_full_disk_is_told_without_a_traceback(tmp_path: Path) -> None:
    with Workers(tmp_path / "log.txt") as workers, pytest.raises(StageError, match="No space left on device") as caught:
        workers.run("plain", Path("/dev/full").write_text, "x")
    assert "Free some disk" in caught.value.remedy
    assert "Traceback" not in (tmp_path / "log.txt").read_text()


def test_output_of_the_child_goes_to_the_log_only(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Workers(tmp_path / "log.txt") as workers:
        workers.run("plain", os.system, "echo out; echo err >&2")
    assert capfd.readouterr() == ("", "")
    assert sorted((tmp_path / "log.txt").read_text().split()) == ["err", "out"]


def test_progress_reaches_the_sink_with_the_last_step(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    with Workers(tmp_path / "log.txt") as workers:
        workers.run("plain", progress.advance, 3, 3, "counting", sink=lambda *step: seen.append(step))
    assert seen == [(3, 3, "counting")]


def test_temporary_files_of_killed_children_are_removed(tmp_path: Path) -> None:
    with Workers(tmp_path / "log.txt") as workers:
        left = Path(workers.run("plain", tempfile.mkdtemp))
        assert left.is_dir()
    assert not left.parent.exists()


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    program = """
        import os, sys, time
        from pathlib import Path
        from tflite_pipeline.runtime.worker import Workers
        if __name__ == "__main__":
            workers = Workers(Path(sys.argv[1]) / "log.txt")
            print(workers.run("plain", os.getpid), flush=True)
            workers.run("plain", time.sleep, 60)
    """
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(program))
    with subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.2)
        parent.kill()
    assert _ends(child)


def _ends(process: int) -> bool:
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
