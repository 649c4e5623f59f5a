"""A checked recipe in; its file made, examined and judged, and a result folder with a verdict out."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import (
    Bundle,
    Evaluation,
    Hygiene,
    Kernels,
    Parity,
    Predictions,
    Profile,
    QuantizedModel,
    Reference,
    Samples,
    TargetChecks,
    Tuned,
    to_json,
)
from tflite_pipeline.bench import Bench, Options, open_bench
from tflite_pipeline.convert.hygiene import inspect_ranges, manifest
from tflite_pipeline.course import Chain, Course
from tflite_pipeline.handoff.bundle import bundle
from tflite_pipeline.handoff.model_card import choose_facts
from tflite_pipeline.inspecting import Look
from tflite_pipeline.op_errors import report_errors
from tflite_pipeline.profile.measure import measure
from tflite_pipeline.publish import named, publish, versions
from tflite_pipeline.quantizing import CORES, Made
from tflite_pipeline.recipe.load import LoadedRecipe
from tflite_pipeline.release import keep_to, open_release
from tflite_pipeline.report.build import Facts, build_report
from tflite_pipeline.stage import Observer, Runner
from tflite_pipeline.store import Entry
from tflite_pipeline.targets.profiles import check_targets, tool_versions
from tflite_pipeline.validate.audit import Asked
from tflite_pipeline.validate.compare import compare
from tflite_pipeline.validate.gates import Gate, judge, verdict
from tflite_pipeline.validate.interpreter import predict
from tflite_pipeline.validate.kernels import run_kernels
from tflite_pipeline.validate.parity import check_parity
from tflite_pipeline.validate.spec import Gates

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
    facts, files = Run(loaded, bench, Runner(bench.store, bench.workers, observer)).whole()
    report = build_report(facts)
    model = report["model"]["file"]
    held = {model: facts.quantized.path, "log.txt": bench.log, **named(files)}
    publish(bench.store, loaded, report, held, folder, facts.samples["evaluation"])
    return Result(folder, folder / model, report)


@dataclass
class Run(Course):
    """One run of one recipe: its file, and what is found out about it."""

    def whole(self) -> tuple[Facts, list[Path]]:
        """Give what was found out, and the files to hand over beside the quantized one."""
        # Before anything slow, so that a bundle that cannot be read costs no time.
        release = open_release(self.loaded.recipe.validation.gates.compatible_with)
        # Engines and training leave a core idle at times, so it can run the reference meanwhile.
        chain = self.files(lambda *args: self.bench.background.submit(self._predict, "reference", *args))
        targets, facts = self._find_out(chain, release)
        files = [chain.trained.artifact.file] if chain.trained else []
        if facts.verdict == "passed":
            files.append(self._bundle(facts, chain.made.file, chain.evaluation, targets).artifact.path)
        return facts, files

    def _find_out(self, chain: Chain, release: Look | None) -> tuple[Entry[TargetChecks], Facts]:
        """Measure the file and judge it."""
        recipe, reference, quantized = self.loaded.recipe, chain.reference, chain.made.file
        evaluation, calibration = chain.evaluation, chain.calibration
        training = self.training(evaluation)
        record = self._record(chain.draft, calibration, chain.hygiene)
        both = (chain.beside.result(), self._predict("quantized", quantized, evaluation))
        rounded = training.predict(chain.tuned, evaluation)
        compared = self._compare(reference, quantized, (*both, rounded), evaluation, chain.tuned)
        profiles = {
            "reference": self._profile("reference", reference).artifact,
            "quantized": self._profile("quantized", quantized).artifact,
        }
        kernels = self._kernels(quantized, both, evaluation)
        targets = self._targets(reference, quantized)
        gates = self._judge(chain, compared.artifact, profiles["quantized"], targets.artifact, release)
        samples = {"calibration": calibration, "evaluation": evaluation}
        return targets, Facts(
            recipe=self._named(),
            verdict=verdict(gates),
            gates=[to_json(gate) for gate in gates],
            reference=reference.artifact,
            quantized=quantized.artifact,
            evaluation=compared.artifact,
            kernels=kernels.artifact if kernels else None,
            layers=report_errors(recipe, self.runner, chain.made, calibration or evaluation),
            profiles=profiles,
            samples={role: entry.artifact if entry else None for role, entry in samples.items()},
            calibration=record,
            targets=list(targets.artifact.checks),
            history=chain.trained.artifact.history if chain.trained else (),
            training=training.told(chain.trained, chain.tuned),
            recovery=chain.draft.recovery,
            seconds=self.runner.seconds,
            cached=self.runner.cached,
            versions=versions(),
        )

    def _named(self) -> dict[str, Any]:
        """Tell which recipe this is, and what its targets decided."""
        loaded = self.loaded
        told = {"name": loaded.recipe.name, "sha256": loaded.sha256, "path": str(loaded.path)}
        return told | {"decided": list(loaded.decisions)}

    def _judge(
        self, chain: Chain, evaluation: Evaluation, profile: Profile, targets: TargetChecks, release: Look | None
    ) -> list[Gate]:
        limits, quantized = self.loaded.recipe.validation.gates, chain.made.file.artifact
        noise = chain.calibration is not None and chain.calibration.artifact.synthetic
        costs = quantized.path.stat().st_size, profile.latency_ms["p50"]
        gates = judge(limits, evaluation, *costs, noise=noise, targets=targets.checks)
        return gates + keep_to(limits.compatible_with, release, quantized.path, self.declared(chain.evaluation))

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

    def _kernels(
        self,
        quantized: Entry[QuantizedModel],
        predictions: tuple[Entry[Predictions] | None, ...],
        evaluation: Entry[Samples] | None,
    ) -> Entry[Kernels] | None:
        """Try the other kernels of LiteRT on samples that the gates have judged; None where there are none."""
        if evaluation is None:
            return None
        args = (_file(quantized), tuple(self.loaded.recipe.validation.metrics), predictions, evaluation, CORES)
        return self.runner.run("kernels", Kernels, run_kernels, *args, also=HOST)

    def _targets(self, reference: Entry[Reference], quantized: Entry[QuantizedModel]) -> Entry[TargetChecks]:
        args = (self.loaded.recipe.targets, _file(quantized), reference.artifact.layers)
        return self.runner.run("targets", TargetChecks, check_targets, *args, also=[HOST, tool_versions()])

    def _profile(self, label: str, model: Entry[Reference] | Entry[QuantizedModel]) -> Entry[Profile]:
        args = (_file(model), self.loaded.recipe.profile)
        return self.runner.run("profile", Profile, measure, *args, label=f"profile {label}", also=HOST)

    def _bundle(
        self,
        facts: Facts,
        quantized: Entry[QuantizedModel],
        evaluation: Entry[Samples] | None,
        targets: Entry[TargetChecks],
    ) -> Entry[Bundle]:
        kernels = facts.kernels.found if facts.kernels else {}
        told = self.declared(evaluation) | {
            "floor": targets.artifact.floor,
            "spread": kernels.get("spread", {}),
            "tested": kernels.get("tested", []),
            "card": choose_facts(build_report(facts)),
        }
        recipe = self.loaded.recipe
        source = (recipe.dataset, recipe.seed) if recipe.dataset else None
        return self.runner.run("handoff", Bundle, bundle, quantized, recipe.name, told, evaluation, source)


def _file(model: Entry[Reference] | Entry[QuantizedModel]) -> Entry[Path]:
    """Give the file as an entry of its own, identified by nothing but its content."""
    return Entry(model.artifact.path, model.artifact.sha256, 0.0, True)
