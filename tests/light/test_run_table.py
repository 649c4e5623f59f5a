from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.pipeline import Result
from tflite_pipeline.run_table import summary


def lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, report: dict[str, Any]) -> list[str]:
    """What the summary prints between the engine and the latency."""
    monkeypatch.setenv("COLUMNS", "120")
    summary(Result(Path("/build/demo"), Path("/build/demo/model.tflite"), report))
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    first, last = (next(n for n, line in enumerate(printed) if word in line) for word in ("  engine", "  latency"))
    return printed[first + 1 : last]


def test_the_summary_tells_both_gaps_of_a_training(
    capsys, monkeypatch, make_report, fidelity, training, compression
) -> None:
    report = make_report(fidelity, training=training, compression=compression)
    assert lines(capsys, monkeypatch, report) == [
        "  training   prune: kept epoch 2 of 2 (val_accuracy 88.00%)",
        "  training   qat: kept epoch 2 of 3 (val_accuracy 93.10%, before training 92.70%)",
        "  metric     float    fake-quant    .tflite      train drop    convert drop",
        "  top1      93.10%        93.00%     90.00%    +0.10 points    +3.00 points",
        "  fidelity   99.91% of the values are within 2 LSB of the fake-quantized network's, at most 7 LSB apart, "
        "SQNR 38.2 dB (scores)",
        "  fidelity   SQNR 40.0 dB to the fake-quantized network (angle)",
        "  warning    conversion: top1 goes from 0.93 to 0.9.",
        "  metric     float    quantized            drop         interval    samples",
        "  top1      93.10%       90.00%    +3.10 points    +1.90 … +4.30        719",
        "  size       4.1 KiB, 54% of the float file",
        "  weights    50.00% are zero; compressed the file has 2.0 KiB",
    ]


def test_the_summary_says_nothing_of_training_when_there_was_none(capsys, monkeypatch, make_report) -> None:
    found = lines(capsys, monkeypatch, make_report())
    assert [line.split()[0] for line in found] == ["metric", "top1", "size"]


@pytest.mark.parametrize("gate", ["max_training_drop:top1", "max_conversion_drop:top1", "min_fidelity"])
def test_each_gate_of_a_training_has_its_advice(capsys, make_report, gate: str) -> None:
    failed = {"name": gate, "limit": 0.1, "value": 0.2, "interval": None, "verdict": "failed", "text": "too much."}
    report = make_report(verdict="failed", gates=[failed])
    summary(Result(Path("/build"), Path("/build/model.FAILED.tflite"), report))
    *_, advice, more = capsys.readouterr().out.splitlines()
    assert ("train for more epochs" if "training" in gate else "another engine") in advice
    assert more.endswith(f"#gate-{gate.partition(':')[0]}")
