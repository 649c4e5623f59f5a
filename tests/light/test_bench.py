from __future__ import annotations

from pathlib import Path

import pytest

from tflite_pipeline.bench import Options, open_bench, passing_workers
from tflite_pipeline.errors import StageError


def test_each_line_of_the_log_is_echoed(tmp_path: Path) -> None:
    told: list[str] = []
    with open_bench(tmp_path / "r.yaml", "demo", Options(tmp_path, echo=told.append)) as bench:
        bench.log.write_text("one\ntwo\nthree without an end")
    assert told == ["one", "two", "three without an end"]


def test_the_log_of_passing_workers_stays_only_when_an_error_names_it() -> None:
    with passing_workers() as workers:
        quiet = workers._log
    assert not quiet.parent.exists()
    left: list[Path] = []
    with pytest.raises(StageError):
        _fail_and_name_the_log(left)
    (named,) = left
    assert named.read_text() == "why"
    named.unlink()
    named.parent.rmdir()


def _fail_and_name_the_log(left: list[Path]) -> None:
    with passing_workers() as workers:
        left.append(workers._log)
        workers._log.write_text("why")
        raise StageError("it broke", f"The traceback is in {workers._log}.")
