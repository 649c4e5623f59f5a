"""Child processes that run the stages: a job goes in, its result, its progress or its end comes out.

A crash of a converter or an interpreter ends the child, not the run; TensorFlow's chatter goes to the log;
Keras 2 and Keras 3 live in children of their own.
"""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, TypeVar

from tflite_pipeline.errors import PipelineError, StageError
from tflite_pipeline.runtime import progress

T = TypeVar("T")
Kind = Literal["plain", "keras2", "keras3"]

LOG_LINES = 12
PROGRESS_SECONDS = 0.1


class Workers:
    """At most one child of each kind, started when it is first wanted and kept for later jobs."""

    def __init__(self, log: Path, code_folders: Sequence[Path] = (), sink: progress.Sink | None = None) -> None:
        """Send the children's output to `log`, put `code_folders` on their `sys.path`, and progress to `sink`."""
        self._log = log
        self._code_folders = [str(folder) for folder in code_folders]
        self._sink = sink
        self._children: dict[Kind, tuple[multiprocessing.process.BaseProcess, Connection]] = {}

    def start(self, kind: Kind) -> None:
        """Start the child, which imports its libraries while the caller goes on."""
        if kind in self._children:
            return
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        child = context.Process(
            target=_serve,
            args=(theirs, kind, self._log, self._code_folders),
            name=f"tflite-pipeline-{kind}",
            daemon=True,
        )
        child.start()
        theirs.close()
        self._children[kind] = child, ours

    def run(self, kind: Kind, function: Callable[..., T], *args: Any) -> T:
        """Call `function(*args)` in the child and give its result.

        Raises the PipelineError that the function raised; StageError where it raised anything else or the child died.
        """
        self.start(kind)
        child, connection = self._children[kind]
        log_start = self._log.stat().st_size if self._log.exists() else 0
        connection.send((function, args))
        while True:
            wait([connection, child.sentinel])
            try:
                message, value = connection.recv()
            except (EOFError, ConnectionResetError):
                raise self._died(kind, log_start) from None
            if message == "progress":
                if self._sink:
                    self._sink(*value)
            elif message == "failed":
                raise value
            else:
                result: T = value
                return result

    def close(self) -> None:
        """End all children at once; what they were doing is lost."""
        for child, connection in self._children.values():
            connection.close()
            child.kill()
            child.join()
        self._children.clear()

    def __enter__(self) -> Workers:
        """Give the workers; leaving the block ends them."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all children."""
        self.close()

    def _died(self, kind: Kind, log_start: int) -> StageError:
        child, connection = self._children.pop(kind)
        connection.close()
        child.join()
        code = child.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        remedy = (
            "The system may have run out of memory: use fewer samples or a smaller batch."
            if code == -signal.SIGKILL
            else "The library that crashed printed the lines above; the whole output is in the log."
        )
        return StageError(f"the process that did the work {how}.", remedy, log=_tail(self._log, log_start))


def _tail(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        text = file.read().decode(errors="replace")
    # The Python stack that faulthandler adds says where in our code it was; what the library said comes before it.
    text = text.split("Fatal Python error")[0]
    lines = text.splitlines()
    return "\n".join([line for line in lines if line.strip()][-LOG_LINES:])


def _serve(connection: Connection, kind: Kind, log: Path, code_folders: list[str]) -> None:
    """Answer jobs until the parent closes the pipe or dies."""
    _settle(kind, log, code_folders)
    progress.send_to(_throttled(connection))
    while True:
        try:
            function, args = connection.recv()
        except EOFError:
            return
        connection.send(_answer(function, args))


def _settle(kind: Kind, log: Path, code_folders: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    faulthandler.enable()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.path[:0] = code_folders
    if kind != "plain":
        os.environ["TF_USE_LEGACY_KERAS"] = "1" if kind == "keras2" else "0"
        os.environ["KERAS_BACKEND"] = "tensorflow"
        from tflite_pipeline.runtime.tensorflow import tensorflow

        tensorflow()
        gc.collect()
        gc.freeze()  # TensorFlow's million objects stay: the collector need not walk them again and again


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _throttled(connection: Connection) -> progress.Sink:
    last = 0.0

    def send(done: int, total: int, what: str) -> None:
        nonlocal last
        if done == total or time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            connection.send(("progress", (done, total, what)))

    return send


def _answer(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        value = ("done", function(*args))
        pickle.dumps(value)
        return value
    except PipelineError as error:
        return ("failed", error)
    except Exception as error:
        traceback.print_exc()
        return ("failed", StageError(_first_line(error), "The traceback is in the log."))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
