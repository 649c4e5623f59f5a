"""Sections of a recipe and its targets go in; what a target cannot have comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.errors import did_you_mean
from tflite_pipeline.model.spec import Model
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.spec import Mistake
from tflite_pipeline.targets.demands import DEMANDS, able_io, able_schemes, demands_of
from tflite_pipeline.targets.names import TARGET_SUMMARIES


def _known_targets(targets: tuple[str, ...]) -> Iterator[Mistake]:
    for position, target in enumerate(targets):
        if target not in TARGET_SUMMARIES:
            listed, hint = ", ".join(TARGET_SUMMARIES), did_you_mean(target, TARGET_SUMMARIES)
            yield ("targets", position), f"must be one of {listed}. Got '{target}'.{hint}"


def _scheme_suits(quantization: Quantization, targets: tuple[str, ...]) -> Iterator[Mistake]:
    demands, scheme = demands_of(targets), quantization.scheme
    whys = {name: demand.refuses[scheme] for name, demand in demands.items() if scheme in demand.refuses}
    if whys:
        able = _any(able_schemes(targets))
        yield ("quantization", "scheme"), f"must be {able} with {_told(whys)}. Got '{scheme}'."


def _io_suits(quantization: Quantization, targets: tuple[str, ...]) -> Iterator[Mistake]:
    io, demands = quantization.io, demands_of(targets)
    whys = {name: demand.io_why for name, demand in demands.items() if demand.io and io not in demand.io}
    if "io" not in quantization.model_fields_set or quantization.scheme not in SCHEMES or not whys:
        return
    every = able_io(quantization.scheme, targets) or DEMANDS[next(iter(whys))].io
    yield (
        ("quantization", "io"),
        f"must be {_any(every)} with {_told(whys)}. Got '{io}'. Left out, the targets decide it.",
    )


def _shapes_suit(model: Model, targets: tuple[str, ...]) -> Iterator[Mistake]:
    names = [name for name, demand in demands_of(targets).items() if demand.fixed]
    if names and model.batch == "dynamic":
        text = f"must be a whole number with {_named(names)} (shapes must be fixed). Got 'dynamic'. Left out, it is 1."
        yield ("model", "batch"), text


def _dense_suits(quantization: Quantization, targets: tuple[str, ...]) -> Iterator[Mistake]:
    demands, scheme = demands_of(targets), quantization.scheme
    whys = {name: demand.one_scale[scheme] for name, demand in demands.items() if scheme in demand.one_scale}
    if whys and "per_channel_dense" in quantization.model_fields_set and quantization.per_channel_dense:
        text = f"must be false with {_told(whys)}. Got true. Left out, the targets decide it."
        yield ("quantization", "per_channel_dense"), text


def _told(whys: dict[str, str]) -> str:
    """Name targets, each group with its reason."""
    groups: dict[str, list[str]] = {}
    for name, why in whys.items():
        groups.setdefault(why, []).append(name)
    return " and ".join(f"{_named(names)} ({why})" for why, names in groups.items())


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    return f"target{'s' if len(listed) > 1 else ''} {', '.join(listed)}"


def _any(names: Iterable[str]) -> str:
    return " or ".join(names)


TARGET_RULES: tuple[Callable[..., Iterator[Mistake]], ...] = (
    _known_targets,
    _scheme_suits,
    _io_suits,
    _shapes_suit,
    _dense_suits,
)
