"""Nothing in but the environment; what of it is as it must be, and what is not, out. Imports no TensorFlow."""

from __future__ import annotations

import importlib.metadata as metadata
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tflite_pipeline import __version__
from tflite_pipeline.errors import MissingExtraError, Problem, RecipeError, did_you_mean

NAME = "tflite-pipeline"
LEAST_MEMORY, LEAST_DISK = 1_500_000_000, 1_000_000_000
"""Bytes: what a conversion of a MobileNet takes, and what TensorFlow, models and samples need beside it."""
COUNTING_SECONDS = 0.4
EXTRA_SUMMARIES = {
    "vela": "targets ethos-u55, ethos-u65, ethos-u85: Arm's compiler says which ops the NPU takes",
    "dev": "the tools that make check and make test run",
}
RIVALS = {
    "tflite-runtime": "an old runtime; the one that is used here is ai-edge-litert",
    "tensorflow-metal": "replaces kernels of TensorFlow, and its results differ",
    "tensorflow-cpu": "brings the same module as tensorflow; the one installed last wins",
    "tensorflow-gpu": "brings the same module as tensorflow; the one installed last wins",
    "tf-nightly": "brings the same module as tensorflow; the one installed last wins",
    "keras-nightly": "brings the same module as keras; the one installed last wins",
    "tf-keras-nightly": "brings the same module as tf-keras; the one installed last wins",
    "ai-edge-litert-nightly": "brings the same module as ai-edge-litert; the one installed last wins",
}
"""Distributions that get in the way of those of the project."""
VARIABLES = {
    "TF_USE_LEGACY_KERAS": "is overridden here, by the Keras that each model needs; other programs obey it",
    "KERAS_BACKEND": "is overridden here: conversion needs the backend tensorflow; other programs obey it",
}


def examine(out: Path) -> dict[str, Any]:
    """Look at everything; `out` is the folder of the results.

    Gives rows ready for JSON. `problems` are what must be mended, each `{what, remedy}`; `notes` are worth knowing;
    `sound` says that there are no problems.
    """
    found = {
        "doctor": 1,
        "version": __version__,
        "python": _python(),
        "packages": _packages(),
        "extras": _extras(),
        "rivals": [{"name": name, "why": why} for name, why in RIVALS.items() if _version(name)],
        "variables": [
            {"name": name, "value": os.environ[name], "what": what}
            for name, what in VARIABLES.items()
            if name in os.environ
        ],
        "machine": _machine(),
        "cache": _cache(out / ".cache"),
        "temporary": _disk(Path(tempfile.gettempdir())),
    }
    problems = [{"what": what, "remedy": remedy} for what, remedy in _problems(found)]
    return {"sound": not problems, "problems": problems, "notes": list(_notes(found)), **found}


def missing_extra(found: dict[str, Any], names: Sequence[str]) -> MissingExtraError | None:
    """Give the error for the first extra of these that lacks a package; raises RecipeError for an unknown one."""
    known = {row["name"]: row for row in found["extras"]}
    for name in names:
        if name not in known:
            text = f"must be one of {', '.join(known)}. Got '{name}'.{did_you_mean(name, known)}"
            raise RecipeError([Problem("doctor", "EXTRA", text)])
        if known[name]["missing"]:
            return MissingExtraError(", ".join(known[name]["missing"]), name)
    return None


def _python() -> dict[str, Any]:
    wanted = metadata.metadata(NAME)["Requires-Python"]
    here = platform.python_version()
    return {"version": here, "wanted": wanted, "fits": SpecifierSet(wanted).contains(here, prereleases=True)}


def _packages() -> list[dict[str, Any]]:
    requirements = [Requirement(text) for text in _requires(NAME)]
    # TensorFlow brings Keras 3, which the project does not ask for itself.
    requirements += [one for one in map(Requirement, _requires("tensorflow")) if one.name == "keras"]
    mine = [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    return [_package(one) for one in sorted(mine, key=lambda one: one.name)]


def _requires(name: str) -> list[str]:
    return (metadata.requires(name) or []) if _version(name) else []


def _package(wanted: Requirement) -> dict[str, Any]:
    version = _version(wanted.name)
    fits = version is not None and wanted.specifier.contains(version, prereleases=True)
    return {"name": wanted.name, "version": version, "wanted": str(wanted.specifier), "fits": fits}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> list[dict[str, Any]]:
    rows = []
    requirements = [Requirement(text) for text in _requires(NAME)]
    for extra in metadata.metadata(NAME).get_all("Provides-Extra") or ():
        mine = [one for one in requirements if one.marker is not None and _belongs(one, extra)]
        missing = [one.name for one in mine if not _package(one)["fits"]]
        rows.append({"name": extra, "what": EXTRA_SUMMARIES.get(extra, ""), "missing": missing})
    return rows


def _belongs(wanted: Requirement, extra: str) -> bool:
    marker = wanted.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _machine() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    flags = _lines(Path("/proc/cpuinfo"), "flags")
    avx = "avx" in flags[0].split() if flags and platform.machine() == "x86_64" else None
    return {"system": platform.platform(), "cores": cores, "avx": avx, "memory": _memory()}


def _memory() -> dict[str, int] | None:
    """Give the bytes of memory in all and available, within the bound of a container; None where nobody tells."""
    rows = {key: _lines(Path("/proc/meminfo"), key) for key in ("MemTotal", "MemAvailable")}
    if not all(rows.values()):
        return None
    total, free = (int(rows[key][0].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
    bound, used = (_number(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current"))
    if bound is not None and bound < total:
        total, free = bound, min(free, bound - (used or 0))
    return {"total": total, "available": free}


def _lines(path: Path, key: str) -> list[str]:
    """Give what stands behind the key in a file of `key: value` lines; nothing where there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    return [value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == key]


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _disk(folder: Path) -> dict[str, Any]:
    """Tell of a folder, or of that in which it would be made, how much room there is and whether it can be used."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    usable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return {"folder": str(folder), "writable": usable, "free": shutil.disk_usage(there).free}


def _cache(folder: Path) -> dict[str, Any]:
    size, whole = _size(folder)
    return {**_disk(folder), "exists": folder.is_dir(), "bytes": size, "counted": whole}


def _size(folder: Path) -> tuple[int, bool]:
    """Give the bytes of the files below a folder, and whether there was time for all of them."""
    size, until, folders = 0, time.monotonic() + COUNTING_SECONDS, [folder] if folder.is_dir() else []
    while folders:
        if time.monotonic() > until:
            return size, False
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue  # a run that goes on removes files; of a folder that may not be read nothing can be said
    return size, True


def _problems(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    python = found["python"]
    if not python["fits"]:
        yield f"Python must be {python['wanted']}. Got {python['version']}.", "Make .venv anew: make PYTHON=… setup"
    for row in found["packages"]:
        if not row["fits"]:
            got = row["version"] or "none"
            yield (
                f"{row['name']} must be {row['wanted'] or 'installed'}. Got {got}.",
                f"Run: pip install -c constraints.txt '{row['name']}{row['wanted']}'",
            )
    for row in found["rivals"]:
        yield f"{row['name']} is installed: {row['why']}.", f"Run: pip uninstall {row['name']}"
    if found["machine"]["avx"] is False:
        yield "the processor has no AVX, which TensorFlow needs.", "Use another machine; conversion would crash."
    yield from _disk_problems("the cache", found["cache"])
    yield from _disk_problems("temporary files", found["temporary"])


def _disk_problems(role: str, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if not row["writable"]:
        yield f"'{row['folder']}', for {role}, cannot be written.", "Mend its permissions, or choose another one."
    elif row["free"] < LEAST_DISK:
        yield f"the disk for {role} has {_gigabytes(row['free'])} left.", "Free some: a run may fail for want of it."


def _notes(found: dict[str, Any]) -> Iterator[str]:
    memory = found["machine"]["memory"]
    if memory and memory["available"] < LEAST_MEMORY:
        yield f"{_gigabytes(memory['available'])} of memory are left; a conversion may take {LEAST_MEMORY / 1e9:g} GB."
    for row in found["variables"]:
        yield f"{row['name']}={row['value']} {row['what']}."


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
