"""The moves of a search, in their order: schemes for all layers, a scheme for each layer, training, a last polish."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tflite_pipeline.convert.spec import STRONG
from tflite_pipeline.errors import RecipeError, StageError
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.search.assign import (
    FAMILIES,
    Assignment,
    loss_of,
    options_of,
    rules_of,
)
from tflite_pipeline.search.candidates import OTHERS, Choice, Passes, counted
from tflite_pipeline.search.evaluate import graph_of
from tflite_pipeline.search.hunt import Hunt
from tflite_pipeline.search.trial import Phase, Trial
from tflite_pipeline.train.spec import Qat, steps_of

REFINEMENTS = 2
"""How often the step between the smallest ladder rung that holds and the next one is divided again."""
STARTING = 20.0
"""Seconds until a training has begun."""
TRAINING_COST = 20.0
"""How much longer a sample takes in training than it takes the float file."""
_UNROUNDED: Sequence[str] = ("float32", "float16")


def try_schemes(hunt: Hunt) -> None:
    """Judge the recipe as it is, then each scheme for all layers, the smallest or fastest first."""
    own = hunt.space.own()
    if own is not None:
        hunt.judge(hunt.make(own, "schemes"))
    whole = hunt.space.whole
    if others := [name for name in hunt.space.schemes if name not in whole]:
        io = hunt.space.base.quantization.io
        hunt.note(f"{', '.join(others)} cannot have io {io}; quantization.io=float32 searches among them too")
    plain = [hunt.make(Choice(scheme), "schemes") for scheme in whole]
    made = [trial for trial in plain if trial.made is not None]
    _measure(hunt, [trial for trial in hunt.trials if trial.made is not None])
    for trial in sorted(made, key=lambda trial: (trial.cost(hunt.objective), trial.choice.scheme)):
        if hunt.may_win(trial):
            _try_plan(hunt, trial)


def _try_plan(hunt: Hunt, plain: Trial) -> None:
    """Judge a scheme as it is, then with what may take back its loss, the likeliest first, until it is accepted."""
    scheme = plain.choice.scheme
    if hunt.judge_nearest([plain]) or plain.status == "accepted" or not hunt.space.recovers(scheme):
        return
    for recovery in (STRONG, *OTHERS):
        if hunt.judge_nearest(_made(hunt, [replace(plain.choice, recovery=recovery)], "schemes")):
            return
    best = _best_recovery(hunt, scheme)
    choices = [replace(plain.choice, recovery=best, method=method) for method in hunt.space.methods(scheme)]
    hunt.judge_nearest(_made(hunt, choices, "schemes"))


def try_layers(hunt: Hunt) -> None:
    """Give each layer a scheme of its own, where one for all layers loses too much and the next one weighs more."""
    for family in FAMILIES:
        schemes = tuple(name for name in family if name in hunt.space.schemes)
        if hunt.objective == "latency":
            schemes = tuple(name for name in schemes if name not in ("int8x4", "dynamic_int4", "weight_int4"))
        plain = [trial for trial in hunt.trials if trial.choice == Choice(schemes[0])] if schemes else []
        if len(schemes) > 1 and plain and not _is_accepted(hunt, schemes[0]) and hunt.may_win(plain[0]):
            _climb(hunt, plain[0], schemes)


def _climb(hunt: Hunt, plain: Trial, family: tuple[str, ...]) -> None:
    """Find the smallest assignment that holds the limit, by halving a ladder of them, then the step below."""
    if plain.made is None:
        return
    with hunt.clock.step(plain.recipe_sha256, "sensitivity"):
        tried = tuple(name for name in family if name != "float32")
        try:
            found = hunt.bed.sensitivity(plain.made, tried)
        except StageError as error:
            hunt.note(f"no scheme by layer from {' and '.join(family)}: {error.what}")
            return
    options = options_of(found, family)
    recovery = _best_recovery(hunt, family[0]) if hunt.space.recovers(family[0]) else ()
    rungs = [one for one in hunt.bed.ladder(plain.made, options) if len(set(one.values())) > 1]
    for _ in range(1 + REFINEMENTS):
        lower, upper = _halve(hunt, plain, rungs, (family, recovery))
        if lower is None or upper is None:
            return
        bounds = loss_of(options, upper), loss_of(options, lower)
        rungs = [one for one in hunt.bed.ladder(plain.made, options, bounds) if one not in (lower, upper)]
        if not rungs:
            return


def _halve(
    hunt: Hunt, plain: Trial, rungs: Sequence[Assignment], how: tuple[tuple[str, ...], Passes]
) -> tuple[Assignment | None, Assignment | None]:
    """Find the smallest rung that is accepted; give the last that was not, and that one, None where there is none."""
    low, high = -1, len(rungs)
    while low + 1 < high:
        middle = (low + high) // 2
        trial = _rung(hunt, plain, rungs[middle], how)
        known = trial.search is not None or trial.status == "hopeless"
        if trial.made is not None and not known and not hunt.may_win(trial):
            high = middle  # what is larger than the best need not be measured
        elif trial.status == "accepted" or (not known and hunt.judge(trial)):
            high = middle
        else:
            low = middle
    return (rungs[low] if low >= 0 else None), (rungs[high] if high < len(rungs) else None)


def _rung(hunt: Hunt, plain: Trial, chosen: Assignment, how: tuple[tuple[str, ...], Passes]) -> Trial:
    if plain.made is None:
        raise RuntimeError("what has a sensitivity has a file")
    family, recovery = how
    usual = next((name for name in family if SCHEMES[name].weights == "int8"), family[-1])
    graph, layers = graph_of(plain.made)
    rules = rules_of(chosen, graph, layers, usual)
    mark = f"{family[0].rpartition('_')[0]} {counted(list(chosen.values()))}".strip()
    same = {trial.choice.mark: trial.choice.rules for trial in hunt.trials if trial.choice.rules is not None}
    while mark in same and same[mark] != rules:
        mark += "'"
    rounds = any(name not in _UNROUNDED for name in chosen.values())
    trial = hunt.make(Choice("mixed", recovery if rounds else (), rules=rules, mark=mark), "layers")
    _measure(hunt, [trial, *([hunt.best] if hunt.best else [])])
    return trial


def try_training(hunt: Hunt) -> None:
    """Train schemes that were not accepted under their own rounding, where samples and time allow, smallest first."""
    if not hunt.space.trains:
        return
    for family in FAMILIES:
        for scheme in family:
            plain = next((one for one in hunt.trials if one.choice == Choice(scheme) and one.made is not None), None)
            if not SCHEMES[scheme].weights.startswith("int") or _is_accepted(hunt, scheme):
                break
            if plain is not None and hunt.may_win(plain) and _train(hunt, plain):
                break


def _train(hunt: Hunt, plain: Trial) -> bool:
    """Train under the rounding of a scheme, if there is time, and judge; tell whether the file is accepted."""
    choice = replace(plain.choice, qat=True)
    needed = _training_seconds(hunt, plain)
    if needed > hunt.clock.left and not hunt.clock.knows(_recipe_sha256(hunt, choice), "make"):
        left = f"it would take about {needed:.0f} s, and {max(0.0, hunt.clock.left):.0f} s are left"
        hunt.note(f"{choice.name} was left out: {left}")
        return False
    trial = hunt.make(choice, "training")
    _measure(hunt, [trial, *([hunt.best] if hunt.best else [])])
    return hunt.may_win(trial) and hunt.judge(trial)


def polish(hunt: Hunt) -> None:
    """Take back what the best one loses, at no cost in size: its plan with recovery, if it has none."""
    best = hunt.best
    if best is None or best.choice.recovery or best.choice.qat or best.choice.rules is not None:
        return
    if hunt.space.recovers(best.choice.scheme) and best.drop > 0:
        trials = _made(hunt, [replace(best.choice, recovery=STRONG)], "polish")
        _measure(hunt, [*trials, best])
        hunt.judge_nearest(trials)


def _made(hunt: Hunt, choices: Iterable[Choice], phase: Phase) -> list[Trial]:
    trials = [hunt.make(choice, phase) for choice in choices]
    for trial in trials:  # what recovery and calibration decide is not what an inference costs
        twin = next((one for one in hunt.trials if one.choice.plan == trial.choice.plan and one.lap is not None), None)
        trial.lap = trial.lap or (twin.lap if twin else None)
    return [trial for trial in trials if trial.made is not None]


def _measure(hunt: Hunt, trials: Sequence[Trial]) -> None:
    """Time files side by side where latency is the objective; figures of one race go together."""
    racing = [trial for trial in dict.fromkeys(trials) if trial.made is not None]
    if hunt.objective == "latency" and any(trial.lap is None for trial in racing):
        laps = hunt.bed.race(tuple(trial.made for trial in racing if trial.made is not None)).laps
        for trial, lap in zip(racing, laps, strict=True):
            trial.lap = lap


def _best_recovery(hunt: Hunt, scheme: str) -> Passes:
    """Give the passes that came nearest to the float network with this scheme; the strong ones where none was tried."""
    tried = [
        one for one in hunt.trials if one.choice.plan == scheme and one.look and isinstance(one.choice.recovery, tuple)
    ]
    recovered = [one for one in tried if one.choice.recovery]
    found = max(recovered, key=lambda one: one.nearness).choice.recovery if recovered else STRONG
    return found if isinstance(found, tuple) else STRONG


def _recipe_sha256(hunt: Hunt, choice: Choice) -> str:
    try:
        return hunt.space.candidate(choice).loaded.sha256
    except RecipeError:
        return ""


def _is_accepted(hunt: Hunt, plan: str) -> bool:
    return any(trial.choice.plan == plan and trial.status == "accepted" for trial in hunt.trials)


def _training_seconds(hunt: Hunt, plain: Trial) -> float:
    """Estimate how long a training takes, from what the float file takes for a sample."""
    if plain.made is None:
        return 0.0
    step = next((one for one in steps_of(hunt.space.base.training) if isinstance(one, Qat)), Qat(method="qat"))
    samples, seconds = hunt.bed.pace(plain.made)
    return STARTING + step.epochs * samples * seconds * TRAINING_COST
