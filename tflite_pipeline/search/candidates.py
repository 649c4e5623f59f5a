"""The recipe of a search goes in; candidates, each a checked recipe of its own that `run` would take, come out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tflite_pipeline.convert.spec import EVENED
from tflite_pipeline.recipe.load import LoadedRecipe, load_recipe
from tflite_pipeline.recipe.samples import lacks_labels
from tflite_pipeline.recipe.schema import Recipe
from tflite_pipeline.schemes import SCHEMES, permits
from tflite_pipeline.search.fallbacks import Fallback, fallbacks, without_qat
from tflite_pipeline.search.request import Request
from tflite_pipeline.search.variants import effective, read_content
from tflite_pipeline.targets.demands import able_schemes
from tflite_pipeline.train.spec import Tune, steps_of

Rules = tuple[dict[str, str], ...]
Passes = tuple[str, ...]

OTHERS: tuple[Passes, ...] = (EVENED, ("bias_correction",))
"""Recoveries to try after `STRONG`, in their order; what `auto` would choose from, each as a candidate of its own."""
METHODS = ("auto", "minmax", "mse")


@dataclass(frozen=True)
class Choice:
    """What a candidate has instead of what the recipe says.

    `rules` are schemes by layer under `scheme: mixed`, None the recipe's; `method` is a calibration method, "" the
    recipe's; `qat` trains under the rounding of the file; `mark` tells assignments of layers apart.
    """

    scheme: str
    recovery: Passes | str = ()
    method: str = ""
    rules: Rules | None = None
    qat: bool = False
    mark: str = ""

    @property
    def plan(self) -> str:
        """What decides size and speed: candidates of one plan differ in how well it is carried out."""
        return f"{self.scheme}{f' {self.mark}' if self.mark else ''}"

    @property
    def name(self) -> str:
        """What tells it from the others."""
        recovery = self.recovery if isinstance(self.recovery, str) else "+".join(map(_short, self.recovery))
        parts = [self.plan, "qat" if self.qat else "", self.method, f"with {recovery}" if recovery else ""]
        return " ".join(filter(None, parts))


@dataclass(frozen=True)
class Candidate:
    """A choice as a recipe; `overrides` are the `--set` texts that make it, `notes` what gave way to the scheme."""

    choice: Choice
    overrides: tuple[str, ...]
    notes: tuple[str, ...]
    loaded: LoadedRecipe


@dataclass(frozen=True)
class Space:
    """All that a search may choose from; `content` is the recipe with the user's overrides, as it was read."""

    request: Request
    base: Recipe
    content: Mapping[str, Any]

    @classmethod
    def of(cls, request: Request, base: Recipe) -> Space:
        """Open the space of a recipe."""
        return cls(request, base, read_content(request.path, request.overrides))

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes for all layers that are allowed, and that no target refuses."""
        able = able_schemes(self.base.targets)
        return tuple(name for name in SCHEMES if name in able and permits(self.base.search.allow, name))

    @property
    def whole(self) -> tuple[str, ...]:
        """The schemes to try for all layers: an app feeds what `io` says, so they must be able to have it."""
        return tuple(name for name in self.schemes if self.base.quantization.io in SCHEMES[name].io)

    def own(self) -> Choice | None:
        """Give what the recipe itself says, without qat; None where that is not allowed."""
        spec = self.base.quantization
        rules = {rule.scheme for rule in spec.rules if rule.scheme}
        used = rules if spec.scheme == "mixed" else {spec.scheme}
        allowed = all(permits(self.base.search.allow, name) for name in used)
        return Choice(spec.scheme, spec.recovery) if allowed else None

    def recovers(self, scheme: str) -> bool:
        """Tell whether recovery can be had: not on weights that training has made, floats, blocks, by the converter."""
        row = SCHEMES[scheme]
        kept = steps_of(self.base.training)
        tuned = any(isinstance(step, Tune) and step.method != "qat" for step in kept)
        return not (
            tuned or row.weights.startswith("float") or row.block or self.base.quantization.engine == "converter"
        )

    def methods(self, scheme: str) -> tuple[str, ...]:
        """List the calibration methods to try beside the recipe's."""
        own = self.base.quantization.calibration.method
        return tuple(name for name in METHODS if name != own) if SCHEMES[scheme].calibrated else ()

    @property
    def trains(self) -> bool:
        """Whether training is a move: the recipe has a step qat, or names training rows that have labels."""
        if any(step.method == "qat" for step in steps_of(self.base.training)):
            return True
        dataset = self.base.dataset
        return dataset is not None and "training" in dataset.model_fields_set and not lacks_labels(dataset, "training")

    def candidate(self, choice: Choice) -> Candidate:
        """Make the recipe of a choice. Raises RecipeError where there is no such recipe."""
        gave_way = self._gave_way(choice)
        texts = (
            *self.request.overrides,
            f"quantization.scheme={choice.scheme}",
            *(one.override for one in gave_way),
            f"quantization.recovery={json.dumps(choice.recovery)}",
            *([f"quantization.calibration.method={choice.method}"] if choice.method else []),
            *([] if choice.rules is None else [f"quantization.rules={json.dumps(self._rules(choice.rules))}"]),
            *([f"training={json.dumps(self._qat())}"] if choice.qat else []),
            f"validation.gates.max_drop={json.dumps(self._limits())}",
            "validation.gates.confidence=0",
        )
        overrides = effective(texts)
        notes = tuple(dict.fromkeys(one.note for one in gave_way if one.note))
        loaded = load_recipe(self.request.path, overrides, self.request.allow_code)
        return Candidate(choice, overrides, notes, loaded)

    def _gave_way(self, choice: Choice) -> tuple[Fallback, ...]:
        trained = () if choice.qat else without_qat(self.content)
        own = choice.scheme == self.base.quantization.scheme and choice.rules is None
        found = () if own else fallbacks(self.content, choice.scheme, [choice.method])
        return (*trained, *(one for one in found if trained == () or one.key != "training"))

    def _rules(self, rules: Rules) -> list[dict[str, Any]]:
        """Put the recipe's own methods by layer first: they say nothing of schemes."""
        section = self.content.get("quantization")
        own = section.get("rules") if isinstance(section, Mapping) else None
        kept = [
            {key: value for key, value in rule.items() if key != "scheme"} for rule in own or () if "method" in rule
        ]
        return [*kept, *rules]

    def _qat(self) -> Any:
        """Give the recipe's training with a last step qat, whose bits are those of the scheme."""
        training = self.content.get("training")
        steps = training if isinstance(training, list) else [training] if training else []
        last = steps[-1] if steps and steps[-1].get("method") == "qat" else {"method": "qat"}
        kept = steps[:-1] if last in steps else steps
        return [*kept, {key: value for key, value in last.items() if key != "weight_bits"}]

    def _limits(self) -> dict[str, float]:
        gates = self.base.validation.gates
        return {**gates.max_drop, self.base.validation.metrics[0].key: self.request.max_drop}


def counted(schemes: Sequence[str]) -> str:
    """Tell how many layers have which precision, e.g. `12 int4, 3 int8`."""
    words = [SCHEMES[name].weights if SCHEMES[name].activations != "int16" else "int16" for name in schemes]
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(sorted(words, key=_bits)))


def _bits(word: str) -> tuple[int, str]:
    return int(word.removeprefix("int").removeprefix("float")), word


def _short(name: str) -> str:
    return {"weight_clipping": "clipping", "depthwise_search": "depthwise", "bias_correction": "bias"}.get(name, name)
