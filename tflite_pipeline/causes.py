"""The figures of one op in; why it loses what it loses, and what a recipe can say against that, out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tflite_pipeline.convert.sensitivity import OpEffect
from tflite_pipeline.runtime.graph import FIXED_RANGE
from tflite_pipeline.runtime.grids import SAME_RANGE
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.validate.layer_errors import OpErrors

LITTLE_DB = 40.0
"""An output with so much more power than its error tells the same: of 200 steps it is one."""
_HEARD_DB = 30.0
_CLIPPED = 0.005
_RATIO = 8.0
"""Three bits: so much finer is what the median channel holds than the steps that the largest one needs."""
_SHIFT = 0.25
_ADDED_DB = 1.0
"""Less is a quarter of the error's power."""
_GAIN_DB = 6.0
"""One bit."""
_FEW_STEPS = 16.0
"""Of 256: the values use four of eight bits."""


@dataclass(frozen=True)
class Suspect:
    """An op with what was measured of it; either may be missing.

    `finer` is the effect under the next finer scheme, where that was tried. `recovery` are the passes that a
    recipe could ask for beyond those that it does.
    """

    effect: OpEffect | None
    errors: OpErrors | None
    finer: OpEffect | None = None
    recovery: frozenset[str] = frozenset()

    @property
    def alone_db(self) -> float:
        """How far the outputs are above the error of this op alone."""
        if self.effect is None or self.effect.sqnr_db is None:
            return float("inf")
        return self.effect.sqnr_db

    @property
    def selector(self) -> str:
        """How a rule of the recipe names the op."""
        row = self.effect or self.errors
        if row is None:
            return ""
        layer = row.layer.split(", ")[-1]
        return f"layer: {layer}" if layer else f"tensor: '{row.tensor}'"


@dataclass(frozen=True)
class Cause:
    """A kind of loss: how it is recognised, and the words for it. `name` stays the same over versions."""

    name: str
    fits: Callable[[Suspect], bool]
    tell: Callable[[Suspect], str]
    remedy: Callable[[Suspect], str]


def diagnose(suspect: Suspect) -> tuple[str, str, str]:
    """Give the name of the first cause that fits, the cause in words, and the remedy."""
    cause = next(row for row in CAUSES if row.fits(suspect))
    return cause.name, cause.tell(suspect), cause.remedy(suspect)


def _is_inherited(suspect: Suspect) -> bool:
    errors = suspect.errors
    if errors is None or errors.before_db is None or errors.sqnr_db is None or errors.sqnr_db >= _HEARD_DB:
        return False
    if suspect.effect is None:
        return errors.before_db - errors.sqnr_db < _ADDED_DB
    return suspect.alone_db >= LITTLE_DB


def _is_little(suspect: Suspect) -> bool:
    """Tell whether the op does little alone or, where that was not measured, with all that is before it."""
    if suspect.effect is not None:
        return suspect.alone_db >= LITTLE_DB
    errors = suspect.errors
    return errors is not None and (errors.sqnr_db is None or errors.sqnr_db >= LITTLE_DB)


def _clips(suspect: Suspect) -> bool:
    errors = suspect.errors
    # Kernels prescribe the range of a SOFTMAX, which ends one step below 1.
    return errors is not None and (errors.clipped or 0.0) >= _CLIPPED and errors.op not in FIXED_RANGE


def _has_int4(suspect: Suspect) -> bool:
    if suspect.errors is None or suspect.errors.weights != "int4":
        return False
    return suspect.finer is None or _gain(suspect) >= _GAIN_DB


def _is_uneven(suspect: Suspect) -> bool:
    return suspect.errors is not None and max(_ratios(suspect.errors)) >= _RATIO


def _ratios(errors: OpErrors) -> tuple[float, float]:
    """Give how uneven the channels are that an op makes, and those that it reads."""
    return errors.channels_largest_to_median or 1.0, errors.inputs_largest_to_median or 1.0


def _is_shifted(suspect: Suspect) -> bool:
    errors = suspect.errors
    return errors is not None and errors.shift >= _SHIFT and bool(errors.weights)


def _uses_few_steps(suspect: Suspect) -> bool:
    errors = suspect.errors
    if errors is None or errors.typical_lsb is None or errors.op in FIXED_RANGE:
        return False
    if suspect.finer is not None and _gain(suspect) < _GAIN_DB:
        return False  # more steps would not help
    return errors.activations != "int16" and errors.typical_lsb < _FEW_STEPS


def finer_scheme(scheme: str) -> str:
    """Name the next scheme that rounds less and is of the same kind; nothing where there is none."""
    if SCHEMES[scheme].weights == "int4":
        return "full_int8" if SCHEMES[scheme].calibrated else f"{scheme.split('_')[0]}_int8"
    return "int16x8" if scheme == "full_int8" else ""


def _gain(suspect: Suspect) -> float:
    """Give how many dB the finer scheme is better, for this op alone."""
    if suspect.finer is None:
        return 0.0
    return float("inf") if suspect.finer.sqnr_db is None else suspect.finer.sqnr_db - suspect.alone_db


def _rule(suspect: Suspect) -> str:
    """Name the rule that gives the op the finer scheme where that helps, and else leaves it float."""
    gain = _gain(suspect)
    scheme = suspect.finer.scheme if suspect.finer is not None and gain >= _GAIN_DB else "float32"
    told = "" if scheme == "float32" or gain == float("inf") else f" ({gain:.0f} dB better alone)"
    return f"a rule {{{suspect.selector}, scheme: {scheme}}} under scheme: mixed{told}"


def _recover(*passes: str) -> Callable[[Suspect], str]:
    """Advise passes that the recipe does not ask for yet, or else a finer scheme for the layer."""

    def remedy(suspect: Suspect) -> str:
        left = [name for name in passes if name in suspect.recovery]
        return f"recovery: [{', '.join(left)}], or {_rule(suspect)}" if left else _rule(suspect)

    return remedy


def _clipping(suspect: Suspect) -> str:
    share = suspect.errors.clipped if suspect.errors else None
    return f"{share or 0.0:.2%} of its values lie outside the range of the integers: it is too narrow"


def _ratio(suspect: Suspect) -> str:
    errors = suspect.errors
    if errors is None:
        return ""
    made, read = _ratios(errors)
    shared = ", which share one scale" if errors.granularity == "per_tensor" and made >= read else ""
    which = "its largest channel" if made >= read else "the largest channel that it reads"
    return f"{which} has weights {max(made, read):.0f} times those of the median one{shared}"


def _shifted(suspect: Suspect) -> str:
    share = suspect.errors.shift if suspect.errors else 0.0
    return f"its channels are off by a constant, which makes {share:.0%} of the error's power"


def _shares_range(suspect: Suspect) -> bool:
    return _uses_few_steps(suspect) and suspect.errors is not None and suspect.errors.op in SAME_RANGE


def _averages(suspect: Suspect) -> str:
    steps = suspect.errors.typical_lsb if suspect.errors else None
    return (
        f"few integers are used: it has the scale of what it reads, and its own values are {steps or 0.0:.1f} steps "
        "of 256 in size"
    )


def _rounds_weights(suspect: Suspect) -> bool:
    """Tell whether the weights cost more than the activations: finer activations help little."""
    if suspect.errors is None or not suspect.errors.weights or suspect.finer is None:
        return False
    return suspect.finer.scheme == "int16x8" and _gain(suspect) < _GAIN_DB


def _few(suspect: Suspect) -> str:
    steps = suspect.errors.typical_lsb if suspect.errors else None
    return f"few integers are used: its values are {steps or 0.0:.1f} steps of 256 in size, and outliers take the range"


def _before(suspect: Suspect) -> str:
    heard = suspect.errors.before_db if suspect.errors else None
    own = "it adds less than a quarter of it" if suspect.effect is None else "alone it does little"
    return f"the error comes from before: {own}, and what it reads has {heard or 0.0:.0f} dB already"


def _little(suspect: Suspect) -> str:
    return "nothing: " + (
        "what it puts out is close to float" if suspect.effect is None else "alone it changes the outputs little"
    )


def _is_float(suspect: Suspect) -> bool:
    errors = suspect.errors
    if suspect.effect is not None or errors is None:
        return False
    return errors.activations == "float32" and errors.weights in ("", "float32")


CAUSES: tuple[Cause, ...] = (
    Cause(
        "float", _is_float, lambda _: "it computes in float: its error is that of what it reads", lambda _: "leave it"
    ),
    Cause(
        "inherited",
        _is_inherited,
        _before,
        lambda suspect: (
            "see to the layers before it" + (", those with the least dB alone first" if suspect.effect else "")
        ),
    ),
    Cause(
        "little",
        _is_little,
        _little,
        lambda _: "leave it",
    ),
    Cause(
        "int4",
        _has_int4,
        lambda _: "4 bits are too coarse for its weights",
        _recover("gptq", "bias_correction"),
    ),
    Cause(
        "clipped",
        _clips,
        _clipping,
        lambda suspect: (
            f"a rule {{{suspect.selector}, method: minmax}}, calibration: {{method: minmax}} for all layers, "
            "or more calibration samples"
        ),
    ),
    Cause("uneven_channels", _is_uneven, _ratio, _recover("equalization")),
    Cause("shared_range", _shares_range, _averages, _rule),
    Cause(
        "outliers",
        _uses_few_steps,
        _few,
        lambda suspect: f"a rule {{{suspect.selector}, method: mse}} (or method: percentile), or {_rule(suspect)}",
    ),
    Cause("shift", _is_shifted, _shifted, _recover("bias_correction")),
    Cause(
        "weights",
        _rounds_weights,
        lambda _: "8 bits are coarse for its weights: finer activations would help little",
        _recover("gptq", "bias_correction"),
    ),
    Cause(
        "rounding",
        lambda suspect: suspect.effect is not None or suspect.errors is not None,
        lambda _: "plain rounding: nothing else stands out",
        _rule,
    ),
    Cause("unknown", lambda _: True, lambda _: "not known", lambda _: "leave it"),
)
"""The first that fits counts."""
