from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from tflite_pipeline.profile.race import Lap
from tflite_pipeline.search.candidates import Choice
from tflite_pipeline.search.evaluate import Judgement
from tflite_pipeline.search.pareto import draw, front, point
from tflite_pipeline.search.trial import Trial


def trial(name: str, latency: float, drop: float, accepted: bool = True) -> Trial:
    metric = {"drop": drop, "interval": [drop - 0.01, drop + 0.01], "samples": 100}
    made = Trial(Choice(name), "schemes", search=Judgement(metric, [], ()))
    made.lap, made.status = Lap(latency, (latency, latency)), "accepted" if accepted else "failed"
    return made


def test_the_front_holds_what_no_other_beats():
    small, dominated, large = trial("a", 1.0, 0.02), trial("b", 2.0, 0.03), trial("c", 3.0, 0.0)
    equal = trial("d", 3.0, 0.0)
    unjudged = Trial(Choice("e"), "schemes")
    assert front([large, dominated, unjudged, small, equal], "latency") == [small, large]


def test_what_failed_on_unseen_samples_is_not_on_the_front():
    lucky, honest = trial("a", 1.0, 0.0), trial("b", 2.0, 0.001)
    lucky.check = Judgement({"drop": 0.1}, [], ("max_drop:top1: a drop of 0.1",))
    assert front([lucky, honest], "latency") == [honest]


def test_a_point_names_its_recipe_and_whether_it_won():
    one = trial("a", 1.0, 0.02, accepted=False)
    row = point(one, 3, None)
    assert (row["recipe"], row["winner"], row["accepted"], row["drop"]) == ("pareto/3.yaml", False, False, 0.02)
    assert point(one, 1, one)["winner"]


def rows(trials: list[Trial]) -> list[dict[str, Any]]:
    return [{**one.row(), "bytes": 1024} for one in trials]


def test_the_plot_has_labels_the_limit_the_winner_and_what_lies_far_above(tmp_path: Path):
    trials = [trial("a", 1.0, 0.02), trial("b", 2.0, 0.001), trial("c", 0.5, 0.6, accepted=False)]
    kept = front(trials, "latency")
    table = {
        "objective": "latency",
        "metric": "top1",
        "max_drop": 0.01,
        "recipe": {"name": "net"},
        "rows": rows(trials),
    }
    points = [{**point(one, 1, trials[1]), "bytes": 1024} for one in kept]
    draw(table, points, tmp_path / "first.svg")
    draw(table, points, tmp_path / "again.svg")
    text = (tmp_path / "first.svg").read_text()
    assert text == (tmp_path / "again.svg").read_text()
    ElementTree.fromstring(text)
    told = (
        "latency in ms",
        "drop of top1 in points",
        "limit",
        "winner: b",
        "above the edge, up to 60",
        "net: 3 candidates",
    )
    for words in told:
        assert words in text
