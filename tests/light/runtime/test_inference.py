"""Samples are fed to a file, and what it computes is handed on."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import inference, progress

DATA = Path(__file__).parents[2] / "data"
FLOAT = DATA / "float32.tflite"


def collected(job: inference.Job, threads: int) -> dict[int, list[np.ndarray]]:
    found: dict[int, list[np.ndarray]] = {}

    def consume(start: int, outputs: list[np.ndarray]) -> None:
        found[start] = [rows.copy() for rows in outputs]

    inference.run(job, threads, consume, "working")
    return found


@pytest.mark.parametrize("threads", [1, 2, 64])
def test_every_row_is_handed_on_once(features, threads) -> None:
    job = inference.plan(FLOAT, {"features": features})
    found = collected(job, threads)
    assert sorted(found) == list(range(37))
    assert {rows.shape for (rows,) in found.values()} == {(1, 4)}


def test_rows_that_fill_up_the_last_inference_are_cut_off(features) -> None:
    job = inference.plan(DATA / "float32_batch4.tflite", {"": features[:6]})
    found = collected(job, 2)
    assert {start: rows.shape for start, (rows,) in found.items()} == {0: (4, 4), 4: (2, 4)}
    one_by_one = collected(inference.plan(FLOAT, {"": features[:6]}), 1)
    slow = np.concatenate([one_by_one[start][0] for start in range(6)])
    np.testing.assert_allclose(np.concatenate([found[0][0], found[4][0]]), slow, rtol=1e-5)


def test_the_first_rows_come_alone(features) -> None:
    events: list[str] = []

    def consume(start: int, outputs: list[np.ndarray]) -> None:
        events.append(f"begin {start}")
        time.sleep(0.01 if start == 0 else 0)
        events.append(f"end {start}")

    inference.run(inference.plan(FLOAT, {"": features}), 2, consume, "working")
    assert events[:2] == ["begin 0", "end 0"]


def test_the_error_of_the_earliest_rows_is_raised_when_several_fail(features) -> None:
    later = threading.Event()

    def consume(start: int, outputs: list[np.ndarray]) -> None:
        if start == 5:
            assert later.wait(30)
            raise StageError("row 5")
        if start > 5:
            later.set()
            raise StageError(f"row {start}")

    with pytest.raises(StageError, match=r"^row 5$"):
        inference.run(inference.plan(FLOAT, {"": features}), 2, consume, "working")


def test_progress_is_told_in_order(features) -> None:
    told: list[tuple[int, int, str]] = []
    progress.send_to(lambda *row: told.append(row))
    try:
        collected(inference.plan(FLOAT, {"": features[:5]}), 2)
    finally:
        progress._sinks.clear()
    assert told == [(done, 5, "working") for done in range(1, 6)]


def test_samples_go_to_another_file_with_the_same_inputs(features) -> None:
    job = inference.plan(FLOAT, {"": features[:3]})
    twin = inference.elsewhere(job, DATA / "float16.tflite")
    for start, (rows,) in collected(twin, 1).items():
        np.testing.assert_allclose(rows, collected(job, 1)[start][0], atol=0.01)
