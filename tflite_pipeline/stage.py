"""How one stage is run: its key, its place in the cache, its worker, and who hears of begin, progress and end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.disk import disk_errors_told
from tflite_pipeline.runtime.worker import Kind, Workers
from tflite_pipeline.spec import Section
from tflite_pipeline.store import Entry, Store, code_digest, installed

T = TypeVar("T")

SHARED_CODE = ("artifacts", "runtime", "schemes", "spec")
TENSORFLOW = ("tensorflow", "keras", "tf_keras", "ai-edge-litert", "numpy")
QUANTIZERS = (*TENSORFLOW, "ai-edge-quantizer")
LITERT = ("ai-edge-litert", "numpy", "scipy")


@dataclass(frozen=True)
class Stage:
    """What decides a stage's result beside its arguments: the project's code and the libraries."""

    code: tuple[str, ...]
    libraries: tuple[str, ...]
    resumable: bool = False
    before_keras: bool = False
    """Runs before any stage that needs Keras, which is started meanwhile since it takes long."""
    before_tuning: bool = False
    """Likewise for the Keras that training on the reference's graph needs, where there is such a training."""


STAGES: dict[str, Stage] = {
    "model": Stage(("model",), ("h5py",), before_keras=True),
    "dataset": Stage(("dataset",), ("numpy", "pillow", "scikit-learn"), before_keras=True),
    "probe": Stage(("dataset",), ("numpy",)),
    "train": Stage(("model", "train"), TENSORFLOW, resumable=True),
    "tune": Stage(("model", "train"), (*TENSORFLOW, "tensorflow-model-optimization", "scikit-learn"), resumable=True),
    "rounded": Stage(("model", "train"), TENSORFLOW),
    "export": Stage(("model", "convert"), TENSORFLOW, before_tuning=True),
    "calibrate": Stage(("convert",), LITERT),
    "spread": Stage(("convert",), LITERT),
    "hygiene": Stage(("dataset", "convert"), ("numpy",)),
    "engine": Stage(("convert",), QUANTIZERS),
    "quantize": Stage(("convert",), QUANTIZERS),
    "equalize": Stage(("convert",), LITERT),
    "absorb": Stage(("convert",), LITERT),
    "obstacle": Stage(("convert",), LITERT),
    "recover": Stage(("convert",), LITERT),
    "recovery": Stage(("convert",), LITERT),
    "assign": Stage(("convert", "search"), ("numpy", "scipy")),
    "describe": Stage(("handoff",), LITERT),
    "parity": Stage(("validate",), LITERT),
    "predict": Stage(("validate",), LITERT),
    "kernels": Stage(("validate",), LITERT),
    "errors": Stage(("validate",), LITERT),
    "sensitivity": Stage(("convert",), QUANTIZERS),
    "verdict": Stage(("train",), LITERT),
    "compare": Stage(("validate",), LITERT),
    "profile": Stage(("profile",), LITERT),
    "targets": Stage(("targets",), LITERT),
    "handoff": Stage(("handoff", "dataset"), (*LITERT, "pillow", "scikit-learn")),
}


class Observer(Protocol):
    """Who watches a run; two stages may run at a time, each tells from a thread of its own."""

    def begin(self, stage: str) -> None:
        """Note that a stage starts."""

    def progress(self, stage: str, done: int, total: int, what: str) -> None:
        """Note how far a running stage is."""

    def end(self, stage: str, seconds: float, cached: bool) -> None:
        """Note that a stage is done, or that its result was found."""


@dataclass
class Runner:
    """Finds or makes results of stages; `seconds` and `cached` tell afterwards, by label, what each one took."""

    store: Store
    workers: Workers
    observer: Observer
    keras: Kind = "plain"
    """The worker of the model's Keras."""
    tunes: bool = False
    """Whether a stage will train on the graph of the reference."""
    seconds: dict[str, float] = field(default_factory=dict)
    cached: list[str] = field(default_factory=list)

    def run(
        self,
        name: str,
        kind: type[T],
        function: Callable[..., T],
        *args: Any,
        worker: Kind = "plain",
        label: str = "",
        also: Any = None,
    ) -> Entry[T]:
        """Give the result of `function(*args, out)`; entries among the arguments count by their digest.

        `also` is what decides the result without being an argument. Raises StageError with the label in it.
        """
        stage, label = STAGES[name], label or name
        key = {
            "function": function.__qualname__,
            "code": code_digest((*stage.code, *SHARED_CODE)),
            "libraries": {library: installed(library) for library in stage.libraries},
            "arguments": _identity(args),
            "also": also,
        }

        def make(out: Path) -> T:
            if stage.before_keras:
                self.workers.start(self.keras)
            if stage.before_tuning and self.tunes:
                self.workers.start("keras2")
            sink = partial(self.observer.progress, label)
            return self.workers.run(worker, function, *_plain(args), out, sink=sink)

        self.observer.begin(label)
        with told_by(label):
            entry = self.store.get(name, key, kind, make, stage.resumable)
        self.seconds[label] = entry.seconds
        if entry.cached:
            self.cached.append(label)
        self.observer.end(label, entry.seconds, entry.cached)
        return entry


@contextlib.contextmanager
def told_by(stage: str) -> Iterator[None]:
    """Put the name of the stage into its errors, those of the disk too."""
    try:
        with disk_errors_told():
            yield
    except StageError as error:
        error.stage = error.stage or stage
        raise


def _plain(arg: Any) -> Any:
    if isinstance(arg, tuple):
        return tuple(map(_plain, arg))
    return arg.artifact if isinstance(arg, Entry) else arg


def _identity(arg: Any) -> Any:
    if isinstance(arg, tuple):
        return list(map(_identity, arg))
    if isinstance(arg, Entry):
        return arg.digest
    return arg.model_dump(mode="json") if isinstance(arg, Section) else arg
