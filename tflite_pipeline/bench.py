"""What runs of one recipe file share, be they of variants: the cache, the worker processes, the log file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tflite_pipeline.runtime.disk import disk_errors_told
from tflite_pipeline.runtime.worker import Workers
from tflite_pipeline.store import Store


@dataclass(frozen=True)
class Options:
    """What the command line adds to a recipe."""

    out: Path
    force: bool = False
    allow_code: bool = False


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
        with Workers(log, code_folders) as workers:
            background = ThreadPoolExecutor(1)
            try:
                yield Bench(options, store, workers, background, code_folders, log)
            finally:
                background.shutdown(wait=False, cancel_futures=True)  # its job ends with the workers
