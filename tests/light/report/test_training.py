from __future__ import annotations

from typing import Any

import pytest

from tflite_pipeline.report.run_charts import training_chart
from tflite_pipeline.report.training import kept_text


def step(history: list[dict[str, float]], best: int, method: str = "qat") -> dict[str, Any]:
    return {"method": method, "epochs": 3, "best_epoch": best, "history": history}


UNTRAINED = {"val_loss": 0.4, "val_accuracy": 0.927}
FIRST = {"loss": 0.5, "accuracy": 0.8, "val_loss": 0.35, "val_accuracy": 0.93}
SECOND = {"loss": 0.25, "accuracy": 0.95, "val_loss": 0.3, "val_accuracy": 0.94}


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (step([UNTRAINED, FIRST, SECOND], 2), "kept epoch 2 of 2 (val_accuracy 94.00%, before training 92.70%)"),
        (
            step([UNTRAINED, FIRST], 0),
            "no epoch of 1 was better, kept the weights from before (val_accuracy 92.70%)",
        ),
        (step([FIRST, SECOND], 1, "fit"), "kept epoch 2 of 2 (val_accuracy 94.00%)"),
        (step([{}, {"loss": 0.5}, {"loss": 0.125}], 2), "kept epoch 2 of 2 (loss 0.125)"),
        (step([{"val_loss": 0.4}, {"loss": 0.5, "val_loss": 0.25}], 1), "kept epoch 1 of 1 (val_loss 0.25, before "),
        (step([{"val_agreement": 0.5}, {"loss": 0.5, "val_agreement": 1.0}], 1), "(val_agreement 100.00%, before "),
        (step([{"loss": 1.0, "accuracy": 0.5}], 0, "fit"), "kept epoch 1 of 1 (accuracy 50.00%)"),
    ],
)
def test_what_was_kept_is_told_in_a_line(row: dict[str, Any], text: str) -> None:
    assert text in kept_text(row)


def test_the_chart_shows_the_figure_of_both_kinds_of_samples_and_what_was_kept() -> None:
    drawn = training_chart(step([UNTRAINED, FIRST, SECOND], 1), 0)
    assert drawn is not None
    assert 'aria-label="val_accuracy by epoch: 92.70% at epoch 0, 94.00% at epoch 2."' in drawn
    for text in (">val_accuracy<", ">accuracy<", ">kept<", ">epoch; 0 is before training<"):
        assert text in drawn


def test_epochs_are_counted_from_one_when_the_state_before_is_not_known() -> None:
    drawn = training_chart(step([{"loss": 0.5}, {"loss": 0.5}], 1, "fit"), 0)
    assert drawn is not None
    assert 'aria-label="loss by epoch: 0.5 at epoch 1, 0.5 at epoch 2."' in drawn
    assert ">epoch<" in drawn


@pytest.mark.parametrize("history", [[FIRST], [{}, FIRST], []])
def test_there_is_no_curve_of_fewer_than_two_values(history: list[dict[str, float]]) -> None:
    assert training_chart(step(history, 0), 0) is None
