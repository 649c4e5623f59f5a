"""A job and kinds of kernels in; what each kind computes on the job's samples out, from a process of its own.

Kernels may end the process on a file that they are not made for: that is found out, not suffered.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.inference import Job, Session
from tflite_pipeline.runtime.litert import Kernels

Array = npt.NDArray[Any]

FEWEST = 5
MOST_BYTES = 64 << 20
"""Of the outputs that are kept; fewer samples give them where they are large."""


@dataclass(frozen=True)
class Variant:
    """A kind of kernels and the number of threads; it is stopped after `seconds`, but not before some samples."""

    kernels: Kernels
    threads: int
    seconds: float


@dataclass(frozen=True)
class Trial:
    """What a variant computed on the first samples of a job; `error` says why it did not.

    `outputs` are in the file's order, float32, first axis the samples. `milliseconds` is the median for one sample,
    `delegated` how many ops XNNPACK took, of `ops`.
    """

    variant: Variant
    outputs: tuple[Array, ...] = ()
    milliseconds: float = 0.0
    delegated: int = 0
    ops: int = 0
    error: str = ""

    @property
    def count(self) -> int:
        """On how many samples."""
        return len(self.outputs[0]) if self.outputs else 0


def try_kernels(job: Job, variants: Sequence[Variant]) -> Iterator[Trial]:
    """Give a trial for each variant, in their order; where one ends the process, another does what is left."""
    left = list(variants)
    while left:
        for trial in _tried(job, left):
            left.pop(0)
            yield trial


def _tried(job: Job, variants: list[Variant]) -> Iterator[Trial]:
    """Give the trials of one process, the last one with an error where it ended early."""
    done = 0
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as child:
            if child.stdin is None or child.stdout is None:
                raise RuntimeError("the process was started with pipes")
            with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
                pickle.dump((job, variants), pipe)
            for trial in _read(child.stdout):
                done += 1
                yield trial
        if done < len(variants):
            log.seek(0)
            yield Trial(variants[done], error=_cause(child.returncode, log.read()))


def _read(pipe: IO[bytes]) -> Iterator[Trial]:
    while True:
        try:
            yield pickle.load(pipe)
        except (EOFError, pickle.UnpicklingError):  # what a process that ended has not written whole
            return


def _cause(code: int, log: str) -> str:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
    last = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("INFO")]
    return f"the process that ran them {how}: {last[-1]}" if last else f"the process that ran them {how}"


def run_variant(job: Job, variant: Variant) -> Trial:
    """Compute samples in their order until the time is over, in this process."""
    try:
        session = Session(job, variant.kernels, variant.threads)
        session.outputs_of(0)  # what is slow once only must not decide how many samples there is time for
        parts, times = _compute(job, session, variant.seconds)
    except StageError as error:
        return Trial(variant, error=error.what)
    outputs = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    return Trial(variant, outputs, float(np.median(times)) / job.rows / 1e6, *session.count_delegated())


def _compute(job: Job, session: Session, seconds: float) -> tuple[list[list[Array]], list[int]]:
    parts: list[list[Array]] = []
    times: list[int] = []
    end, size = time.perf_counter() + seconds, 0
    for start in range(0, job.count, job.rows):
        if start >= FEWEST and (time.perf_counter() > end or size > MOST_BYTES):
            break
        parts.append([rows.copy() for rows in session.outputs_of(start)])
        times.append(session.nanoseconds)
        size += sum(rows.nbytes for rows in parts[-1])
    return parts, times


def serve() -> None:
    """Run the variants that come in, and write each trial out when it is there."""
    job, variants = pickle.load(sys.stdin.buffer)
    for variant in variants:
        pickle.dump(run_variant(job, variant), sys.stdout.buffer)
        sys.stdout.buffer.flush()
