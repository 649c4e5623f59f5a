from __future__ import annotations

import time

import pytest

from tflite_pipeline.search.clock import SEARCHING, Clock, OutOfTimeError


def test_time_of_earlier_attempts_counts():
    clock = Clock(100.0, 30.0, ())
    assert 100 * SEARCHING - 31 < clock.left <= 100 * SEARCHING - 30


def test_steps_that_are_known_cost_nothing_and_need_no_time_left():
    clock = Clock(1.0, 1.0, [("a", "make")])
    with clock.step("a", "make"):
        time.sleep(0.05)
    assert clock.spent < 1.05
    assert clock.knows("a", "make")


def test_a_new_step_is_not_begun_when_no_time_is_left():
    clock = Clock(1.0, 1.0, [("a", "make")])
    with pytest.raises(OutOfTimeError), clock.step("a", "look"):
        pytest.fail("begun")
    assert clock.done == {("a", "make")}


def test_a_step_that_failed_is_not_done():
    clock = Clock(100.0, 0.0, ())
    with pytest.raises(ValueError, match="no"), clock.step("a", "make"):
        raise ValueError("no")
    assert clock.done == set()
    with clock.step("a", "make"):
        pass
    assert clock.done == {("a", "make")}
