"""Candidates go in; their files, how near they are to the float network, and what they score, come out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import Predictions, Samples, TargetChecks, to_json
from tflite_pipeline.bench import Bench
from tflite_pipeline.convert.effects import effect_on
from tflite_pipeline.convert.sensitivity import Sensitivity, measure_sensitivity
from tflite_pipeline.course import Chain
from tflite_pipeline.dataset.halve import Half, halve
from tflite_pipeline.dataset.probe import take_probe
from tflite_pipeline.pipeline import HOST, Answers, Run
from tflite_pipeline.profile.race import Race, race
from tflite_pipeline.quantizing import CORES
from tflite_pipeline.runtime.graph import Graph, read_graphs
from tflite_pipeline.search.assign import Assignment, Ladder, Option, ladder
from tflite_pipeline.search.candidates import Candidate
from tflite_pipeline.stage import Observer, Runner
from tflite_pipeline.store import Entry
from tflite_pipeline.targets.profiles import check_targets, tool_versions
from tflite_pipeline.validate.compare import USUAL_CONFIDENCE, output_of
from tflite_pipeline.validate.gates import judge
from tflite_pipeline.validate.outputs import Side, side_by_side
from tflite_pipeline.validate.scores import score

FEW = 64
"""Samples of the cheap look."""


@dataclass(frozen=True)
class Made:
    """A candidate that has a file, and the stages that made it."""

    candidate: Candidate
    course: Run
    chain: Chain

    @property
    def path(self) -> Path:
        """The file."""
        return self.chain.made.file.artifact.path

    @property
    def sha256(self) -> str:
        """That of the file."""
        return self.chain.made.file.artifact.sha256

    @property
    def bytes(self) -> int:
        """The size of the file."""
        return self.path.stat().st_size


@dataclass(frozen=True)
class Look:
    """How near a file is to the float network on a few samples, without labels; `sqnr_db` is None where equal."""

    sqnr_db: float | None
    agreement: float | None
    samples: int

    @property
    def nearness(self) -> float:
        """The ratio of signal and noise in dB, to compare looks by."""
        return np.inf if self.sqnr_db is None else self.sqnr_db


@dataclass(frozen=True)
class Judgement:
    """A file on a half of the samples: the row of its metric, all gates, and the texts of those that failed."""

    metric: dict[str, Any]
    gates: list[dict[str, Any]]
    failed: tuple[str, ...]


@dataclass
class Bed:
    """Where candidates are tried; what they have in common is made once, by the cache."""

    bench: Bench
    observer: Observer
    metric: str
    _halves: dict[tuple[str, Half], Entry[Samples]] = field(default_factory=dict)

    def make(self, candidate: Candidate) -> Made:
        """Quantize. Raises StageError where that cannot be done."""
        course = Run(candidate.loaded, self.bench, Runner(self.bench.store, self.bench.workers, self.observer))
        return Made(candidate, course, course.files())

    def half(self, made: Made, half: Half) -> Entry[Samples]:
        """Give the half of the evaluation samples."""
        whole = made.chain.evaluation
        if whole is None:
            raise RuntimeError("a search has samples")
        key = whole.digest, half
        if key not in self._halves:
            found = made.course.runner.run("dataset", Samples, halve, whole, half, label=f"dataset {half}")
            self._halves[key] = found
        return self._halves[key]

    def look(self, made: Made) -> Look:
        """Compare with the float network on a few samples of the search half."""
        half = self.half(made, "search")
        few = made.course.runner.run("probe", Samples, take_probe, half, FEW, label="probe search")
        before, after = made.course.answers(made.chain, few, "few")
        found = effect_on(_arrays(before.artifact), _arrays(after.artifact))
        return Look(found.sqnr_db, found.agreement, few.artifact.count)

    def judge(self, made: Made, half: Half) -> Judgement:
        """Measure on a half of the samples, and weigh the gates of the recipe but that of latency."""
        found = made.course.examine(made.chain, self.half(made, half), half)
        recipe, runner = made.candidate.loaded.recipe, made.course.runner
        file = made.chain.made.file.artifact
        entry = Entry(file.path, file.sha256, 0.0, True)
        where = [HOST, tool_versions()]
        args = (recipe.targets, entry, made.chain.reference.artifact.layers)
        targets = runner.run("targets", TargetChecks, check_targets, *args, also=where).artifact
        calibration = made.chain.calibration
        gates = judge(
            recipe.validation.gates.model_copy(update={"max_latency_ms": None}),
            found,
            made.bytes,
            None,
            noise=calibration is not None and calibration.artifact.synthetic,
            targets=targets.checks,
        )
        failed = tuple(f"{gate.name}: {gate.text}" for gate in gates if gate.verdict == "failed")
        return Judgement(found.metrics[self.metric], [to_json(gate) for gate in gates], failed)

    def against(self, best: Made, other: Made) -> dict[str, Any]:
        """Give how much worse the other file scores on the search half, in pairs, and whether that may be chance."""
        samples = self.half(best, "search")
        answers: list[Answers] = [made.course.answers(made.chain, samples, "search") for made in (best, other)]
        sides: dict[Side, Predictions] = {"reference": answers[0][1].artifact, "quantized": answers[1][1].artifact}
        spec = next(row for row in best.candidate.loaded.recipe.validation.metrics if row.key == self.metric)
        output = output_of(spec, side_by_side(sides, samples.artifact))
        found = score(spec.metric, output, ("reference", "quantized"), USUAL_CONFIDENCE)
        low, high = found.interval
        return {"drop": found.drop, "interval": [low, high], "equal": low <= 0 <= high}

    def pace(self, made: Made) -> tuple[int, float]:
        """Give the number of training samples, and the seconds that the float file takes for one on one core."""
        half = self.half(made, "search")
        before, _ = made.course.answers(made.chain, half, "search")
        count = made.course.training(made.chain.evaluation).samples().artifact.count
        return count, before.seconds * CORES / half.artifact.count

    def race(self, several: tuple[Made, ...]) -> Race:
        """Measure the latency of files in turns."""
        files = tuple(Entry(made.path, made.sha256, 0.0, True) for made in several)
        runner, latency = several[0].course.runner, several[0].candidate.loaded.recipe.profile
        return runner.run("profile", Race, race, files, latency, label="latency", also=HOST).artifact

    def sensitivity(self, made: Made, schemes: tuple[str, ...]) -> Sensitivity:
        """Measure what the outputs lose where one op with weights alone has one of the schemes."""
        spec, chain = made.candidate.loaded.recipe.quantization, made.chain
        samples = (chain.calibration or self.half(made, "search"), CORES)
        graph, _ = graph_of(made)
        ops = [op.index for op in graph.ops if graph.weights_of(op)]
        args = (spec, dict.fromkeys(schemes, ops), chain.draft.reference, chain.draft.spread, samples)
        return made.course.runner.run("sensitivity", Sensitivity, measure_sensitivity, *args).artifact

    def ladder(
        self, made: Made, options: tuple[Option, ...], bounds: tuple[float, float] | None = None
    ) -> tuple[Assignment, ...]:
        """Assign schemes to ops, in a worker: the solver prints what nobody asked for."""
        return made.course.runner.run("assign", Ladder, ladder, options, bounds).artifact.rungs


def graph_of(made: Made) -> tuple[Graph, tuple[str, ...]]:
    """Give the graph of what was quantized, and the names of its Keras layers."""
    reference = made.chain.draft.reference.artifact
    return read_graphs(reference.path)[0], reference.layers


def _arrays(predictions: Predictions) -> dict[str, Any]:
    return {name: np.load(path) for name, path in predictions.outputs.items()}
