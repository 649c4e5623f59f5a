"""The quantization section of a recipe and a scheme in; what that scheme cannot have, or does not need, out."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from tflite_pipeline.convert.spec import EngineName, Io
from tflite_pipeline.schemes import SCHEMES, Scheme

SCHEME = "quantization.scheme"
_FOR_INTEGERS = {"calibration": "{}", "rules": "[]", "allow_float": "[]", "symmetric_activations": "false"}
"""Keys that say something only where activations are integers, and the text that takes them back."""
_FOR_INTEGER_WEIGHTS = {"per_channel_dense": "true"}


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


def fallbacks(section: Any, scheme: str, methods: Collection[str]) -> tuple[Fallback, ...]:
    """Fit the section, as it was read, to a scheme that it was not written for; what is no section has none.

    `methods` are the calibration methods of the whole sweep.
    """
    if scheme not in SCHEMES or not isinstance(section, Mapping):
        return ()
    row = SCHEMES[scheme]
    if not row.calibrated:
        return (*_replaced(section, row), *_taken_back(section, row))
    percentile = _percentile(section) if "percentile" in methods else ()
    return (*_replaced(section, row), *percentile, *_rules(section, scheme))


def methods_of(section: Any) -> list[str]:
    """List the calibration methods that a section names, for all layers and by rule."""
    if not isinstance(section, Mapping):
        return []
    calibration, rules = section.get("calibration"), section.get("rules")
    parts = [calibration, *(rules if isinstance(rules, list) else [])]
    return [str(part["method"]) for part in parts if isinstance(part, Mapping) and "method" in part]


def _replaced(section: Mapping[str, Any], row: Scheme) -> Iterator[Fallback]:
    choices = (
        ("io", get_args(Io), row.io, "float32"),
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
    return _FOR_INTEGERS | (_FOR_INTEGER_WEIGHTS if row.weights.startswith("float") else {})


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
