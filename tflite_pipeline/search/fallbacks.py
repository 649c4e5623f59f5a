"""A recipe as it was read and a scheme in; what that scheme cannot have, or does not need, out."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from tflite_pipeline.convert.spec import EngineName, Io
from tflite_pipeline.recipe.training_rules import GATES_OF_QAT, can_round
from tflite_pipeline.schemes import SCHEMES, Scheme
from tflite_pipeline.targets.demands import choose_io

SCHEME = "quantization.scheme"
_FOR_INTEGERS = {"calibration": "{}", "rules": "[]", "allow_float": "[]", "symmetric_activations": "false"}
"""Keys that say something only where activations are integers, and the text that takes them back."""
_FOR_INTEGER_WEIGHTS = {"per_channel_dense": "true", "recovery": "[]"}
_GATES = "validation.gates"


@dataclass(frozen=True)
class Fallback:
    """A key of a recipe that gives way to the scheme.

    `key` is what means nothing then (empty where only a part of it does), `override` the `--set` text, `used` the value
    where there is still a choice, `note` what the user is to know.
    """

    key: str
    override: str
    used: str = ""
    note: str = ""


def fallbacks(content: Mapping[str, Any], scheme: str, methods: Collection[str]) -> tuple[Fallback, ...]:
    """Fit a recipe, as it was read, to a scheme that it was not written for; a section that is none has none.

    `methods` are the calibration methods of the whole sweep.
    """
    if scheme not in SCHEMES:
        return ()
    section = content.get("quantization")
    return (
        *(_quantization(section, scheme, methods, targets_of(content)) if isinstance(section, Mapping) else ()),
        *_training(content, scheme),
    )


def _quantization(
    section: Mapping[str, Any], scheme: str, methods: Collection[str], targets: Sequence[str]
) -> Iterator[Fallback]:
    row = SCHEMES[scheme]
    yield from _replaced(section, row, choose_io(scheme, targets))
    if not row.calibrated:
        yield from _taken_back(section, row)
        return
    if "percentile" in methods:
        yield from _percentile(section)
    yield from _rules(section, scheme)


def methods_of(section: Any) -> list[str]:
    """List the calibration methods that a section names, for all layers and by rule."""
    if not isinstance(section, Mapping):
        return []
    calibration, rules = section.get("calibration"), section.get("rules")
    parts = [calibration, *(rules if isinstance(rules, list) else [])]
    return [str(part["method"]) for part in parts if isinstance(part, Mapping) and "method" in part]


def targets_of(content: Mapping[str, Any]) -> list[str]:
    """List the targets that a recipe, as it was read, names."""
    targets = content.get("targets")
    return [name for name in targets if isinstance(name, str)] if isinstance(targets, list) else []


def _replaced(section: Mapping[str, Any], row: Scheme, io: str) -> Iterator[Fallback]:
    choices = (
        ("io", get_args(Io), row.io, io),
        ("engine", get_args(EngineName), ("auto", *row.engines), "auto"),
    )
    for name, known, able, instead in choices:
        value = section.get(name, instead)
        if value in known and value not in able:
            key = f"quantization.{name}"
            note = f"{name} is {instead} where the scheme has no {value}"
            yield Fallback(key, f"{key}={instead}", instead, note)


def means_nothing(key: str, scheme: str) -> bool:
    """Tell whether a dotted key of a recipe decides nothing under a scheme."""
    if scheme not in SCHEMES or SCHEMES[scheme].calibrated:
        return False
    idle = ("dataset.calibration", *(f"quantization.{name}" for name in _idle(SCHEMES[scheme])))
    return any(f"{key}.".startswith(f"{known}.") for known in idle)


def _idle(row: Scheme) -> dict[str, str]:
    if row.weights.startswith("float"):
        return _FOR_INTEGERS | _FOR_INTEGER_WEIGHTS
    return _FOR_INTEGERS | ({"recovery": "[]"} if row.block else {})


def _taken_back(section: Mapping[str, Any], row: Scheme) -> Iterator[Fallback]:
    for name, text in _idle(row).items():
        if name in section:
            yield Fallback(f"quantization.{name}", f"quantization.{name}={text}")


def _percentile(section: Mapping[str, Any]) -> Iterator[Fallback]:
    """Take back the percentile where no method reads it: other variants do."""
    calibration = section.get("calibration")
    if isinstance(calibration, Mapping) and "percentile" in calibration and "percentile" not in methods_of(section):
        rest = {name: value for name, value in calibration.items() if name != "percentile"}
        yield Fallback("quantization.calibration.percentile", f"quantization.calibration={json.dumps(rest)}")


def _rules(section: Mapping[str, Any], scheme: str) -> Iterator[Fallback]:
    """Leave out the schemes of the rules where one scheme is asked for all layers; their methods stay."""
    rules = section.get("rules")
    if scheme == "mixed" or not isinstance(rules, list):
        return
    if any(isinstance(rule, Mapping) and "scheme" in rule for rule in rules):
        rest = [_without_scheme(rule) for rule in rules if not isinstance(rule, Mapping) or _says_more(rule)]
        note = "no schemes by rule where one scheme is for all layers"
        yield Fallback("", f"quantization.rules={json.dumps(rest)}", note=note)


def _without_scheme(rule: Any) -> Any:
    return {name: value for name, value in rule.items() if name != "scheme"} if isinstance(rule, Mapping) else rule


def _says_more(rule: Mapping[str, Any]) -> bool:
    return "scheme" not in rule or "method" in rule


def _training(content: Mapping[str, Any], scheme: str) -> Iterator[Fallback]:
    """Leave out the step qat, and the gates on it, where the scheme rounds nothing that can be trained.

    Where it does, the stated bits of the weights give way to the scheme's, and the gate that counts in steps of the
    output to an output of float. Under `mixed` the rules decide.
    """
    training, row = content.get("training"), SCHEMES[scheme]
    steps = training if isinstance(training, list) else [training]
    last = steps[-1] if steps else None
    if scheme == "mixed" or not isinstance(last, Mapping) or last.get("method") != "qat":
        return
    if not can_round(row):
        yield _last_step(training, None, "no qat where the scheme has no rounding that can be trained")
        yield from _without_gates(content, tuple(GATES_OF_QAT))
        return
    if last.get("weight_bits") not in (None, int(row.weights.removeprefix("int"))):
        rest = {name: value for name, value in last.items() if name != "weight_bits"}
        yield _last_step(training, rest, "weight_bits are those of the scheme")
    if not row.calibrated:
        yield from _without_gates(content, ("min_fidelity",))


def without_qat(content: Mapping[str, Any]) -> tuple[Fallback, ...]:
    """Leave out the step qat, where there is one, and the gates on it."""
    training = content.get("training")
    steps = training if isinstance(training, list) else [training]
    last = steps[-1] if steps else None
    if not isinstance(last, Mapping) or last.get("method") != "qat":
        return ()
    return _last_step(training, None, ""), *_without_gates(content, tuple(GATES_OF_QAT))


def _last_step(training: Any, step: Mapping[str, Any] | None, note: str) -> Fallback:
    """Put another step, or none, in the place of the last one; a single step stays without a list."""
    if not isinstance(training, list):
        return Fallback("training", f"training={json.dumps(step)}", note=note)
    rest = [*training[:-1], *([step] if step else [])]
    return Fallback("training", f"training={json.dumps(rest or None)}", note=note)


def _without_gates(content: Mapping[str, Any], names: Collection[str]) -> Iterator[Fallback]:
    validation = content.get("validation")
    gates = validation.get("gates") if isinstance(validation, Mapping) else None
    for name in names:
        if isinstance(gates, Mapping) and gates.get(name) is not None:
            key = f"{_GATES}.{name}"
            yield Fallback(key, f"{key}={GATES_OF_QAT[name]}", note=f"no {name} where nothing is there to be compared")
