"""A search under way: candidates are made, looked at and judged within the budget, and the best so far is kept."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tflite_pipeline.errors import RecipeError, StageError
from tflite_pipeline.search.candidates import Choice, Space
from tflite_pipeline.search.clock import Clock
from tflite_pipeline.search.evaluate import Bed
from tflite_pipeline.search.request import Objective
from tflite_pipeline.search.sweep import BEFORE_QUANTIZATION
from tflite_pipeline.search.trial import Phase, Trial
from tflite_pipeline.stage import Observer

CLEARLY = 2.0
"""Decibels by which a look must be worse than that of a file that failed clearly, to spare the evaluation."""
MOST_JUDGED = 2
"""Candidates of one plan that are judged, the nearest to the float network first."""


class SearchObserver(Observer, Protocol):
    """Who watches a search."""

    def phase(self, name: str) -> None:
        """Note that a phase starts."""

    def candidate(self, name: str, left: float) -> None:
        """Note that a candidate is worked on, and how many seconds are left."""

    def tried(self, row: dict[str, Any], best: dict[str, Any] | None) -> None:
        """Note what became of a candidate, and which one is the best so far."""


@dataclass
class Hunt:
    """The candidates so far and the best of them; `keep` writes down where the search is, after each step.

    `timeline` has a row for each time that something became known of a candidate, with the seconds of work until then;
    `earlier` has those seconds, by candidate and status, of what an earlier attempt found out.
    """

    bed: Bed
    space: Space
    clock: Clock
    observer: SearchObserver
    keep: Callable[[Hunt], None]
    trials: list[Trial] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    best: Trial | None = None
    timeline: list[dict[str, Any]] = field(default_factory=list)
    earlier: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @property
    def objective(self) -> Objective:
        """What is to be as low as possible."""
        return self.space.request.objective

    def make(self, choice: Choice, phase: Phase) -> Trial:
        """Make the file of a choice, unless it was made before; one that cannot be had is `refused`."""
        trial = next((one for one in self.trials if one.choice == choice), None)
        if trial is not None:
            return trial
        trial = Trial(choice, phase)
        try:
            trial.candidate = self.space.candidate(choice)
        except RecipeError as error:
            trial.why = "; ".join(problem.text for problem in error.problems)
            self.trials.append(trial)
            return trial
        with self._working(trial, "make"):
            try:
                trial.made = self.bed.make(trial.candidate)
                trial.status = "made"
            except StageError as error:
                if error.stage in BEFORE_QUANTIZATION:
                    raise
                trial.why = error.what
            self.trials.append(trial)
        return trial

    def look(self, trial: Trial) -> None:
        """Compare a file with the float network on a few samples, once."""
        if trial.made is not None and trial.look is None:
            with self._working(trial, "look"):
                trial.look = self.bed.look(trial.made)

    def may_win(self, trial: Trial) -> bool:
        """Tell whether a file would be the best if it held the limit; one of the best's own plan may be better."""
        if trial.made is None:
            return False
        same = self.best is None or self.best.choice.plan == trial.choice.plan
        if same or self.best is None or trial.cost(self.objective) < self.best.cost(self.objective):
            if trial.status == "larger":  # than one that did not hold on unseen samples
                trial.status, trial.why = "made", ""
            return True
        if trial.status in ("made", "larger"):
            trial.status, trial.why = "larger", f"{self.best.choice.name} is not {_worse(self.objective)}"
        return False

    def judge(self, trial: Trial) -> bool:
        """Measure a file on the search half; tell whether no gate fails there."""
        if trial.made is None or trial.status == "hopeless":
            return False
        if trial.search is None:
            self.look(trial)
            if self._is_hopeless(trial):
                return False
            with self._working(trial, "search"):
                trial.search = self.bed.judge(trial.made, "search")
                trial.status = "failed" if trial.search.failed else "accepted"
                trial.why = "; ".join(trial.search.failed)
                self._crown()
        return trial.status == "accepted"

    def judge_nearest(self, trials: Sequence[Trial]) -> Trial | None:
        """Judge files of one plan, the nearest to the float network first; give the first one that is accepted."""
        ready = [trial for trial in trials if trial.status in ("made", "larger") and self.may_win(trial)]
        for trial in ready:
            self.look(trial)
        ready.sort(key=lambda trial: -trial.nearness)
        return next((trial for trial in ready[:MOST_JUDGED] if self.judge(trial)), None)

    def accepted(self) -> list[Trial]:
        """List what holds the limit on the search half, the best of each plan, the best plan first."""
        by_plan: dict[str, Trial] = {}
        for trial in self.trials:
            if trial.status == "accepted":
                known = by_plan.setdefault(trial.choice.plan, trial)
                if _rank(trial) < _rank(known):
                    by_plan[trial.choice.plan] = trial
        return sorted(by_plan.values(), key=lambda trial: (trial.cost(self.objective), trial.drop))

    def note(self, text: str) -> None:
        """Keep what the user is to know, once."""
        if text not in self.notes:
            self.notes.append(text)

    def disown(self, trial: Trial) -> None:
        """Take an accepted candidate for one that failed, since it did so on samples that it had not seen."""
        trial.status = "failed"
        trial.why = "; ".join(trial.check.failed) if trial.check else ""
        self._crown()
        self._tell(trial)

    def nearest(self) -> Trial | None:
        """Give the file that was measured to lose least, or else that looked nearest."""
        measured = [trial for trial in self.trials if trial.made is not None]
        return min(measured, key=lambda trial: (trial.worst, -trial.nearness), default=None)

    def _is_hopeless(self, trial: Trial) -> bool:
        if trial.choice.qat:  # a trained network need not be near the float one
            return False
        limit = self.space.request.max_drop
        clear = [
            one.nearness for one in self.trials if one.search is not None and one.search.metric["interval"][0] > limit
        ]
        if trial.nearness + CLEARLY >= max(clear, default=trial.nearness):
            return False
        trial.status = "hopeless"
        trial.why = f"{trial.nearness:.1f} dB from float, and one at {max(clear):.1f} dB lost clearly too much"
        self._tell(trial)
        return True

    def _crown(self) -> None:
        self.best = next(iter(self.accepted()), None)

    @contextlib.contextmanager
    def _working(self, trial: Trial, step: str) -> Iterator[None]:
        """Do a step of a trial: its time is counted, and what came of it is written down and told."""
        self.observer.candidate(trial.choice.name, self.clock.left)
        self.keep(self)  # a step that is killed is lost, the time before it is not
        begin = time.perf_counter()
        with self.clock.step(trial.recipe_sha256, step):
            yield
        trial.seconds += time.perf_counter() - begin
        self._tell(trial)

    def _tell(self, trial: Trial) -> None:
        self._note_moment(trial)
        self.keep(self)
        if trial.status != "made":
            self.observer.tried(trial.row(), self.best.row() if self.best else None)

    def _note_moment(self, trial: Trial) -> None:
        best = self.best.choice.name if self.best else None
        told = {"candidate": trial.choice.name, "status": trial.status, "best": best}
        before = [{key: row[key] for key in told} for row in self.timeline]
        if trial.status != "made" and told not in before:
            seconds = self.earlier.get((trial.choice.name, trial.status), self.clock.spent)
            self.timeline.append(told | {"seconds": round(seconds, 3)})


def _rank(trial: Trial) -> tuple[float, float]:
    return trial.drop, -trial.nearness


def _worse(objective: Objective) -> str:
    return "larger" if objective == "size" else "slower"
