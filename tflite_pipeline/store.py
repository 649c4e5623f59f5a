"""The cache of stage results: what a stage made is found again by everything that decided it.

An entry is a folder `<root>/<stage>/<key>` with the stage's files and `entry.json`. It is published by one
atomic rename, so a folder with a good name is always whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from tflite_pipeline.artifacts import file_digest, to_json
from tflite_pipeline.errors import Problem, RecipeError

T = TypeVar("T")
P = TypeVar("P")
PACKAGE = Path(__file__).parent
ENTRY_MARK = "$ENTRY"
RESULT_MARK = "report.json"
"""The file by which a result folder is known."""
KEY_LENGTH = 24


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A published result: the artifact, a digest of it and all its files, and what it cost."""

    artifact: T
    digest: str
    seconds: float
    cached: bool

    def part(self, part: P, mark: str = "") -> Entry[P]:
        """Give a part of the artifact, or a variant of it by its mark, as an entry that the whole identifies."""
        return Entry(part, f"{self.digest} {mark}".rstrip(), self.seconds, self.cached)


class Store:
    """Entries below one folder."""

    def __init__(self, root: Path, force: bool = False) -> None:
        """With `force` only what this store has made itself is found, so everything is made anew, once."""
        self._root = root
        self._force = force
        self._made: set[Path] = set()
        self._digests = _FileDigests(root / "digests.json")
        root.mkdir(parents=True, exist_ok=True)
        _sweep_partial(root)

    def file_digest(self, path: Path) -> str:
        """Give the SHA-256 of a file; a file that has not changed since the last time is not read again."""
        return self._digests.of(path)

    def get(self, stage: str, key: Any, kind: type[T], make: Callable[[Path], T], resumable: bool = False) -> Entry[T]:
        """Find the entry of `stage` under `key` (any JSON value), or let `make(out)` fill a folder and publish it.

        A `resumable` stage finds again in `out` what an earlier run that was killed had written there.
        """
        name = hashlib.sha256(_canonical(key).encode()).hexdigest()[:KEY_LENGTH]
        folder = self._root / stage / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder.with_suffix(".lock")):
            if (not self._force or folder in self._made) and (entry := _read(folder, kind)):
                return entry
            out = folder.with_suffix(".resume" if resumable else f".{os.getpid()}.partial")
            out.mkdir(exist_ok=True)
            begin = time.perf_counter()
            try:
                artifact = make(out)
                made = _publish(out, folder, artifact, kind, time.perf_counter() - begin)
            except Exception:
                if not resumable:
                    shutil.rmtree(out, ignore_errors=True)
                raise
            self._made.add(folder)
            return made

    def fresh_folder(self) -> Path:
        """Make an empty folder on the file system of the store, to be filled and then put in place by `replace`."""
        folder = self._root / "results" / f"new.{os.getpid()}.partial"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def replace(self, fresh: Path, folder: Path) -> None:
        """Put `fresh` in the place of `folder`, whole."""
        if folder.exists():
            old = fresh.with_name(f"old.{os.getpid()}.partial")
            folder.rename(old)
            fresh.rename(folder)
            shutil.rmtree(old)
            return
        fresh.rename(folder)


def refuse_foreign_folders(out: Path, names: Sequence[str]) -> None:
    """Refuse to publish a result over what no run has made, since publishing replaces the whole folder.

    Raises RecipeError where `out` or one of `out/<name>` is something else.
    """
    problems = []
    if out.exists() and not out.is_dir():
        problems.append(Problem("", "--out", f"must be a folder. Got '{out}', which is a file."))
    for folder in (out / name for name in names):
        if folder.is_dir() and ((folder / RESULT_MARK).is_file() or not any(folder.iterdir())):
            continue
        if os.path.lexists(folder):
            text = f"must be a folder where '{folder.name}' is free or a result. Got '{folder}', which is neither."
            problems.append(Problem("", "--out", f"{text} Choose another --out, or another name in the recipe."))
    if problems:
        raise RecipeError(problems)


@cache
def installed(library: str) -> str:
    """Give the installed version of a library."""
    return importlib.metadata.version(library)


@cache
def code_digest(packages: tuple[str, ...]) -> str:
    """Give a digest of the sources, templates too, of sub-packages or modules of this project: a stage's version."""
    digest = hashlib.sha256()
    for package in sorted(packages):
        path = PACKAGE / package
        for file in sorted(path.rglob("*")) if path.is_dir() else [path.with_suffix(".py")]:
            if file.is_file() and file.suffix != ".pyc":
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"))


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one process at a time make an entry; the lock dies with its process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(folder: Path, kind: type[T]) -> Entry[T] | None:
    """Read an entry; one that lost files since is as good as none."""
    try:
        content = json.loads((folder / "entry.json").read_text())
        whole = all((folder / name).stat().st_size == size for name, size in content["files"].items())
    except (OSError, ValueError, KeyError):
        whole = False
    if not whole:
        return None
    text = json.dumps(content["artifact"]).replace(ENTRY_MARK, str(folder))
    return Entry(TypeAdapter(kind).validate_json(text), content["digest"], content["seconds"], cached=True)


def _publish(out: Path, folder: Path, artifact: T, kind: type[T], seconds: float) -> Entry[T]:
    text = json.dumps(to_json(artifact)).replace(str(out), ENTRY_MARK)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    digest = hashlib.sha256(text.encode())
    for file in files:
        digest.update(f"{file.relative_to(out)} {file_digest(file)}".encode())
    content = {
        "artifact": json.loads(text),
        "digest": digest.hexdigest(),
        "seconds": round(seconds, 3),
        "files": {str(file.relative_to(out)): file.stat().st_size for file in files},
    }
    (out / "entry.json").write_text(json.dumps(content, indent=1))
    if folder.exists():  # an entry that lost files, or --force
        folder.rename(trash := folder.with_suffix(f".{os.getpid()}.partial-old"))
        shutil.rmtree(trash)
    out.rename(folder)
    entry = _read(folder, kind)
    if entry is None:
        raise RuntimeError(f"{folder} cannot be read back")
    return Entry(entry.artifact, entry.digest, entry.seconds, cached=False)


def _sweep_partial(root: Path) -> None:
    """Delete what runs that were killed have left."""
    for path in root.glob("*/*.partial*"):
        owner = path.name.split(".")[1]
        if not owner.isdigit() or int(owner) == os.getpid() or not _alive(int(owner)):
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class _FileDigests:
    """Digests of the user's files, remembered with size and time of change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._known: dict[str, list[Any]] = json.loads(path.read_text())
        except (OSError, ValueError):
            self._known = {}

    def of(self, path: Path) -> str:
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._known.get(str(path))
        if known and known[:3] == stamp:
            return str(known[3])
        digest = file_digest(path)
        self._known[str(path)] = [*stamp, digest]
        fresh = self._path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(self._known))
        fresh.replace(self._path)
        return digest
