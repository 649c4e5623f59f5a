"""What was seen of a model and of data in; the preprocessing to begin with, and why, out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Protocol

from tflite_pipeline.errors import StageError
from tflite_pipeline.model.border import listed
from tflite_pipeline.starter.looks import DataLook, Memory, ModelLook, Port, Preprocessing, Scaling, Steps
from tflite_pipeline.starter.steps import AS_THEY_ARE, scalings, shape_steps

CLEARLY = 0.05
"""So much better must one way be than the next to be more than a guess."""
GOOD = 0.6
"""The least top1 at which a model surely gets what it was trained with; many tasks are harder, which is then said."""
UNEXPLAINED = 0.1
"""Share of the means of a BatchNormalization that a scaling may leave unexplained, to be believed."""
REMEMBERED = "as its first BatchNormalization remembers"
CONFIRMED = "with it the first BatchNormalization sees the means that it saw in training."
ESTIMATED = (
    "CHECK: factor and offset are estimates: with them the first BatchNormalization sees the means that it saw in "
    "training. Take the exact numbers if you know them."
)


class Trial(Protocol):
    """Runs the float model on samples of the data."""

    def scores(self, ways: list[Scaling]) -> tuple[list[float | None], list[float], int]:
        """Give the score of each way, how much the outputs vary, and the number of samples."""

    def remembered(self, steps: Steps, ways: list[tuple[float, float]]) -> Memory | None:
        """Tell what the model's first layers remember of how samples were scaled, after `steps`."""


def guess_preprocessing(model: ModelLook, data: DataLook, trial: Trial | None) -> dict[str, Preprocessing]:
    """Give the steps by input name; `trial` runs the float model on samples, where that can tell anything.

    Raises StageError where samples cannot be given the shape that an input takes.
    """
    by_input = {port.name: port for port in model.inputs}
    found = {}
    for name, shape in data.shapes.items():
        port = by_input.get(name, model.inputs[0])
        try:
            steps = shape_steps(shape, port.shape)
        except StageError as error:
            raise StageError(f"input '{port.name}': {error.what}", error.remedy) from error
        reasons = _shape_reasons(steps, port, shape)
        if len(model.inputs) > 1 or not port.dtype.startswith("float"):
            found[name] = _unscaled(steps, reasons, port)
        else:
            found[name] = _scaled(model, data, port, steps, reasons, trial)
    return found


def _shape_reasons(steps: Steps, port: Port, shape: Any) -> tuple[str, ...]:
    if not steps:
        return ()
    reason = f"{' and '.join(next(iter(step)) for step in steps)}: the samples are {listed(shape)}, "
    return (f"{reason}the model takes {listed(port.shape)}.",)


def _unscaled(steps: Steps, reasons: tuple[str, ...], port: Port) -> Preprocessing:
    if port.dtype.startswith("float"):
        text = f"CHECK: the samples of '{port.name}' go to the model as they are. Scale them as in its training."
        return Preprocessing(steps, (*reasons, text), sure=False)
    text = f"'{port.name}' takes {port.dtype}: such numbers, e.g. of words, are not scaled."
    return Preprocessing((*steps, {"cast": {"dtype": port.dtype}}), (*reasons, text), sure=True)


def _scaled(
    model: ModelLook, data: DataLook, port: Port, steps: Steps, reasons: tuple[str, ...], trial: Trial | None
) -> Preprocessing:
    ways = [Scaling(way.name, (*steps, *way.steps)) for way in scalings(data.dtype, data.low, data.high, port.shape)]
    if model.wanted is not None:
        return _as_published(model, data, steps, reasons)
    if trial is None:
        way, why, sure = _by_convention(model, data, ways)
        return Preprocessing(way.steps, (*reasons, why), sure)
    if data.truth == "none":
        return _unmeasured(model, data, ways, reasons, trial)
    metric = "top1" if data.truth == "classes" else "mae"
    tried, spreads, rows = _try(trial, ways)
    if metric == "top1" and max(way.score or 0.0 for way in tried) < _least_good(model):
        more, more_spreads, _ = _try(trial, [way for way in _remembered(trial, ways) if way not in ways])
        tried, spreads = [*tried, *more], [*spreads, *more_spreads]
    usual = ways.index(_by_convention(model, data, ways)[0])
    best = max(range(len(tried)), key=lambda place: _score(tried[place]))
    # A few answers more say nothing: what is usual stays unless another way is clearly better.
    best = best if _clearly_better(_score(tried[best]), _score(tried[usual]), metric) else usual
    told, sure = _measured(tried, best, metric, rows, model)
    return Preprocessing(tried[best].steps, (*reasons, *told), sure, tuple(tried), metric, rows, spreads[best])


def _try(trial: Trial, ways: list[Scaling]) -> tuple[list[Scaling], list[float], int]:
    if not ways:
        return [], [], 0
    scores, spreads, rows = trial.scores(ways)
    return [replace(way, score=score) for way, score in zip(ways, scores, strict=True)], spreads, rows


def _remembered(trial: Trial, ways: list[Scaling]) -> list[Scaling]:
    """Give the usual way that a BatchNormalization confirms, or the one that it asks for; none where it is mute."""
    plain = [(way, line) for way in ways if (line := _line(way, len(ways[0].steps))) is not None]
    memory = trial.remembered(ways[0].steps, [line for _, line in plain])
    if memory is None:
        return []
    left, usual = min(zip(memory.others, (way for way, _ in plain), strict=True), key=lambda pair: pair[0])
    if left < UNEXPLAINED:
        return [usual]
    if memory.unexplained > UNEXPLAINED or memory.factor <= 0:
        return []
    scale = {"scale": {"factor": memory.factor, "offset": memory.offset}}
    return [Scaling(REMEMBERED, (*ways[0].steps, scale))]


def _line(way: Scaling, start: int) -> tuple[float, float] | None:
    """Give factor and offset of a way whose steps from `start` on are one scale, or none."""
    own = way.steps[start:]
    if not own:
        return 1.0, 0.0
    scale = own[0].get("scale") if len(own) == 1 else None
    return (scale["factor"], scale["offset"]) if scale else None


def _unmeasured(
    model: ModelLook, data: DataLook, ways: list[Scaling], reasons: tuple[str, ...], trial: Trial
) -> Preprocessing:
    way, why, sure = _by_convention(model, data, ways)
    if not sure and (known := _remembered(trial, ways)):
        way = known[0]
        why = ESTIMATED if way.name == REMEMBERED else f"scaling, {way.name}: {CONFIRMED}"
    _, spreads, rows = _try(trial, [way])
    return Preprocessing(way.steps, (*reasons, why), sure, rows=rows, spread=spreads[0])


def _as_published(model: ModelLook, data: DataLook, steps: Steps, reasons: tuple[str, ...]) -> Preprocessing:
    """Take what the architecture's authors do with values 0..255."""
    wanted = model.wanted or ()
    if (data.low, data.high) == (0.0, 0.0) or data.dtype == "uint8" or data.high > 1:
        why = f"scaling: what keras calls preprocess_input for {model.kind}, on values 0..255."
        return Preprocessing((*steps, *wanted), (*reasons, why if wanted else _none_needed(model)), sure=True)
    why = f"CHECK: {model.kind} is made for values 0..255; these lie between {data.low:g} and {data.high:g}."
    return Preprocessing((*steps, {"scale": {"factor": 255.0}}, *wanted), (*reasons, why), sure=False)


def _none_needed(model: ModelLook) -> str:
    return f"scaling: none needed, the model does it itself ({model.scaling[0] if model.scaling else model.kind})."


def _by_convention(model: ModelLook, data: DataLook, ways: list[Scaling]) -> tuple[Scaling, str, bool]:
    if model.scaling:
        return ways[0], _none_needed(model), True
    unit = next((way for way in ways if way.name == "to 0..1"), None)
    if data.dtype == "uint8" and unit is not None:
        others = ", ".join(way.name for way in ways if way is not unit)
        return unit, f"CHECK: scaled to 0..1, which is usual. It must be as in training; also usual: {others}.", False
    return ways[0], "CHECK: the values go to the model as they are. Scale them as in its training.", False


def _measured(
    tried: list[Scaling], best: int, metric: str, rows: int, model: ModelLook
) -> tuple[tuple[str, ...], bool]:
    listed_ways = ", ".join(f"{way.name} {_score_text(way.score, metric)}" for way in tried)
    told = f"scaling: tried with the float model on {rows} samples, {metric}: {listed_ways}."
    own = _score(tried[best])
    rival = max((_score(way) for place, way in enumerate(tried) if place != best), default=-math.inf)
    doubt = ""
    if metric == "top1" and own < _least_good(model):
        doubt = (
            f"CHECK: {own:.0%} is little. Were these values, classes or sounds prepared as in training? "
            "Correct the steps until the float model is as good as it was."
        )
    elif tried[best].name == REMEMBERED:
        doubt = ESTIMATED
    elif model.scaling and tried[best].name != AS_THEY_ARE:
        doubt = f"CHECK: the model scales its input itself ({model.scaling[0]}), and yet this way is better."
    elif metric == "mae" and len(tried) == 1:
        doubt = "CHECK that this is the error that the model had in training; else scale the values as there."
    elif not model.scaling and not _clearly_better(own, rival, metric):
        doubt = "CHECK: another way does about as well. Scale the values as in training."
    return (told, doubt) if doubt else (told,), not doubt


def _score(way: Scaling) -> float:
    return -math.inf if way.score is None else way.score


def _clearly_better(one: float, other: float, metric: str) -> bool:
    return one >= other + CLEARLY if metric == "top1" else one > other * (1 - 2 * CLEARLY)


def _least_good(model: ModelLook) -> float:
    return max(GOOD, 1.2 / max(2, model.outputs[0].scores or 2))


def _score_text(score: float | None, metric: str) -> str:
    if score is None:
        return "-"
    return f"{score:.1%}" if metric == "top1" else f"{-score:.4g}"
