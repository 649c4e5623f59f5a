"""The order of the stages, known here only: a checked recipe in, a result folder with a verdict out."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_pipeline import __version__
from tflite_pipeline.artifacts import (
    Bundle,
    Evaluation,
    KerasModel,
    Predictions,
    Profile,
    QuantizedModel,
    Reference,
    Samples,
    TargetChecks,
    TrainedModel,
    to_json,
)
from tflite_pipeline.convert.export import PROBE_SAMPLES, adopt, export
from tflite_pipeline.convert.quantize import quantize
from tflite_pipeline.convert.schemes import SCHEMES
from tflite_pipeline.dataset.load import source_digest
from tflite_pipeline.dataset.prepare import prepare
from tflite_pipeline.dataset.probe import take_probe
from tflite_pipeline.handoff.bundle import bundle
from tflite_pipeline.model.identify import identify, likely_generation, model_files
from tflite_pipeline.model.spec import KerasFile, TfliteFile
from tflite_pipeline.profile.measure import measure
from tflite_pipeline.recipe.load import LoadedRecipe
from tflite_pipeline.report.build import Facts, build_report, write_json
from tflite_pipeline.report.page import write_page
from tflite_pipeline.runtime.disk import disk_errors_told
from tflite_pipeline.runtime.tensorflow import worker_kind
from tflite_pipeline.runtime.worker import Kind, Workers
from tflite_pipeline.stage import Observer, Runner, told_by
from tflite_pipeline.store import Entry, Store
from tflite_pipeline.targets.litert import check_targets
from tflite_pipeline.train.fit import fit
from tflite_pipeline.validate.compare import compare
from tflite_pipeline.validate.gates import judge, verdict
from tflite_pipeline.validate.interpreter import predict
from tflite_pipeline.validate.spec import Gates

Role = str

HOST = platform.node()
CORES = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@dataclass(frozen=True)
class Options:
    """What the command line adds to a recipe."""

    out: Path
    force: bool = False
    allow_code: bool = False


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
    log = options.out / "logs" / f"{loaded.recipe.name}.log"
    code_folders = (loaded.path.resolve().parent, Path.cwd())
    with disk_errors_told():
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        store = Store(options.out / ".cache", options.force)
        with Workers(log, code_folders) as workers:
            background, runner = ThreadPoolExecutor(1), Runner(store, workers, observer)
            try:
                return _Course(loaded, options, runner, code_folders, background).run(log)
            finally:
                background.shutdown(wait=False, cancel_futures=True)  # its job ends with the workers


@dataclass
class _Course:
    """One run of one recipe."""

    loaded: LoadedRecipe
    options: Options
    runner: Runner
    code_folders: tuple[Path, ...]
    background: ThreadPoolExecutor

    def run(self, log: Path) -> Result:
        recipe = self.loaded.recipe
        model = self._model()
        evaluation = self._samples("evaluation", ()) if recipe.dataset else None
        calibration = self._calibration(evaluation)  # data that is not sound shows before anything slow
        trained = self._train(model, evaluation) if model and recipe.training else None
        reference = self._reference(model, trained, evaluation)
        # The converter works on one core, so the others can run the reference meanwhile.
        predicting = self.background.submit(self._predict, "reference", reference, evaluation, max(1, CORES - 1))
        quantized = self._quantize(reference, calibration)
        predictions = predicting.result(), self._predict("quantized", quantized, evaluation, CORES)
        compared = self._compare(reference, quantized, predictions, evaluation)
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
            targets=list(targets.artifact.checks),
            history=trained.artifact.history if trained else (),
            seconds=self.runner.seconds,
            cached=self.runner.cached,
            versions=_versions(),
        )
        handed = [trained.artifact.file] if trained else []
        handed += [bundle.artifact.path] if bundle else []
        return self._publish(build_report(facts), quantized.artifact.path, handed, log)

    def _model(self) -> Entry[KerasModel] | None:
        """Label the Keras model; a `.tflite` has none, or its original."""
        spec = self.loaded.recipe.model
        if isinstance(spec, TfliteFile):
            if spec.original is None:
                return None
            spec = KerasFile(source="keras_file", path=spec.original)
        with told_by("model"):
            digest = self._digest(model_files(spec, self.code_folders))
        self.runner.keras = worker_kind(likely_generation(spec))
        args = (spec, self.loaded.recipe.seed, digest, self.options.allow_code)
        entry = self.runner.run("model", KerasModel, identify, *args)
        self.runner.keras = worker_kind(entry.artifact.generation)
        return entry

    def _samples(self, role: Role, taken: tuple[str, ...]) -> Entry[Samples]:
        spec, label = _only(self.loaded.recipe.dataset, role), f"dataset {role}"
        with told_by(label):
            digest = source_digest(spec, self.code_folders)
        args = (spec, role, self.loaded.recipe.seed, taken)
        return self.runner.run("dataset", Samples, prepare, *args, label=label, also=digest)

    def _train(self, model: Entry[KerasModel], evaluation: Entry[Samples] | None) -> Entry[TrainedModel]:
        samples = self._samples("training", _digests(evaluation))
        return self.runner.run(
            "train", TrainedModel, fit, self.loaded.recipe.training, model, samples, worker=self.runner.keras
        )

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
        source: Any = model
        if trained:
            source = Entry(trained.artifact.model, trained.digest, trained.seconds, trained.cached)
        batch = recipe.model.batch
        return self.runner.run("export", Reference, export, source, batch, probe, recipe.seed, worker=self.runner.keras)

    def _calibration(self, evaluation: Entry[Samples] | None) -> Entry[Samples] | None:
        recipe = self.loaded.recipe
        if not SCHEMES[recipe.quantization.scheme].calibrated:
            return None
        return self._samples("calibration", _digests(evaluation))

    def _quantize(self, reference: Entry[Reference], calibration: Entry[Samples] | None) -> Entry[QuantizedModel]:
        spec = self.loaded.recipe.quantization
        worker: Kind = "plain" if spec.scheme == "float32" else self.runner.keras
        return self.runner.run("quantize", QuantizedModel, quantize, spec, reference, calibration, worker=worker)

    def _predict(
        self,
        label: str,
        model: Entry[Reference] | Entry[QuantizedModel],
        evaluation: Entry[Samples] | None,
        threads: int,
    ) -> Entry[Predictions] | None:
        if evaluation is None:
            return None
        args = (_file(model), evaluation, threads)
        return self.runner.run("predict", Predictions, predict, *args, label=f"predict {label}")

    def _compare(
        self,
        reference: Entry[Reference],
        quantized: Entry[QuantizedModel],
        predictions: tuple[Entry[Predictions] | None, Entry[Predictions] | None],
        evaluation: Entry[Samples] | None,
    ) -> Entry[Evaluation]:
        spec = self.loaded.recipe.validation
        narrowed = spec.model_copy(update={"gates": Gates(confidence=spec.gates.confidence)})
        asked = self.loaded.recipe.quantization
        both = predictions if evaluation else None
        args = (narrowed, asked.scheme, asked.io, reference, quantized, both, evaluation)
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

    def _publish(self, report: dict[str, Any], model: Path, handed: list[Path], log: Path) -> Result:
        """Fill a fresh folder beside the old result, then put it in its place."""
        fresh = self.runner.store.fresh_folder()
        name = report["model"]["file"]
        shutil.copyfile(model, fresh / name)
        for path in (*handed, log):
            shutil.copyfile(path, fresh / ("log.txt" if path == log else path.name))
        (fresh / "recipe.resolved.yaml").write_text(self.loaded.resolved)
        write_json(fresh / "report.json", report)
        write_page(fresh / "report.html", report)
        folder = self.options.out / self.loaded.recipe.name
        self.runner.store.replace(fresh, folder)
        return Result(folder, folder / name, report)


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


def _versions() -> dict[str, str]:
    names = ("tensorflow", "keras", "tf_keras", "ai-edge-litert", "numpy")
    found = {name: importlib.metadata.version(name) for name in names}
    return {"tflite-pipeline": __version__, "python": sys.version.split()[0], **found}
