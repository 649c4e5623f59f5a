"""The order of the stages, known here only: a checked recipe in, a result folder with a verdict out."""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import (
    Bundle,
    Evaluation,
    Hygiene,
    KerasModel,
    Parity,
    Predictions,
    Profile,
    QuantizedModel,
    Reference,
    Samples,
    TargetChecks,
    TrainedModel,
    Tuned,
    to_json,
)
from tflite_pipeline.bench import Bench, Options, open_bench
from tflite_pipeline.convert.export import PROBE_SAMPLES, adopt, export
from tflite_pipeline.convert.hygiene import inspect_ranges, manifest
from tflite_pipeline.convert.unroll import choose_unrolling
from tflite_pipeline.dataset.hygiene import inspect
from tflite_pipeline.dataset.load import source_digest
from tflite_pipeline.dataset.prepare import prepare
from tflite_pipeline.dataset.probe import take_probe
from tflite_pipeline.errors import StageError
from tflite_pipeline.handoff.bundle import bundle
from tflite_pipeline.model.border import OPEN_SIZES
from tflite_pipeline.model.identify import identify, likely_generation, model_files
from tflite_pipeline.model.spec import KerasFile, TfliteFile
from tflite_pipeline.profile.measure import measure
from tflite_pipeline.publish import named, publish, versions
from tflite_pipeline.quantizing import CORES, Made, Quantizing
from tflite_pipeline.recipe.load import LoadedRecipe
from tflite_pipeline.report.build import Facts, build_report
from tflite_pipeline.runtime.tensorflow import worker_kind
from tflite_pipeline.runtime.worker import Kind
from tflite_pipeline.stage import Observer, Runner, told_by
from tflite_pipeline.store import Entry
from tflite_pipeline.targets.litert import check_targets
from tflite_pipeline.train.spec import steps_of
from tflite_pipeline.training import TrainingSteps
from tflite_pipeline.validate.audit import Asked
from tflite_pipeline.validate.compare import compare
from tflite_pipeline.validate.gates import judge, verdict
from tflite_pipeline.validate.interpreter import predict
from tflite_pipeline.validate.parity import check_parity
from tflite_pipeline.validate.spec import Gates

Role = str
Answers = tuple[Entry[Predictions], Entry[Predictions]]

HOST = platform.node()


@dataclass(frozen=True)
class Result:
    """Where the result is, and what the report says."""

    folder: Path
    model: Path
    report: dict[str, Any]


def run(loaded: LoadedRecipe, options: Options, observer: Observer) -> Result:
    """Run all stages of a recipe and publish its result folder.

    Raises StageError, with the name of the stage, where one cannot do its work; finished stages are kept.
    """
    with open_bench(loaded.path, loaded.recipe.name, options) as bench:
        return run_on(bench, loaded, observer, options.out / loaded.recipe.name)


def run_on(bench: Bench, loaded: LoadedRecipe, observer: Observer, folder: Path) -> Result:
    """Run all stages of a recipe on a bench and publish the result as `folder`."""
    course = Course(loaded, bench, Runner(bench.store, bench.workers, observer))
    facts, files = course.run()
    report = build_report(facts)
    model = report["model"]["file"]
    publish(bench.store, loaded, report, {model: facts.quantized.path, "log.txt": bench.log, **named(files)}, folder)
    return Result(folder, folder / model, report)


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
    """One run of one recipe."""

    loaded: LoadedRecipe
    bench: Bench
    runner: Runner

    def training(self, evaluation: Entry[Samples] | None) -> TrainingSteps:
        """Give the training steps; their samples are none of those of the evaluation."""
        recipe = self.loaded.recipe
        symmetric = recipe.quantization.symmetric_activations
        samples = functools.cache(lambda: self._samples("training", _digests(evaluation)))
        return TrainingSteps(steps_of(recipe.training), recipe.seed, symmetric, self.runner, samples)

    def run(self) -> tuple[Facts, list[Path]]:
        """Give what was found out, and the files to hand over beside the quantized one."""
        recipe = self.loaded.recipe
        # Engines and training leave a core idle at times, so it can run the reference meanwhile.
        chain = self.files(lambda *args: self.bench.background.submit(self._predict, "reference", *args))
        evaluation, calibration, reference = chain.evaluation, chain.calibration, chain.reference
        trained, tuned, quantized = chain.trained, chain.tuned, chain.made.file
        training = self.training(evaluation)
        record = self._record(chain.draft, calibration, chain.hygiene)
        predictions = (
            chain.beside.result(),
            self._predict("quantized", quantized, evaluation),
            training.predict(tuned, evaluation),
        )
        compared = self._compare(reference, quantized, predictions, evaluation, tuned)
        profiles = {
            "reference": self._profile("reference", reference).artifact,
            "quantized": self._profile("quantized", quantized).artifact,
        }
        targets = self.runner.run("targets", TargetChecks, check_targets, recipe.targets, _file(quantized), also=HOST)
        gates = judge(
            recipe.validation.gates,
            compared.artifact,
            quantized.artifact.path.stat().st_size,
            profiles["quantized"].latency_ms["p50"],
            noise=calibration is not None and calibration.artifact.synthetic,
            targets=targets.artifact.checks,
        )
        bundle = self._bundle(quantized, evaluation) if verdict(gates) == "passed" else None
        samples = {"calibration": calibration, "evaluation": evaluation}
        facts = Facts(
            recipe={"name": recipe.name, "sha256": self.loaded.sha256, "path": str(self.loaded.path)},
            verdict=verdict(gates),
            gates=[to_json(gate) for gate in gates],
            reference=reference.artifact,
            quantized=quantized.artifact,
            evaluation=compared.artifact,
            profiles=profiles,
            samples={role: entry.artifact if entry else None for role, entry in samples.items()},
            calibration=record,
            targets=list(targets.artifact.checks),
            history=trained.artifact.history if trained else (),
            training=training.told(trained, tuned),
            recovery=chain.draft.recovery,
            seconds=self.runner.seconds,
            cached=self.runner.cached,
            versions=versions(),
        )
        files = [trained.artifact.file] if trained else []
        return facts, [*files, *([bundle.artifact.path] if bundle else [])]

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
        return Chain(evaluation, calibration, hygiene, trained, reference, tuned, draft, made, begun)

    def answers(self, chain: Chain, samples: Entry[Samples], label: str) -> Answers:
        """Give what the reference and the quantized file answer to samples of any kind."""
        pair = (
            self._predict(f"reference {label}", chain.reference, samples),
            self._predict(label, chain.made.file, samples),
        )
        if pair[0] is None or pair[1] is None:
            raise RuntimeError("there are samples, so there are predictions")
        return pair[0], pair[1]

    def examine(self, chain: Chain, samples: Entry[Samples], label: str) -> Evaluation:
        """Compare the quantized file with its reference on samples of any kind."""
        rounded = self.training(samples).predict(chain.tuned, samples)
        predictions = (*self.answers(chain, samples, label), rounded)
        return self._compare(chain.reference, chain.made.file, predictions, samples, chain.tuned).artifact

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

    def _record(self, made: Made, calibration: Entry[Samples] | None, hygiene: Entry[Hygiene] | None) -> dict[str, Any]:
        """Give the record of the calibration; empty where there is none."""
        recipe, ranges = self.loaded.recipe, made.spread[0]
        if calibration is None or hygiene is None or not recipe.quantization.calibrated:
            return {}
        findings = hygiene.artifact.findings
        if ranges is not None:
            judged = self.runner.run("hygiene", Hygiene, inspect_ranges, made.reference, ranges, label="hygiene ranges")
            findings += judged.artifact.findings
        reference, engine = made.reference.artifact, made.engine.artifact
        return manifest(calibration.artifact, recipe.quantization, engine, recipe.seed, reference, findings)

    def _predict(
        self,
        label: str,
        model: Entry[Reference] | Entry[QuantizedModel],
        evaluation: Entry[Samples] | None,
    ) -> Entry[Predictions] | None:
        if evaluation is None:
            return None
        args = (_file(model), evaluation, CORES)
        return self.runner.run("predict", Predictions, predict, *args, label=f"predict {label}")

    def _compare(
        self,
        reference: Entry[Reference],
        quantized: Entry[QuantizedModel],
        predictions: tuple[Entry[Predictions] | None, ...],
        evaluation: Entry[Samples] | None,
        tuned: list[Entry[Tuned]],
    ) -> Entry[Evaluation]:
        spec = self.loaded.recipe.validation
        narrowed = spec.model_copy(update={"gates": Gates(confidence=spec.gates.confidence)})
        asked = self.loaded.recipe.quantization
        *both, rounded = predictions
        kept = tuned[-1].artifact.kept if tuned else {}
        wanted = Asked(scheme=asked.scheme, io=asked.io, allow_float=asked.allow_float, kept=kept)
        parity = self.runner.run("parity", Parity, check_parity, reference, spec.parity)
        args = (
            narrowed,
            wanted,
            parity,
            reference,
            quantized,
            tuple(both) if evaluation else None,
            evaluation,
            rounded,
        )
        return self.runner.run("compare", Evaluation, compare, *args)

    def _profile(self, label: str, model: Entry[Reference] | Entry[QuantizedModel]) -> Entry[Profile]:
        args = (_file(model), self.loaded.recipe.profile)
        return self.runner.run("profile", Profile, measure, *args, label=f"profile {label}", also=HOST)

    def _digest(self, files: list[Path]) -> str:
        return ",".join(self.runner.store.file_digest(path) for path in files)

    def _bundle(self, quantized: Entry[QuantizedModel], evaluation: Entry[Samples] | None) -> Entry[Bundle]:
        recipe = self.loaded.recipe
        steps = recipe.dataset.model_dump(mode="json", exclude_none=True)["preprocessing"] if recipe.dataset else {}
        return self.runner.run("handoff", Bundle, bundle, quantized, recipe.name, steps, evaluation)


def _file(model: Entry[Reference] | Entry[QuantizedModel]) -> Entry[Path]:
    """Give the file as an entry of its own, identified by nothing but its content."""
    return Entry(model.artifact.path, model.artifact.sha256, 0.0, True)


def _digests(evaluation: Entry[Samples] | None) -> tuple[str, ...]:
    """Give the samples that neither training nor calibration may use."""
    return evaluation.artifact.digests if evaluation else ()


def _only(dataset: Any, role: Role) -> Any:
    """Reset the rows of the other roles, which do not change what this role's samples are."""
    others = [name for name in ("training", "calibration", "evaluation") if name != role]
    return dataset.model_copy(update={name: type(dataset).model_fields[name].default for name in others})
