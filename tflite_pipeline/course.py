"""The order of the stages from a checked recipe to its quantized file."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import (
    Hygiene,
    KerasModel,
    QuantizedModel,
    Reference,
    Samples,
    TrainedModel,
    Tuned,
)
from tflite_pipeline.bench import Bench
from tflite_pipeline.convert.export import PROBE_SAMPLES, adopt, export
from tflite_pipeline.convert.unroll import choose_unrolling
from tflite_pipeline.dataset.hygiene import inspect
from tflite_pipeline.dataset.load import source_digest
from tflite_pipeline.dataset.prepare import prepare
from tflite_pipeline.dataset.probe import take_probe
from tflite_pipeline.errors import StageError
from tflite_pipeline.handoff.metadata import describe
from tflite_pipeline.model.border import OPEN_SIZES
from tflite_pipeline.model.identify import identify, likely_generation, model_files
from tflite_pipeline.model.spec import KerasFile, TfliteFile
from tflite_pipeline.quantizing import Made, Quantizing
from tflite_pipeline.recipe.load import LoadedRecipe
from tflite_pipeline.runtime.tensorflow import worker_kind
from tflite_pipeline.runtime.worker import Kind
from tflite_pipeline.stage import Runner, told_by
from tflite_pipeline.store import Entry
from tflite_pipeline.train.spec import steps_of
from tflite_pipeline.training import TrainingSteps

Role = str


@dataclass(frozen=True)
class Chain:
    """What led to a quantized file, in the order in which it was made.

    `draft` is what quantization alone made of the reference; `made` is the same, or what was made after training with
    fake quantization. `beside` is what was started when there was a reference.
    """

    evaluation: Entry[Samples] | None
    calibration: Entry[Samples] | None
    hygiene: Entry[Hygiene] | None
    trained: Entry[TrainedModel] | None
    reference: Entry[Reference]
    tuned: list[Entry[Tuned]]
    draft: Made
    made: Made
    beside: Any


@dataclass
class Course:
    """The making of one recipe's file."""

    loaded: LoadedRecipe
    bench: Bench
    runner: Runner

    def training(self, evaluation: Entry[Samples] | None) -> TrainingSteps:
        """Give the training steps; their samples are none of those of the evaluation."""
        recipe = self.loaded.recipe
        symmetric = recipe.quantization.symmetric_activations
        samples = functools.cache(lambda: self._samples("training", _digests(evaluation)))
        return TrainingSteps(steps_of(recipe.training), recipe.seed, symmetric, self.runner, samples)

    def files(self, beside: Callable[[Entry[Reference], Entry[Samples] | None], Any] = lambda *_: None) -> Chain:
        """Go as far as the quantized file; `beside` starts what can be done as soon as there is a reference."""
        recipe = self.loaded.recipe
        model = self._model()
        evaluation = self._samples("evaluation", ()) if recipe.dataset else None
        calibration, hygiene = self._calibration(evaluation)  # data that is not sound shows before anything slow
        training = self.training(evaluation)
        self.runner.tunes = training.tunes
        trained = training.fit(model)
        reference = self._reference(model, trained, evaluation)
        begun = beside(reference, evaluation)
        tuned = training.compress(reference)
        quantizing = Quantizing(recipe.quantization, self.runner, calibration)
        draft = made = quantizing.make(training.base(reference, tuned), "draft" if training.qat else "quantize")
        if training.qat:
            tuned = training.round(reference, tuned, (draft.file, draft.spread[0]))
            done = tuned[-1].artifact
            ranges = tuned[-1].part(done.ranges) if done.ranges else None
            made = quantizing.again(draft.engine, tuned[-1].part(done.reference), ranges)
        made = replace(made, file=self._described(made.file, evaluation))
        return Chain(evaluation, calibration, hygiene, trained, reference, tuned, draft, made, begun)

    def quantized(self) -> tuple[Made, Entry[Samples]]:
        """Go as far as the quantized file, and give the samples to look at it with; the recipe must have a dataset."""
        chain = self.files()
        samples = chain.calibration or chain.evaluation or self._samples("evaluation", ())
        return chain.made, samples

    def untrained(self) -> Entry[Reference]:
        """Give what would be quantized as it is before training, without samples where the model says its shapes."""
        model = self._model()
        try:
            reference = self._reference(model, None, None)
        except StageError as error:
            if self.loaded.recipe.dataset is None or OPEN_SIZES not in error.what:
                raise
            reference = self._reference(model, None, self._samples("evaluation", ()))
        return self.training(None).base(reference, [])

    def declared(self, evaluation: Entry[Samples] | None) -> dict[str, Any]:
        """Give what the recipe and its data tell an app: `preprocessing` and `classes`, as plain JSON values."""
        dataset = self.loaded.recipe.dataset
        steps = dataset.model_dump(mode="json", exclude_none=True)["preprocessing"] if dataset else {}
        return {"preprocessing": steps, "classes": list(evaluation.artifact.classes) if evaluation else []}

    def _described(self, file: Entry[QuantizedModel], evaluation: Entry[Samples] | None) -> Entry[QuantizedModel]:
        """Write into the file what it is: what is judged later is the very file that is handed over."""
        told = self.declared(evaluation)
        args = (file, self.loaded.recipe.name, told["preprocessing"], tuple(told["classes"]))
        return self.runner.run("describe", QuantizedModel, describe, *args)

    def _model(self) -> Entry[KerasModel] | None:
        """Label the Keras model; a `.tflite` has none, or its original."""
        spec = self.loaded.recipe.model
        if isinstance(spec, TfliteFile):
            if spec.original is None:
                return None
            spec = KerasFile(source="keras_file", path=spec.original)
        with told_by("model"):
            digest = self._digest(model_files(spec, self.bench.code_folders))
        self.runner.keras = worker_kind(likely_generation(spec))
        args = (spec, self.loaded.recipe.seed, digest, self.bench.options.allow_code)
        entry = self.runner.run("model", KerasModel, identify, *args)
        self.runner.keras = worker_kind(entry.artifact.generation)
        return entry

    def _samples(self, role: Role, taken: tuple[str, ...]) -> Entry[Samples]:
        spec, label = _only(self.loaded.recipe.dataset, role), f"dataset {role}"
        with told_by(label):
            digest = source_digest(spec, self.bench.code_folders, self.runner.store.file_digest)
        args = (spec, role, self.loaded.recipe.seed, taken)
        return self.runner.run("dataset", Samples, prepare, *args, label=label, also=digest)

    def _reference(
        self, model: Entry[KerasModel] | None, trained: Entry[TrainedModel] | None, evaluation: Entry[Samples] | None
    ) -> Entry[Reference]:
        recipe = self.loaded.recipe
        probe = self.runner.run("probe", Samples, take_probe, evaluation, PROBE_SAMPLES) if evaluation else None
        if isinstance(recipe.model, TfliteFile):
            digest = self._digest(model_files(recipe.model))
            worker: Kind = self.runner.keras if model else "plain"
            path = recipe.model.path
            return self.runner.run(
                "export", Reference, adopt, path, model, probe, recipe.seed, worker=worker, also=digest
            )
        source = self._unrolled(trained.part(trained.artifact.model) if trained else model)
        batch = recipe.model.batch
        return self.runner.run("export", Reference, export, source, batch, probe, recipe.seed, worker=self.runner.keras)

    def _unrolled(self, model: Entry[KerasModel] | None) -> Entry[KerasModel] | None:
        """Say which recurrent layers the export is to unroll; models without any have one export for all schemes."""
        which = choose_unrolling(self.loaded.recipe.quantization, self.training(None).tunes)
        if model is None or not model.artifact.recurrent or which == "never":
            return model
        return model.part(replace(model.artifact, unroll=which), which)

    def _calibration(self, evaluation: Entry[Samples] | None) -> tuple[Entry[Samples] | None, Entry[Hygiene] | None]:
        recipe = self.loaded.recipe
        if not recipe.quantization.needs_samples:
            return None, None
        samples = self._samples("calibration", _digests(evaluation))
        return samples, self.runner.run("hygiene", Hygiene, inspect, samples, evaluation, label="hygiene samples")

    def _digest(self, files: list[Path]) -> str:
        return ",".join(self.runner.store.file_digest(path) for path in files)


def _digests(evaluation: Entry[Samples] | None) -> tuple[str, ...]:
    """Give the samples that neither training nor calibration may use."""
    return evaluation.artifact.digests if evaluation else ()


def _only(dataset: Any, role: Role) -> Any:
    """Reset the rows of the other roles, which do not change what this role's samples are."""
    others = [name for name in ("training", "calibration", "evaluation") if name != role]
    return dataset.model_copy(update={name: type(dataset).model_fields[name].default for name in others})
