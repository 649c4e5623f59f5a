"""What is known of a candidate so far; its row of the table, plain JSON values, comes out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from tflite_pipeline.artifacts import to_json
from tflite_pipeline.profile.race import Lap
from tflite_pipeline.search.candidates import Candidate, Choice
from tflite_pipeline.search.evaluate import Judgement, Look, Made
from tflite_pipeline.search.request import Objective

Status = Literal["made", "accepted", "failed", "hopeless", "larger", "refused"]
Phase = Literal["schemes", "layers", "training", "polish"]


@dataclass(eq=False)
class Trial:
    """A candidate on its way: made, looked at, judged on the search half, perhaps checked on the other one.

    `status` is `larger` where a better file was there already (slower, where latency is the objective), `hopeless`
    where its look was worse than that of one that failed clearly, `refused` where no file came of it.
    """

    choice: Choice
    phase: Phase
    candidate: Candidate | None = None
    made: Made | None = None
    status: Status = "refused"
    why: str = ""
    look: Look | None = None
    search: Judgement | None = None
    check: Judgement | None = None
    lap: Lap | None = None
    seconds: float = 0.0
    against: dict[str, Any] = field(default_factory=dict)

    @property
    def recipe_sha256(self) -> str:
        """Stands for all that its recipe says."""
        return self.candidate.loaded.sha256 if self.candidate else ""

    def cost(self, objective: Objective) -> float:
        """What is to be as low as possible: bytes or milliseconds."""
        if objective == "latency":
            return self.lap.p50 if self.lap else math.inf
        return self.made.bytes if self.made else math.inf

    @property
    def drop(self) -> float:
        """That of the metric on the search half."""
        return float(self.search.metric["drop"]) if self.search else math.inf

    @property
    def worst(self) -> float:
        """The larger drop of both halves, as far as they were measured."""
        return max(self.drop, float(self.check.metric["drop"]) if self.check else self.drop)

    @property
    def nearness(self) -> float:
        """How near it was at a look."""
        return self.look.nearness if self.look else -math.inf

    def row(self) -> dict[str, Any]:
        """Give all that is known."""
        choice = self.choice
        return {
            "candidate": choice.name,
            "phase": self.phase,
            "plan": choice.plan,
            "scheme": choice.scheme,
            "recovery": choice.recovery if isinstance(choice.recovery, str) else list(choice.recovery),
            "method": choice.method or None,
            "qat": choice.qat,
            "rules": None if choice.rules is None else list(choice.rules),
            "overrides": list(self.candidate.overrides) if self.candidate else [],
            "notes": list(self.candidate.notes) if self.candidate else [],
            "recipe_sha256": self.recipe_sha256 or None,
            "status": self.status,
            "why": self.why,
            "bytes": self.made.bytes if self.made else None,
            "sha256": self.made.sha256 if self.made else None,
            "latency": to_json(self.lap),
            "look": to_json(self.look),
            "search": to_json(self.search),
            "check": to_json(self.check),
            "against_winner": self.against or None,
            "seconds": round(self.seconds, 3),
        }
