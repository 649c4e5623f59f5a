"""An evaluation and limits in, one verdict a limit out; plain Python."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tflite_pipeline.artifacts import Evaluation
from tflite_pipeline.validate.spec import Gates

Verdict = Literal["passed", "failed", "undecided"]
Interval = tuple[float, float]
_TOLD = 5
"""How many findings a gate tells before it counts the rest."""


@dataclass(frozen=True)
class Gate:
    """A limit and how the file stands to it; `text` tells it in one sentence."""

    name: str
    limit: float | str
    value: float | str | None
    interval: Interval | None
    verdict: Verdict
    text: str


def judge(
    spec: Gates,
    evaluation: Evaluation,
    size: int,
    latency_ms: float | None,
    noise: bool,
    targets: Sequence[dict[str, Any]] = (),
) -> list[Gate]:
    """Judge every limit of the recipe, and that the file is what was asked for.

    `size` in bytes; `latency_ms` None where it was not measured; `noise` says that the file was calibrated on noise,
    which fails every accuracy gate; `targets` are the checks of the targets that the recipe names.
    """
    judges = (_drops, _least, _agreements, _fidelities)
    accuracy = [gate for judge_one in judges for gate in judge_one(spec, evaluation)]
    if noise:
        accuracy = [_on_noise(gate) for gate in accuracy]
    sound = [*_kind(evaluation.audit), *_kept(evaluation.compression), *_parity(evaluation.parity)]
    return [*sound, *accuracy, *_costs(spec, size, latency_ms), *map(_target, targets)]


def judge_release(release: Path, changes: Sequence[str]) -> Gate:
    """Judge that an app which works with the last release need not change; `changes` are what it has to follow."""
    told = f"an app that takes {release.name} can take this file as it is."
    text = f"the app must change: {_first(changes)}." if changes else told
    return Gate("compatible_with", str(release), len(changes), None, _by_value(not changes), text)


def verdict(gates: list[Gate]) -> Verdict:
    """Give the worst verdict: a file passes only where all of its gates do."""
    found = {gate.verdict for gate in gates}
    return "failed" if "failed" in found else "undecided" if "undecided" in found else "passed"


def _kind(audit: dict[str, Any]) -> Iterator[Gate]:
    found, asked = audit["found"], audit["asked"]
    findings = "".join(f" {finding}" for finding in audit["findings"])
    text = f"the file is {found}, as asked." if found == asked else f"the file is {found}, asked was {asked}.{findings}"
    yield Gate("scheme", asked, found, None, _by_value(found == asked), text)
    io, io_asked = audit["io_found"], audit["io_asked"]
    text = f"inputs and outputs are {io}" + (", as asked." if io == io_asked else f", asked was {io_asked}.")
    yield Gate("io", io_asked, io, None, _by_value(io == io_asked), text)


def _kept(compression: dict[str, Any]) -> Iterator[Gate]:
    """Judge that the file holds the zeros and shared values that training made."""
    if not compression:
        return
    findings = [f"{row['tensor']} must have {row['expected']}. Got {row['got']}." for row in compression["findings"]]
    told = " ".join(findings[:_TOLD]) + (f" And {len(findings) - _TOLD} more." if len(findings) > _TOLD else "")
    text = (
        told
        or f"zeros and shared values of the weights are those that training made, {compression['zeros']:.2%} zeros."
    )
    yield Gate("compression", "as trained", None, None, _by_value(not findings), text)


def _parity(parity: dict[str, Any]) -> Iterator[Gate]:
    if not parity["checked"]:
        return
    value, limit = parity["difference"], parity["limit"]
    measured = f"the float .tflite differs from the original model by {value or 0:.3g} of its largest output"
    text = parity["reason"] or f"{measured}, the limit is {limit:g}."
    yield Gate("parity", limit, value, None, _by_value(parity["passed"]), text)


def _target(check: dict[str, Any]) -> Gate:
    """Judge a target's check; `passed` None means that it could not be checked, which decides nothing."""
    findings = [finding.rstrip(".") for finding in check["findings"]]
    text = f"{_first(findings) or check['told']}: {check['checked_by']}."
    passed = check["passed"]
    word = "not checked" if passed is None else "yes" if passed else "no"
    return Gate(
        f"target:{check['name']}", "yes", word, None, "undecided" if passed is None else _by_value(passed), text
    )


def _first(findings: Sequence[str]) -> str:
    more = f"; and {len(findings) - _TOLD} more" if len(findings) > _TOLD else ""
    return "; ".join(findings[:_TOLD]) + more


@dataclass(frozen=True)
class _Gap:
    """A limit on how much a metric loses from one side to another: which figures, and what they are called."""

    gate: str
    sides: tuple[str, str]
    drop: str
    text: str


_GAPS = (
    _Gap("max_drop", ("reference", "quantized"), "", "{} went from {:.4g} to {:.4g}"),
    _Gap(
        "max_training_drop",
        ("float", "fake_quant"),
        "training_drop",
        "{} went from {:.4g} in float to {:.4g} in the fake-quantized network",
    ),
    _Gap(
        "max_conversion_drop",
        ("fake_quant", "tflite"),
        "conversion_drop",
        "{} went from {:.4g} in the fake-quantized network to {:.4g} in the file",
    ),
)


def _drops(spec: Gates, evaluation: Evaluation) -> Iterator[Gate]:
    for gap in _GAPS:
        rows = evaluation.fidelity.get("metrics", {}) if gap.drop else evaluation.metrics
        for key, limit in getattr(spec, gap.gate).items():
            name, row = f"{gap.gate}:{key}", rows.get(key)
            if row is None:
                yield _missing(name, limit)
                continue
            text = gap.text.format(key, *(row[side] for side in gap.sides))
            yield _drop(name, limit, {**row, **row.get(gap.drop, {})}, spec, text)


def _drop(name: str, limit: float, row: dict[str, Any], spec: Gates, text: str) -> Gate:
    drop, interval = row["drop"], _interval(row, spec)
    outcome = _weigh(drop, interval, limit)
    worst = (drop, interval[1], limit) if interval else None
    told = f"{text}, a drop of {drop:.4g}{_reason(outcome, limit, interval, row, worst)}"
    return Gate(name, limit, drop, interval, outcome, told)


def _agreements(spec: Gates, evaluation: Evaluation) -> Iterator[Gate]:
    text = "float and quantized name the same class on {:.2%} of the samples"
    rows = {output: row for output, row in evaluation.agreement.items() if row["value"] is not None}
    yield from _shares("min_agreement", spec.min_agreement, rows, spec, text)


def _fidelities(spec: Gates, evaluation: Evaluation) -> Iterator[Gate]:
    text = "{:.2%} of the output values lie within 2 LSB of the fake-quantized network's"
    found = evaluation.fidelity.get("outputs", {})
    rows = {output: {**row, "value": row["within_2_lsb"]} for output, row in found.items() if row["lsb"] is not None}
    yield from _shares("min_fidelity", spec.min_fidelity, rows, spec, text)


def _shares(gate: str, limit: float | None, rows: dict[str, Any], spec: Gates, text: str) -> Iterator[Gate]:
    if limit is None:
        return
    if not rows:
        yield _missing(gate, limit)
    for output, row in rows.items():
        value, interval = row["value"], _interval(row, spec)
        outcome = _weigh(-value, (-interval[1], -interval[0]) if interval else None, -limit)
        worst = (-value, -interval[0], -limit) if interval else None
        told = text.format(value) + _reason(outcome, limit, interval, row, worst)
        yield Gate(gate if len(rows) == 1 else f"{gate}:{output}", limit, value, interval, outcome, told)


def _least(spec: Gates, evaluation: Evaluation) -> Iterator[Gate]:
    for key, limit in spec.min.items():
        name, row = f"min:{key}", evaluation.metrics.get(key)
        if row is None:
            yield _missing(name, limit)
            continue
        value, higher = row["quantized"], row["higher_is_better"]
        passed = value >= limit if higher else value <= limit
        text = f"{key} is {value:.4g}, it must be at {'least' if higher else 'most'} {limit:g}."
        yield Gate(name, limit, value, None, _by_value(passed), text)


def _costs(spec: Gates, size: int, latency_ms: float | None) -> Iterator[Gate]:
    if (most := spec.max_size) is not None:
        text = f"the file has {size} bytes, the limit is {most}."
        yield Gate("max_size", most, size, None, _by_value(size <= most), text)
    if (slowest := spec.max_latency_ms) is not None:
        if latency_ms is None:
            yield _missing("max_latency_ms", slowest)
            return
        text = f"the median latency on this host is {latency_ms:.3g} ms, the limit is {slowest:g} ms."
        yield Gate("max_latency_ms", slowest, latency_ms, None, _by_value(latency_ms <= slowest), text)


def _interval(row: dict[str, Any], spec: Gates) -> Interval | None:
    """Give the interval to judge by; at confidence 0 the value alone counts."""
    return (row["interval"][0], row["interval"][1]) if spec.confidence else None


def _weigh(value: float, interval: Interval | None, limit: float) -> Verdict:
    if value > limit:
        return "failed"
    return "passed" if interval is None or interval[1] <= limit else "undecided"


def _reason(
    outcome: Verdict,
    limit: float,
    interval: Interval | None,
    row: dict[str, Any],
    worst: tuple[float, float, float] | None,
) -> str:
    """Tell the limit, and how many samples would decide; `worst` is value, upper end and limit, higher being worse."""
    count = row["samples"]
    span = f" (between {interval[0]:.4g} and {interval[1]:.4g} on {count} samples)" if interval else ""
    if outcome != "undecided" or worst is None:
        return f"{span}, the limit is {limit:g}."
    value, upper, bound = worst
    if bound <= value:
        return f"{span}, right at the limit {limit:g}, which no number of samples can decide."
    needed = math.ceil(count * ((upper - value) / (bound - value)) ** 2)
    return f"{span}, the limit is {limit:g}: too few samples to decide, about {needed} would do."


def _missing(name: str, limit: float) -> Gate:
    return Gate(name, limit, None, None, "failed", "it could not be checked, because the value was not measured.")


def _on_noise(gate: Gate) -> Gate:
    text = f"the file was calibrated on synthetic noise, which proves nothing about accuracy: {gate.text}"
    return replace(gate, verdict="failed", text=text)


def _by_value(passed: bool) -> Verdict:
    return "passed" if passed else "failed"
