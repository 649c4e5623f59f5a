"""The order of the training steps of a recipe: a Keras model or its reference in, what training made of it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tflite_pipeline.artifacts import (
    KerasModel,
    Predictions,
    QuantizedModel,
    Ranges,
    Reference,
    Samples,
    TrainedModel,
    Tuned,
)
from tflite_pipeline.stage import Runner
from tflite_pipeline.store import Entry
from tflite_pipeline.train.fit import fit
from tflite_pipeline.train.spec import Cluster, Fit, Prune, Qat, Step, Tune
from tflite_pipeline.train.tune.predict import predict_rounded
from tflite_pipeline.train.tune.tune import tune

Draft = tuple[Entry[QuantizedModel], Entry[Ranges] | None]
"""The file that the scheme makes of the untrained reference, and the ranges that it was made with."""


@dataclass(frozen=True)
class TrainingSteps:
    """The steps, and what they need; `samples` prepares the training samples when a step first wants them.

    `symmetric` says that int8 activations have zero point 0.
    """

    steps: tuple[Step, ...]
    seed: int
    symmetric: bool
    runner: Runner
    samples: Callable[[], Entry[Samples]]

    @property
    def tunes(self) -> bool:
        """Whether a step trains the graph of the reference."""
        return any(isinstance(step, Tune) for step in self.steps)

    @property
    def qat(self) -> Qat | None:
        """The step that trains under the rounding of the file, which comes last."""
        last = self.steps[-1] if self.steps else None
        return last if isinstance(last, Qat) else None

    def fit(self, model: Entry[KerasModel] | None) -> Entry[TrainedModel] | None:
        """Train the Keras model, where the first step says so."""
        if model is None or not self.steps or not isinstance(self.steps[0], Fit):
            return None
        args = (self.steps[0], model, self.samples())
        return self.runner.run("train", TrainedModel, fit, *args, worker=self.runner.keras)

    def compress(self, reference: Entry[Reference]) -> list[Entry[Tuned]]:
        """Prune and cluster the reference, one step after the other."""
        tuned: list[Entry[Tuned]] = []
        for step in self.steps:
            if isinstance(step, Prune | Cluster):
                tuned.append(self._tune(step, (reference, *tuned[-1:]), None))
        return tuned

    def base(self, reference: Entry[Reference], tuned: list[Entry[Tuned]]) -> Entry[Reference]:
        """Give what is to be quantized, be it as a draft.

        Where a step trains the graph, it comes without the SavedModel, whose weights are those before.
        """
        if tuned:
            return tuned[-1].part(tuned[-1].artifact.reference)
        return reference.part(replace(reference.artifact, saved_model=None), "alone") if self.tunes else reference

    def round(self, reference: Entry[Reference], tuned: list[Entry[Tuned]], draft: Draft) -> list[Entry[Tuned]]:
        """Train under the rounding of the draft; `tuned` is what the steps before made, to which this adds."""
        return [*tuned, self._tune(self.qat, (reference, *tuned[-1:]), (*draft, self.symmetric))]

    def predict(self, tuned: list[Entry[Tuned]], evaluation: Entry[Samples] | None) -> Entry[Predictions] | None:
        """Give what the fake-quantized network computes; nothing without such a network or samples."""
        if evaluation is None or not self.qat:
            return None
        args = (tuned[-1], evaluation)
        label = "predict fake-quant"
        return self.runner.run("rounded", Predictions, predict_rounded, *args, worker="keras2", label=label)

    def told(self, trained: Entry[TrainedModel] | None, tuned: list[Entry[Tuned]]) -> dict[str, Any]:
        """Tell how each step went, for the report; nothing where there is none."""
        made: list[TrainedModel | Tuned] = [*([trained.artifact] if trained else []), *(one.artifact for one in tuned)]
        rows = [
            {"method": step.method, "epochs": step.epochs, "best_epoch": one.best_epoch, "history": one.history}
            for step, one in zip(self.steps, made, strict=True)
        ]
        return {"steps": rows, "kept": tuned[-1].artifact.kept if tuned else {}} if rows else {}

    def _tune(
        self, step: Step | None, start: tuple[Entry[Reference] | Entry[Tuned], ...], draft: tuple[Any, ...] | None
    ) -> Entry[Tuned]:
        args = (step, start, draft, self.samples(), self.seed)
        return self.runner.run("tune", Tuned, tune, *args, worker="keras2", label=step.method if step else "")
