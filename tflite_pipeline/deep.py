"""A checked recipe in; what becomes of each layer, and all that will fail, out: before any training, without data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tflite_pipeline.artifacts import Engine, QuantizedModel, Reference, to_json
from tflite_pipeline.bench import Options, open_bench
from tflite_pipeline.convert.quantize import choose_engine
from tflite_pipeline.convert.uncalibrated import quantize_uncalibrated
from tflite_pipeline.course import Course
from tflite_pipeline.errors import StageError
from tflite_pipeline.recipe.load import LoadedRecipe
from tflite_pipeline.stage import Observer, Runner
from tflite_pipeline.store import Entry
from tflite_pipeline.train.spec import Fit
from tflite_pipeline.train.tune.verdict import Outlook, Wanted, foretell
from tflite_pipeline.validate.audit import Asked, audit

_REMEDIES = {"scheme": "List float ops in quantization.allow_float, or try another scheme.", "io": "Try io: float32."}


@dataclass(frozen=True)
class Foresight:
    """What will become of a recipe's model.

    `outlook` is None where the model cannot be exported, `engine` where none can make the scheme. `failures` are
    `{stage, what, remedy}`, one for each stage that will fail; a gate that will not pass is among them, with the stage
    `gate scheme` or `gate io`. `notes` tell what was not looked at.
    """

    name: str
    scheme: str
    engine: Engine | None
    outlook: Outlook | None
    failures: tuple[dict[str, str], ...]
    notes: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        """Whether nothing will fail, as far as that can be seen without data."""
        rows = self.outlook.rows if self.outlook else ()
        return not self.failures and not any(row.against for row in rows)

    @property
    def exit_code(self) -> int:
        """0 where everything works, else that of a stage that fails."""
        return 0 if self.works else StageError.exit_code

    def to_json(self) -> dict[str, Any]:
        """Give all of it as what `json.dumps` takes."""
        told: dict[str, Any] = to_json(self)
        return {"works": self.works, **told}


def foresee(loaded: LoadedRecipe, options: Options, observer: Observer) -> Foresight:
    """Export the model, quantize it under ranges that nobody took, and tell what becomes of each layer.

    What fails is told in the result. Raises StageError only where the machine fails, such as a full disk.
    """
    with open_bench(loaded.path, loaded.recipe.name, options) as bench:
        return _Look(loaded, Course(loaded, bench, Runner(bench.store, bench.workers, observer))).all()


class _Look:
    """One look at one recipe; failures are collected on the way."""

    def __init__(self, loaded: LoadedRecipe, course: Course) -> None:
        self._recipe, self._course = loaded.recipe, course
        self._failures: list[dict[str, str]] = []

    def all(self) -> Foresight:
        """Go as far as it goes."""
        engine, draft, outlook = None, None, None
        try:
            reference = self._course.untrained()
        except StageError as error:
            self._note(error)
            return self._seen(None, None)
        try:
            engine = self._engine(reference)
            draft = self._draft(engine, reference)
        except StageError as error:
            self._note(error)
        try:
            outlook = self._outlook(reference, draft)
        except StageError as error:
            self._note(error)
        if draft is not None:
            self._audit(draft.artifact, reference.artifact)
        return self._seen(engine, outlook)

    def _note(self, error: StageError) -> None:
        what = f"{error.what}\n{error.log}" if error.log else error.what
        self._failures.append({"stage": error.stage, "what": what, "remedy": error.remedy})

    def _seen(self, engine: Entry[Engine] | None, outlook: Outlook | None) -> Foresight:
        notes: tuple[str, ...] = ()
        if any(isinstance(step, Fit) for step in self._course.training(None).steps):
            notes = ("training.fit: that the model can be trained by Keras was not looked at",)
        scheme = self._recipe.quantization.scheme
        found = engine.artifact if engine else None
        return Foresight(self._recipe.name, scheme, found, outlook, tuple(self._failures), notes)

    def _engine(self, reference: Entry[Reference]) -> Entry[Engine]:
        return self._course.runner.run("engine", Engine, choose_engine, self._recipe.quantization, reference)

    def _draft(self, engine: Entry[Engine], reference: Entry[Reference]) -> Entry[QuantizedModel]:
        runner = self._course.runner
        worker = runner.keras if engine.artifact.name in ("converter", "mlir") else "plain"
        args = (self._recipe.quantization, engine, reference)
        return runner.run("quantize", QuantizedModel, quantize_uncalibrated, *args, worker=worker, label="draft")

    def _outlook(self, reference: Entry[Reference], draft: Entry[QuantizedModel] | None) -> Outlook:
        asked = self._recipe.quantization
        wanted = Wanted(scheme=asked.scheme, allow_float=asked.allow_float, symmetric=asked.symmetric_activations)
        args = (reference, draft, self._course.training(None).steps, wanted)
        outlook = self._course.runner.run("verdict", Outlook, foretell, *args).artifact
        for what, remedy in outlook.obstacles:
            self._failures.append({"stage": "training", "what": what, "remedy": remedy})
        return outlook

    def _audit(self, draft: QuantizedModel, reference: Reference) -> None:
        """Look at the draft as the gates will look at the file."""
        asked = self._recipe.quantization
        wanted = Asked(scheme=asked.scheme, io=asked.io, allow_float=asked.allow_float)
        found = audit(draft.path, wanted, draft.plan, reference.layers)
        for gate, expected, got in (("scheme", asked.scheme, found["found"]), ("io", asked.io, found["io_found"])):
            if got != expected:
                why = " ".join(["", *found["findings"]]) if gate == "scheme" else ""
                what = f"the file must be {expected}. It will be {got}.{why}"
                self._failures.append({"stage": f"gate {gate}", "what": what, "remedy": _REMEDIES[gate]})
