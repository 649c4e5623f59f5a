"""What runs of one recipe file share, be they of variants: the cache, the worker processes, the log file."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.disk import disk_errors_told
from tflite_pipeline.runtime.worker import Workers
from tflite_pipeline.store import Store

FOLLOW_SECONDS = 0.2


@dataclass(frozen=True)
class Options:
    """What the command line adds to a recipe."""

    out: Path
    force: bool = False
    allow_code: bool = False
    echo: Callable[[str], None] | None = None
    """Is told each line of the log while it grows."""


@dataclass(frozen=True)
class Bench:
    """The cache, the worker processes, a spare thread and the log file, for one run or many."""

    options: Options
    store: Store
    workers: Workers
    background: ThreadPoolExecutor
    code_folders: tuple[Path, ...]
    log: Path


@contextlib.contextmanager
def open_bench(recipe: Path, name: str, options: Options) -> Iterator[Bench]:
    """Set up for runs of a recipe file or of variants of it; `name` is that of the log file."""
    log = options.out / "logs" / f"{name}.log"
    code_folders = (recipe.resolve().parent, Path.cwd())
    with disk_errors_told():
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        store = Store(options.out / ".cache", options.force)
        with _followed(log, options.echo), Workers(log, code_folders) as workers:
            background = ThreadPoolExecutor(1)
            try:
                yield Bench(options, store, workers, background, code_folders, log)
            finally:
                background.shutdown(wait=False, cancel_futures=True)  # its job ends with the workers


@contextlib.contextmanager
def _followed(log: Path, echo: Callable[[str], None] | None) -> Iterator[None]:
    """Tell `echo` the lines that the file gets inside the block; the last ones at its end."""
    if echo is None:
        yield
        return
    done = threading.Event()
    follower = threading.Thread(target=_follow, args=(log, echo, done), daemon=True)
    follower.start()
    try:
        yield
    finally:
        done.set()
        follower.join()


def _follow(log: Path, echo: Callable[[str], None], done: threading.Event) -> None:
    with log.open(errors="replace") as file:
        rest, last = "", False
        while not last:
            last = done.wait(FOLLOW_SECONDS)
            *lines, rest = (rest + file.read()).split("\n")
            for line in [*lines, *([rest] if last and rest else [])]:
                echo(line)


@contextlib.contextmanager
def passing_workers(code_folders: tuple[Path, ...] = ()) -> Iterator[Workers]:
    """Give worker processes whose log is kept only where an error sends the reader to it."""
    folder = Path(tempfile.mkdtemp(prefix="tflite-pipeline-"))
    log, told = folder / "log.txt", ""
    try:
        with Workers(log, code_folders) as workers:
            yield workers
    except StageError as error:
        told = str(error)
        raise
    finally:
        if str(log) not in told:
            log.unlink(missing_ok=True)
            folder.rmdir()
