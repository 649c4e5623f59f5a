from __future__ import annotations

from typing import Any

from tflite_pipeline.report.build import NO_KERNELS
from tflite_pipeline.report.kernels import kernels_text


def row(kernels: str, samples: int, flips: int | None = 0, **told: Any) -> dict[str, Any]:
    difference = {"scores": told.pop("difference", {"lsb": 0})}
    return {
        "kernels": kernels,
        "samples": samples,
        "flips": flips,
        "delegated": 0,
        "error": "",
        "difference": difference,
    } | told


def test_both_kinds_of_kernels_are_told_by_their_worst_row() -> None:
    rows = [
        row("xnnpack", 200, delegated=64),
        row("builtin", 200, 3, difference={"lsb": 26}),
        row("builtin", 5),
        row("reference", 36),
        row("reference", 15),
    ]
    assert kernels_text({"samples": 200, "ops": 65, "rows": rows}) == (
        "XNNPACK runs 64 of 65 ops; built-in kernels: same class on 197 of 200 samples, at most 26 LSB apart; "
        "reference kernels: same class on 36 of 36 samples, equal to the last bit"
    )


def test_floats_and_refusals_are_told() -> None:
    refused = row("reference", 0, error="it ended", difference={}) | {"difference": {}, "delegated": None}
    rows = [row("xnnpack", 9, None), row("builtin", 9, None, difference={"absolute": 2.0265e-6}), refused]
    assert kernels_text({"samples": 9, "ops": 3, "rows": rows}) == (
        "XNNPACK runs 0 of 3 ops; built-in kernels: on 9 samples at most 2e-06 apart; "
        "reference kernels cannot run the file"
    )


def test_nothing_is_compared_without_samples(make_report) -> None:
    assert kernels_text(NO_KERNELS) == "not compared: there are no evaluation samples"
    assert make_report()["kernels"] == NO_KERNELS
