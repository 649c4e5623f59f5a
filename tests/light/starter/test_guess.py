"""Which steps are chosen, and what is said of how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from tflite_pipeline.starter.choices import choose
from tflite_pipeline.starter.guess import REMEMBERED, guess_preprocessing
from tflite_pipeline.starter.looks import DataLook, Memory, ModelLook, Port, Preprocessing, Scaling, Steps

MODEL = ModelLook("m", (Port("x", (8, 8, 1), "float32"),), (Port("y", (10,), "float32", "softmax"),))
DATA = DataLook(
    section={"source": "npz"},
    what="arrays x, y",
    shapes={"": (8, 8, 1)},
    dtype="uint8",
    low=0,
    high=255,
    seen=200,
    truth="classes",
    labels="class numbers 0 to 9",
    classes=(),
    highest=9,
    spread=None,
    counts=(900, 2100),
)


@dataclass
class Scores:
    """Answers by the name of the way, as a model would."""

    by_name: dict[str, float | None]
    memory: Memory | None = None
    asked: list[str] = field(default_factory=list)

    def scores(self, ways: list[Scaling]) -> tuple[list[float | None], list[float], int]:
        self.asked += [way.name for way in ways]
        return [self.by_name.get(way.name, 0.1) for way in ways], [0.3] * len(ways), 200

    def remembered(self, steps: Steps, ways: list[tuple[float, float]]) -> Memory | None:
        return self.memory


def guessed(trial: Scores | None, model: ModelLook = MODEL, data: DataLook = DATA) -> Preprocessing:
    return guess_preprocessing(model, data, trial)[""]


def names(row: Preprocessing) -> list[str]:
    return [next(iter(step)) for step in row.steps]


def test_what_is_clearly_best_is_taken_and_sure() -> None:
    row = guessed(Scores({"as they are": 0.93, "to 0..1": 0.12}))
    assert row.steps == ()
    assert row.sure
    assert "as they are 93.0%" in row.reasons[-1]


def test_what_is_usual_stays_when_nothing_is_clearly_better() -> None:
    row = guessed(Scores({"as they are": 0.83, "to 0..1": 0.82}))
    assert names(row) == ["scale"]
    assert not row.sure
    assert row.reasons[-1].startswith("CHECK: another way does about as well")


def test_the_memory_of_the_model_is_asked_when_no_usual_way_does_well() -> None:
    trial = Scores({REMEMBERED: 0.94}, Memory(0.62, -51.0, 0.005, (9.0, 9.0, 9.0)))
    row = guessed(trial)
    assert row.steps == ({"scale": {"factor": 0.62, "offset": -51.0}},)
    assert "CHECK" in row.reasons[-1]


def test_a_memory_that_explains_nothing_is_not_believed() -> None:
    row = guessed(Scores({}, Memory(3.0, 1.0, 0.7, (0.9, 0.8, 0.9))))
    assert "10% is little" in row.reasons[-1]
    assert REMEMBERED not in [way.name for way in row.tried]


def test_without_labels_a_usual_way_that_the_memory_confirms_is_taken() -> None:
    unlabelled = replace(DATA, truth="none", labels="no labels", highest=None)
    row = guessed(Scores({}, Memory(0.0038, 0.01, 0.0001, (9.0, 0.001, 2.0))), data=unlabelled)
    assert row.steps[0]["scale"]["factor"] == pytest.approx(1 / 255)
    assert "to 0..1: with it the first BatchNormalization" in row.reasons[-1]


def test_a_model_that_scales_itself_gets_samples_as_they_are() -> None:
    row = guessed(None, replace(MODEL, scaling=("Rescaling 'r', x * 0.00392157 + 0",)))
    assert row.steps == ()
    assert row.sure


def test_a_way_that_beats_the_own_scaling_is_doubted() -> None:
    model = replace(MODEL, scaling=("Rescaling 'r', x * 0.00392157 + 0",))
    row = guessed(Scores({"as they are": 0.5, "to 0..1": 0.9}), model)
    assert names(row) == ["scale"]
    assert "scales its input itself" in row.reasons[-1]


@pytest.mark.parametrize(("samples", "drop"), [(2100, 0.01), (700, 0.02), (60, 0.05)])
def test_the_drop_is_one_that_the_samples_can_prove(samples: int, drop: float) -> None:
    row = guessed(Scores({"as they are": 0.93}))
    choices = choose(MODEL, replace(DATA, counts=(30, samples)), {"": row})
    assert choices.gates.value == {"max_drop": {"top1": drop}, "min": {"top1": 0.8}}


def test_a_model_that_is_right_by_chance_does_not_pass() -> None:
    choices = choose(MODEL, DATA, {"": guessed(Scores({}))})
    assert choices.gates.value["min"] == {"top1": 0.5}
    assert "fails until the samples are prepared as in training" in choices.gates.why


def test_numbers_are_compared_with_the_float_outputs_when_there_are_no_labels() -> None:
    model = replace(MODEL, outputs=(Port("price", (1,), "float32", "linear"),))
    unlabelled = replace(DATA, truth="none", labels="no labels", highest=None)
    choices = choose(model, unlabelled, {"": guessed(Scores({}), model, unlabelled)})
    assert choices.metrics.value == ["mae"]
    assert choices.gates.value == {"max_drop": {"mae": 0.01}}  # 5 % of 0.3, to one figure: 0.015 is written 0.01
    assert choices.io.value == "float32"
