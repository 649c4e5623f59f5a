"""The words of `init` in; a recipe, written where there was none, and what was found on the way, out."""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import KerasModel, to_json
from tflite_pipeline.bench import passing_workers
from tflite_pipeline.errors import Problem, RecipeError
from tflite_pipeline.model.identify import identify
from tflite_pipeline.model.spec import Application, SavedModel, TfliteFile
from tflite_pipeline.recipe.load import load_recipe
from tflite_pipeline.runtime.disk import disk_errors_told
from tflite_pipeline.runtime.tensorflow import worker_kind
from tflite_pipeline.runtime.worker import Kind, Workers
from tflite_pipeline.stage import Observer, told_by
from tflite_pipeline.starter.choices import Choices, choose
from tflite_pipeline.starter.data import Found, find_data, look_at_data
from tflite_pipeline.starter.guess import Trial, guess_preprocessing
from tflite_pipeline.starter.looks import DataLook, Memory, ModelLook, Preprocessing, Scaling, Steps
from tflite_pipeline.starter.model import Source, look_at, read_source
from tflite_pipeline.starter.recipe_text import Draft, write_recipe
from tflite_pipeline.starter.trial import try_scalings
from tflite_pipeline.starter.witness import remembered_scaling

IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Wish:
    """What the command line says: the model's path or name, the data's or None, the recipe's or None."""

    model: str
    data: str | None = None
    out: Path | None = None
    allow_code: bool = False


@dataclass(frozen=True)
class Started:
    """The recipe that was written, its text, and what was found."""

    recipe: Path
    text: str
    model: ModelLook
    data: DataLook | None
    preprocessing: dict[str, Preprocessing]
    choices: Choices
    flags: str

    @property
    def marks(self) -> tuple[str, ...]:
        """Which of CHECK and FILL IN the recipe bears."""
        body = self.text.partition("recipe: 1")[2]
        return tuple(mark for mark in ("CHECK", "FILL IN") if mark in body)

    def to_json(self) -> dict[str, Any]:
        """Give all of it as what `json.dumps` takes."""
        told: dict[str, Any] = to_json(self)
        return {"init": 1, **told, "marks": list(self.marks)}


def init(wish: Wish, observer: Observer) -> Started:
    """Look at the model and the data, write the recipe, and check it.

    Raises RecipeError where a path is wrong or the recipe is there already, StageError where the model or the data
    cannot be read or do not fit.
    """
    spec = read_source(wish.model)
    name = _name(wish.model)
    out = wish.out or Path(f"{name}.yaml")
    _refuse_existing(out)
    found = None if wish.data is None else find_data(wish.data)
    with passing_workers((Path.cwd(),)) as workers:
        look = _Look(wish, workers, observer)
        model = look.model(spec)
        data = look.data(found, model)
        if isinstance(spec, Application) and data and (classes := _classes(data)):
            spec, model = _headed(spec, model, classes)
        preprocessing = look.preprocessing(spec, model, data)
    choices = choose(model, data, preprocessing)
    flags = " --allow-code" if wish.allow_code else ""
    words = ["tflite-pipeline", "init", wish.model, *(["--data", wish.data] if wish.data else [])]
    section = _section(spec, model)
    draft = Draft(name, out, shlex.join(words) + flags, flags, section, model, data, preprocessing, choices)
    text = write_recipe(draft)
    _write(text, out, wish.allow_code)
    return Started(out, text, model, data, preprocessing, choices, flags)


def _name(word: str) -> str:
    stem = Path(word).expanduser().resolve().stem if Path(word).expanduser().exists() else word
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).lstrip("_.-") or "model"


def _refuse_existing(out: Path) -> None:
    if out.exists():
        text = f"must be a new file. Got '{out}', which is there already and stays as it is. Name another: --out."
        raise RecipeError([Problem("init", "--out", text)])
    if not out.absolute().parent.is_dir():
        text = f"must be in a folder that exists. Got '{out}'."
        raise RecipeError([Problem("init", "--out", text)])


@dataclass(frozen=True)
class _Look:
    """One look at a model and at data; each step is told to the observer."""

    wish: Wish
    workers: Workers
    observer: Observer

    def model(self, spec: Source) -> ModelLook:
        with self._told("model", "model"):
            return look_at(spec, self.workers, self.wish.allow_code)

    def data(self, found: Found | None, model: ModelLook) -> DataLook | None:
        if found is None:
            return None
        with self._told("data", "dataset"):
            return look_at_data(found, model)

    def preprocessing(self, spec: Source, model: ModelLook, data: DataLook | None) -> dict[str, Preprocessing]:
        if data is None:
            return {}
        with self._told("preprocessing", "dataset"):
            return guess_preprocessing(model, data, self._trial(spec, model, data))

    @contextlib.contextmanager
    def _told(self, label: str, stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        self.observer.begin(label)
        with told_by(stage):
            yield
        self.observer.end(label, time.perf_counter() - begin, False)

    def _trial(self, spec: Source, model: ModelLook, data: DataLook) -> Trial | None:
        """Give what runs the float model; None where its weights are random or it has several borders."""
        if isinstance(spec, Application) or len(model.inputs) > 1 or len(model.outputs) > 1:
            return None
        return _Trial(self.workers, *self._runnable(spec, model), data, model.inputs[0].dtype)

    def _runnable(self, spec: Source, model: ModelLook) -> tuple[Kind, Any]:
        if isinstance(spec, TfliteFile):
            return "plain", spec.path
        if isinstance(spec, SavedModel):
            return "keras3", (str(spec.path), model.signature)
        label = identify(spec, 0, "", self.wish.allow_code, Path())
        return worker_kind(label.generation), label


@dataclass(frozen=True)
class _Trial:
    """Runs a model, which is what `answers_of` takes, in a worker of the kind."""

    workers: Workers
    kind: Kind
    model: Any
    data: DataLook
    dtype: str

    def scores(self, ways: list[Scaling]) -> tuple[list[float | None], list[float], int]:
        """Give the score of each way, how much the outputs vary, and the number of samples."""
        args = (self.model, self.data.section, ways, self.dtype, self.data.truth == "classes")
        return self.workers.run(self.kind, try_scalings, *args)

    def remembered(self, steps: Steps, ways: list[tuple[float, float]]) -> Memory | None:
        """Ask the first layers of a Keras model; others do not show theirs."""
        if not isinstance(self.model, KerasModel):
            return None
        args = (self.model, self.data.section, steps, self.dtype, ways)
        return self.workers.run(self.kind, remembered_scaling, *args)


def _classes(data: DataLook) -> int:
    """Say how many classes the data have; 0 where nothing tells."""
    return len(data.classes) or (0 if data.highest is None else data.highest + 1)


def _headed(spec: Application, model: ModelLook, classes: int) -> tuple[Application, ModelLook]:
    """Give the architecture as many outputs as the data have classes; 1000 are taken for those of ImageNet."""
    if classes == IMAGENET_CLASSES:
        return spec.model_copy(update={"weights": "imagenet"}), model
    outputs = tuple(replace(port, shape=(classes,)) for port in model.outputs)
    return spec.model_copy(update={"classes": classes}), replace(model, outputs=outputs, parameters=None)


def _section(spec: Source, model: ModelLook) -> dict[str, Any]:
    if isinstance(spec, Application):
        shape = [size or 224 for size in model.inputs[0].shape]
        head = {"source": spec.source, "name": spec.name, "weights": spec.weights}
        return {**head, "input_shape": shape, "classes": spec.classes}
    section: dict[str, Any] = {"source": spec.source, "path": str(spec.path)}
    return section | ({"signature": model.signature} if model.signature not in ("", "serving_default") else {})


def _write(text: str, out: Path, allow_code: bool) -> None:
    """Check the recipe beside its place, then put it there."""
    draft = out.with_name(f".{out.name}.partial.yaml")
    with disk_errors_told():
        draft.write_text(text)
        try:
            load_recipe(draft, allow_code=allow_code)
            draft.rename(out)
        finally:
            draft.unlink(missing_ok=True)
