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
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from tflite_pipeline.errors import PipelineError, StageError, Topic
from tflite_pipeline.runtime import progress
from tflite_pipeline.runtime.disk import disk_errors_told

T = TypeVar("T")
Kind = Literal["plain", "keras2", "keras3"]

LOG_LINES = 12
CHATTER = re.compile(r"[IW]\d{4} \d\d|WARNING: All log messages before absl|To enable the following|E0000 .*cuda")
"""What TensorFlow prints whenever it starts, perhaps in another child that writes to the same log."""
PROGRESS_SECONDS = 0.1
LESS_MEMORY = "Use fewer samples or a smaller batch."
_CAUSES: dict[int, tuple[Topic, str]] = {
    -signal.SIGKILL: ("memory", f"The system may have run out of memory. {LESS_MEMORY}"),
    -signal.SIGBUS: (
        "disk",
        "The disk may be full, or a file was cut short while it was read: free some disk, and run again.",
    ),
}
"""By exit code: the code of the error, and the remedy."""


class Workers:
    """At most one child of each kind, started when it is first wanted and kept for later jobs.

    Threads may share it: children of different kinds work at the same time, one child does one job after the other.
    """

    def __init__(self, log: Path, code_folders: Sequence[Path] = ()) -> None:
        """Send the children's output to `log`, and put `code_folders` on their `sys.path`."""
        self._log = log
        self._code_folders = [str(folder) for folder in code_folders]
        # Children are killed, and cannot tidy up what TensorFlow writes beside its work.
        self._scratch = tempfile.TemporaryDirectory(prefix="tflite-pipeline-", ignore_cleanup_errors=True)
        self._children: dict[Kind, tuple[multiprocessing.process.BaseProcess, Connection]] = {}
        self._starting = threading.Lock()
        self._working: dict[Kind, threading.Lock] = {kind: threading.Lock() for kind in get_args(Kind)}

    def start(self, kind: Kind) -> None:
        """Start the child, which imports its libraries while the caller goes on."""
        with self._starting:
            if kind not in self._children:
                self._children[kind] = self._spawn(kind)

    def _spawn(self, kind: Kind) -> tuple[multiprocessing.process.BaseProcess, Connection]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        child = context.Process(
            target=_serve,
            args=(theirs, kind, self._log, self._code_folders, self._scratch.name),
            name=f"tflite-pipeline-{kind}",
            daemon=True,
        )
        child.start()
        theirs.close()
        return child, ours

    def run(self, kind: Kind, function: Callable[..., T], *args: Any, sink: progress.Sink | None = None) -> T:
        """Call `function(*args)` in the child and give its result; progress goes to `sink`.

        Raises the PipelineError that the function raised; StageError where it raised anything else or the child died.
        """
        with self._working[kind]:
            return self._run(kind, function, args, sink)

    def _run(self, kind: Kind, function: Callable[..., T], args: tuple[Any, ...], sink: progress.Sink | None) -> T:
        self.start(kind)
        child, connection = self._children[kind]
        log_start = self._log.stat().st_size if self._log.exists() else 0
        try:
            connection.send((function, args))
        except (BrokenPipeError, ConnectionResetError):  # it died while it had nothing to do
            raise self._died(kind, child, 0) from None
        while True:
            wait([connection, child.sentinel])
            try:
                message, value = connection.recv()
            except (EOFError, ConnectionResetError):
                raise self._died(kind, child, log_start) from None
            if message == "progress":
                if sink:
                    sink(*value)
            elif message == "failed":
                raise value
            else:
                result: T = value
                return result

    def close(self) -> None:
        """End all children at once; what they were doing is lost."""
        for kind, (child, _) in list(self._children.items()):
            child.kill()
            child.join()
            self._forget(kind)
        self._scratch.cleanup()

    def _forget(self, kind: Kind) -> None:
        """Close the connection to a child that is dead; a thread that waits for it may do so at the same time."""
        with self._starting:
            _, connection = self._children.pop(kind, (None, None))
        if connection is not None:
            connection.close()

    def __enter__(self) -> Workers:
        """Give the workers; leaving the block ends them."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all children."""
        self.close()

    def _died(self, kind: Kind, child: multiprocessing.process.BaseProcess, log_start: int) -> StageError:
        child.join()
        self._forget(kind)
        code = child.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        usual = f"The library that crashed printed the last lines; the whole output is in {self._log}."
        topic, remedy = _CAUSES.get(code, ("crash", usual))
        return StageError(f"the process that did the work {how}.", remedy, log=_tail(self._log, log_start), topic=topic)


def _tail(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        text = file.read().decode(errors="replace")
    # The Python stack that faulthandler adds says where in our code it was; what the library said comes before it.
    text = text.split("Fatal Python error")[0]
    lines = [line for line in text.splitlines() if line.strip() and not CHATTER.match(line)]
    return "\n".join(lines[-LOG_LINES:])


def _serve(connection: Connection, kind: Kind, log: Path, code_folders: list[str], scratch: str) -> None:
    """Answer jobs until the parent closes the pipe or dies."""
    _settle(kind, log, code_folders, scratch)
    progress.send_to(_throttled(connection))
    while True:
        try:
            function, args = connection.recv()
        except EOFError:
            return
        connection.send(_answer(function, args, log))


def _settle(kind: Kind, log: Path, code_folders: list[str], scratch: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    faulthandler.enable()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.path[:0] = code_folders
    tempfile.tempdir = scratch
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


def _answer(function: Callable[..., Any], args: tuple[Any, ...], log: Path) -> tuple[str, Any]:
    try:
        with disk_errors_told():
            value = ("done", function(*args))
        pickle.dumps(value)
        return value
    except PipelineError as error:
        return ("failed", error)
    except SystemExit as error:
        return ("failed", StageError(f"the code called sys.exit({error.code!r}).", "Let it return, or raise an error."))
    except MemoryError as error:
        return ("failed", StageError(f"the memory is used up. {error}".rstrip(), LESS_MEMORY, topic="memory"))
    except Exception as error:
        traceback.print_exc()
        return ("failed", StageError(_first_line(error), f"The traceback is in {log}.", topic="bug"))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
