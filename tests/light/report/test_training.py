from __future__ import annotations

from typing import Any

import pytest

from tflite_pipeline.report.training import curve, kept_text


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


def test_the_curve_goes_from_the_lowest_to_the_highest_value() -> None:
    drawn = curve(step([UNTRAINED, FIRST, SECOND], 1))
    assert drawn is not None
    assert (drawn["figure"], drawn["from_zero"]) == ("val_accuracy", True)
    dots = drawn["dots"]
    assert [(dot["epoch"], dot["kept"], dot["value"]) for dot in dots] == [
        (0, False, "92.70%"),
        (1, True, "93.00%"),
        (2, False, "94.00%"),
    ]
    held_out, trained = drawn["lines"]
    assert (held_out["kind"], trained["kind"], trained["name"]) == ("val", "train", "accuracy")
    # The training samples' figure is known from the first epoch on; it holds the lowest value and the highest.
    lows, highs = (place.split(",") for place in trained["points"].split())
    assert [dots[1]["at"][0], dots[2]["at"][0]] == [float(lows[0]), float(highs[0])]
    assert float(lows[1]) > dots[0]["at"][1] > dots[1]["at"][1] > dots[2]["at"][1] > float(highs[1])
    assert [label["text"] for label in drawn["heights"]] == ["80.00%", "95.00%"]
    assert [label["text"] for label in drawn["epochs"]] == [0, 1, 2]


def test_labels_of_epochs_do_not_lie_on_each_other() -> None:
    drawn = curve(step([UNTRAINED, *[FIRST] * 98, SECOND], 98))
    assert drawn is not None
    assert [label["text"] for label in drawn["epochs"]] == [0, 99]


def test_a_figure_that_never_changes_is_a_level_line() -> None:
    drawn = curve(step([{"loss": 0.5}, {"loss": 0.5}], 1, "fit"))
    assert drawn is not None
    assert len({dot["at"][1] for dot in drawn["dots"]}) == 1
    assert [label["text"] for label in drawn["heights"]] == ["0.5"]


@pytest.mark.parametrize("history", [[FIRST], [{}, FIRST], []])
def test_there_is_no_curve_of_fewer_than_two_values(history: list[dict[str, float]]) -> None:
    assert curve(step(history, 0)) is None
