"""Run a `.tflite` once in this process and print by how many bytes its peak memory grew."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from tflite_pipeline.runtime import litert

_STATUS = Path("/proc/self/status")


def peak_memory() -> int:
    """Give the most memory that this process has held so far, in bytes."""
    if _STATUS.is_file():
        row = next(row for row in _STATUS.read_text().splitlines() if row.startswith("VmHWM:"))
        return int(row.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def growth(path: Path, threads: int) -> int:
    """Load and run the file once; give the growth of the peak in bytes."""
    litert.preload()
    # What the imports needed for a moment would hide a small file: on Linux the mark can be set back.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before = peak_memory()
    interpreter = litert.open_interpreter(path, threads)
    litert.feed_noise(interpreter)
    interpreter.invoke()
    return peak_memory() - before


if __name__ == "__main__":
    sys.stdout.write(f"{growth(Path(sys.argv[1]), int(sys.argv[2]))}\n")
