"""A `.tflite` in; its latency and memory on this host out."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import Profile
from tflite_pipeline.errors import StageError
from tflite_pipeline.profile.spec import Latency
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.progress import tracked

FEWEST_RUNS = 5
ENOUGH_SECONDS = 0.5


def measure(path: Path, latency: Latency, out: Path) -> Profile:
    """Time single inferences on seeded noise, and take the peak memory of a process that runs the file once.

    Latency in milliseconds; memory in bytes, what loading and running adds to an interpreter's process.
    Raises StageError where the file does not run. Writes nothing.
    """
    del out
    interpreter = litert.open_interpreter(path, latency.threads)
    litert.feed_noise(interpreter)
    time_runs(interpreter, path, latency.warmup)
    times = time_runs(interpreter, path, latency.runs)
    milliseconds = np.array(times) / 1e6
    percentiles = {f"p{share}": float(np.percentile(milliseconds, share)) for share in (50, 90, 99)}
    return Profile(
        latency_ms={**percentiles, "mean": float(milliseconds.mean()), "min": float(milliseconds.min())},
        threads=latency.threads,
        warmup=latency.warmup,
        runs=len(times),
        peak_memory=_peak_memory(path, latency.threads),
        host=_host(),
    )


def time_runs(interpreter: Any, path: Path, runs: int) -> list[int]:
    """Time up to `runs` inferences in nanoseconds; a slow file needs fewer, its times vary less.

    Raises StageError where the file does not run.
    """
    times: list[int] = []
    for _ in tracked(range(runs), runs, "measuring"):
        times.append(_timed(interpreter, path))
        if len(times) >= FEWEST_RUNS and sum(times) > ENOUGH_SECONDS * 1e9:
            break
    return times


def _timed(interpreter: Any, path: Path) -> int:
    start = time.perf_counter_ns()
    try:
        interpreter.invoke()
    except RuntimeError as error:
        raise StageError(f"LiteRT failed to run '{path}': {' '.join(str(error).split())}") from error
    return time.perf_counter_ns() - start


def _peak_memory(path: Path, threads: int) -> int:
    """Measure in a fresh process: the peak of one that has done other work says nothing about the file."""
    command = [sys.executable, "-m", "tflite_pipeline.profile.memory", str(path), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        log = "\n".join(done.stderr.splitlines()[-12:])
        raise StageError(f"the process that measures the memory of '{path}' ended with {done.returncode}.", log=log)
    return int(done.stdout.split()[-1])


def _host() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), "") or platform.processor() or platform.machine()
