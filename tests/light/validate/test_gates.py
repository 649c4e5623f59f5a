from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from tflite_pipeline.artifacts import Evaluation
from tflite_pipeline.validate.gates import Gate, judge, verdict
from tflite_pipeline.validate.spec import Gates, Validation

TOP1 = {
    "reference": 0.91,
    "quantized": 0.9,
    "drop": 0.01,
    "interval": [-0.01, 0.03],
    "samples": 400,
    "higher_is_better": True,
}


def evaluation(found: str = "full_int8", io: str = "int8", parity: Any = None, agreement: Any = None) -> Evaluation:
    audit = {"found": found, "asked": "full_int8", "io_found": io, "io_asked": "int8", "findings": ["One op is float."]}
    unchecked = {"checked": False, "passed": None, "difference": None, "limit": 1e-3, "samples": 0, "reason": "none."}
    mae = {**TOP1, "reference": 0.1, "quantized": 0.4, "higher_is_better": False}
    return Evaluation({"top1": TOP1, "mae": mae}, agreement or {}, {}, parity or unchecked, audit, (), ())


def trained(within: float | None = 0.97) -> Evaluation:
    """Training cost 0.005, conversion 0.01; so many of the values are within 2 LSB."""
    row = {
        "float": 0.915,
        "fake_quant": 0.91,
        "tflite": 0.9,
        "training_drop": {"drop": 0.005, "interval": [-0.005, 0.015]},
        "conversion_drop": {"drop": 0.01, "interval": [-0.01, 0.03]},
        "samples": 400,
        "higher_is_better": True,
    }
    span = None if within is None else [0.93, 0.99]
    output = {"within_2_lsb": within, "interval": span, "lsb": None if within is None else 0.01, "samples": 100}
    floats = {"within_2_lsb": None, "interval": None, "lsb": None, "samples": 100}
    fidelity = {"metrics": {"top1": row}, "outputs": {"scores": output, "angle": floats}, "warnings": []}
    return replace(evaluation(), fidelity=fidelity)


def named(spec: Gates, name: str, **options: Any) -> Gate:
    defaults = {"evaluation": evaluation(), "size": 1000, "latency_ms": 2.0, "noise": False}
    return next(gate for gate in judge(spec, **{**defaults, **options}) if gate.name == name)


def test_scheme_and_io_are_always_judged() -> None:
    gates = judge(Gates(), evaluation(), 1000, None, noise=False)
    assert [(gate.name, gate.verdict) for gate in gates] == [("scheme", "passed"), ("io", "passed")]
    gates = judge(Gates(), evaluation("mixed", "float32"), 1000, None, noise=False)
    assert [(gate.limit, gate.value, gate.verdict) for gate in gates] == [
        ("full_int8", "mixed", "failed"),
        ("int8", "float32", "failed"),
    ]
    assert gates[0].text == "the file is mixed, asked was full_int8. One op is float."


@pytest.mark.parametrize(
    ("limit", "confidence", "outcome"),
    [
        (0.03, 0.95, "passed"),
        (0.02, 0.95, "undecided"),
        (0.005, 0.95, "failed"),
        (0.02, 0, "passed"),
        (0.01, 0, "passed"),
    ],
)
def test_a_drop_is_judged_by_the_end_of_its_interval(limit: float, confidence: float, outcome: str) -> None:
    gate = named(Gates(max_drop={"top1": limit}, confidence=confidence), "max_drop:top1")
    assert (gate.verdict, gate.value) == (outcome, 0.01)
    assert gate.interval == ((-0.01, 0.03) if confidence else None)


def test_an_undecided_drop_tells_how_many_samples_would_do() -> None:
    gate = named(Gates(max_drop={"top1": 0.02}), "max_drop:top1")
    assert gate.text == (
        "top1 went from 0.91 to 0.9, a drop of 0.01 (between -0.01 and 0.03 on 400 samples), "
        "the limit is 0.02: too few samples to decide, about 1600 would do."
    )
    gate = named(Gates(max_drop={"top1": 0.01}), "max_drop:top1")
    assert "no number of samples can decide" in gate.text


@pytest.mark.parametrize(("limit", "outcome"), [(0.9, "passed"), (0.95, "undecided"), (0.98, "failed")])
def test_agreement_is_judged_by_the_lower_end(limit: float, outcome: str) -> None:
    row = {"value": 0.97, "interval": [0.93, 0.99], "samples": 100, "sqnr_db": 20.0}
    found = evaluation(agreement={"scores": row, "angle": {**row, "value": None, "interval": None}})
    gate = named(Gates(min_agreement=limit), "min_agreement", evaluation=found)
    assert (gate.verdict, gate.value, gate.interval) == (outcome, 0.97, (0.93, 0.99))
    assert ("about 400 would do" in gate.text) == (outcome == "undecided")


@pytest.mark.parametrize(
    ("least", "outcome"),
    [({"top1": 0.9}, "passed"), ({"top1": 0.905}, "failed"), ({"mae": 0.4}, "passed"), ({"mae": 0.3}, "failed")],
)
def test_a_least_value_is_a_greatest_one_for_errors(least: dict[str, float], outcome: str) -> None:
    assert named(Gates(min=least), f"min:{next(iter(least))}").verdict == outcome


@pytest.mark.parametrize(
    ("gate", "limit", "outcome", "text"),
    [
        (
            "max_training_drop",
            0.02,
            "passed",
            "top1 went from 0.915 in float to 0.91 in the fake-quantized network, a drop of 0.005 "
            "(between -0.005 and 0.015 on 400 samples), the limit is 0.02.",
        ),
        ("max_training_drop", 0.004, "failed", "the limit is 0.004."),
        (
            "max_conversion_drop",
            0.02,
            "undecided",
            "top1 went from 0.91 in the fake-quantized network to 0.9 in the file, a drop of 0.01 (between -0.01 and "
            "0.03 on 400 samples), the limit is 0.02: too few samples to decide, about 1600 would do.",
        ),
        ("max_conversion_drop", 0.009, "failed", "the limit is 0.009."),
        ("max_conversion_drop", 0.03, "passed", "the limit is 0.03."),
    ],
)
def test_the_gaps_of_a_training_are_judged_by_their_intervals(gate, limit, outcome, text) -> None:
    found = named(Gates(**{gate: {"top1": limit}}), f"{gate}:top1", evaluation=trained())
    assert found.verdict == outcome
    assert found.text.endswith(text)


@pytest.mark.parametrize(("limit", "outcome"), [(0.9, "passed"), (0.95, "undecided"), (0.98, "failed")])
def test_fidelity_is_judged_by_the_lower_end(limit: float, outcome: str) -> None:
    gate = named(Gates(min_fidelity=limit), "min_fidelity", evaluation=trained())
    assert (gate.verdict, gate.value, gate.interval) == (outcome, 0.97, (0.93, 0.99))
    assert gate.text.startswith("97.00% of the output values lie within 2 LSB of the fake-quantized network's (between")


@pytest.mark.parametrize("found", [evaluation(), trained(None)])
def test_fidelity_that_nothing_measured_fails(found: Evaluation) -> None:
    gate = named(Gates(min_fidelity=0.5), "min_fidelity", evaluation=found)
    assert (gate.verdict, gate.value) == ("failed", None)


def test_gaps_fail_when_nothing_was_made() -> None:
    spec = Gates(max_training_drop={"top1": 0.5}, max_conversion_drop={"top1": 0.5})
    gates = judge(spec, evaluation(), 1000, None, noise=False)[2:]
    assert [gate.name for gate in gates] == ["max_training_drop:top1", "max_conversion_drop:top1"]
    assert all(gate.verdict == "failed" and "could not be checked" in gate.text for gate in gates)


def test_no_gap_fails_by_itself() -> None:
    assert [gate.name for gate in judge(Gates(), trained(), 1000, None, noise=False)] == ["scheme", "io"]


@pytest.mark.parametrize("gate", ["max_drop", "max_training_drop", "max_conversion_drop", "min"])
def test_a_gate_on_a_metric_that_is_not_computed_is_a_mistake(gate: str) -> None:
    spec = Validation.model_validate({"metrics": ["top1"], "gates": {gate: {"top1": 0.1, "auc": 0.1}}})
    text = "must be a metric listed in validation.metrics (top1). Got 'auc'."
    assert list(spec.mistakes()) == [(("gates", gate, "auc"), text)]


def test_size_and_latency_are_judged_by_value() -> None:
    assert named(Gates(max_size=1000), "max_size").verdict == "passed"
    assert named(Gates(max_size=999), "max_size").verdict == "failed"
    assert named(Gates(max_latency_ms=1.9), "max_latency_ms").verdict == "failed"


def test_what_was_not_measured_fails() -> None:
    spec = Gates(max_drop={"auc": 0.1}, min={"auc": 0.1}, min_agreement=0.5, max_latency_ms=1.0)
    gates = judge(spec, evaluation(), 1000, None, noise=False)[2:]
    assert [gate.name for gate in gates] == ["max_drop:auc", "min:auc", "min_agreement", "max_latency_ms"]
    assert all(gate.verdict == "failed" and "could not be checked" in gate.text for gate in gates)


def test_calibration_on_noise_fails_every_accuracy_gate() -> None:
    spec = Gates(max_drop={"top1": 0.5}, min={"top1": 0.1}, max_size=2000)
    gates = judge(spec, evaluation(), 1000, None, noise=True)
    assert [gate.name for gate in gates if gate.verdict == "failed"] == ["max_drop:top1", "min:top1"]
    assert "calibrated on synthetic noise" in gates[2].text


def test_parity_is_judged_where_it_was_checked() -> None:
    row = {"checked": True, "passed": False, "difference": 0.25, "limit": 1e-3, "samples": 4, "reason": ""}
    gate = named(Gates(), "parity", evaluation=evaluation(parity=row))
    assert (gate.verdict, gate.limit, gate.value) == ("failed", 1e-3, 0.25)
    assert gate.text.startswith("the float .tflite differs from the original model by 0.25 of")


@pytest.mark.parametrize(
    ("found", "worst"),
    [(["passed"], "passed"), (["passed", "undecided"], "undecided"), (["undecided", "failed", "passed"], "failed")],
)
def test_the_worst_gate_is_the_verdict(found: list[Any], worst: str) -> None:
    assert verdict([Gate("x", 1, 1, None, each, "") for each in found]) == worst


def test_gates_need_no_numpy() -> None:
    code = "import sys, tflite_pipeline.validate.gates; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_target_that_was_refused_is_a_failed_gate() -> None:
    check = {
        "name": "litert",
        "passed": False,
        "checked_by": "a tool",
        "findings": ["no kernel for X."],
        "told": "runs",
    }
    gate = named(Gates(), "target:litert", targets=[check])
    assert (gate.verdict, gate.text) == ("failed", "no kernel for X: a tool.")


def test_target_that_could_not_be_checked_is_undecided() -> None:
    check = {"name": "web", "passed": None, "checked_by": "not checked", "findings": ["no tool"], "told": ""}
    gate = named(Gates(), "target:web", targets=[check])
    assert (gate.verdict, gate.value, gate.text) == ("undecided", "not checked", "no tool: not checked.")
