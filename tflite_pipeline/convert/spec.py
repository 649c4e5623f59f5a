"""The `quantization` section of a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from tflite_pipeline.errors import did_you_mean
from tflite_pipeline.schemes import SCHEMES, Scheme
from tflite_pipeline.spec import Many, Mistake, Section, Selector

Io = Literal["float32", "int8", "uint8", "int16"]
Method = Literal["auto", "minmax", "moving_average", "sample_percentile", "percentile", "mse", "entropy"]
EngineName = Literal["auto", "mlir", "ai_edge", "converter"]
Pass = Literal[
    "equalization", "bias_absorption", "weight_clipping", "gptq", "adaround", "depthwise_search", "bias_correction"
]

METHOD_SUMMARIES: dict[str, str] = {
    "auto": "sample_percentile; minmax for 16 bits, and where the engine converter calibrates",
    "minmax": "the smallest and the largest value seen",
    "moving_average": "smallest and largest value of each sample, smoothed over the samples",
    "sample_percentile": "a range that holds all values of nine samples in ten, at either end",
    "percentile": "cuts off the share of the values that lies outside `percentile`",
    "mse": "the range with the least mean squared error after rounding and clipping",
    "entropy": "the range whose rounded distribution is nearest to the original one (KL divergence)",
}
HISTOGRAM_METHODS: frozenset[Method] = frozenset({"percentile", "mse", "entropy"})
"""Methods that need to know how the values are spread."""

DEFAULT_METHOD: Method = "sample_percentile"
"""What `auto` is where the ranges are ours."""
CONVERTER_METHODS: frozenset[Method] = frozenset({"auto", "minmax"})
"""What the engine converter, which calibrates by itself, can give."""
PERCENTILE = 99.99

ENGINE_SUMMARIES: dict[str, str] = {
    "auto": "the first engine that can make the scheme for this graph",
    "mlir": "TensorFlow's quantizer on the float reference, with the ranges of the calibrate stage",
    "ai_edge": "ai-edge-quantizer on the float reference, with the ranges of the calibrate stage; needs no TensorFlow",
    "converter": "the public TFLiteConverter on the SavedModel; calibrates by itself, with minmax",
}

RECOVERY_SUMMARIES: dict[Pass, str] = {
    "equalization": "scales channels so that kernels that follow each other have equal ranges; the float outputs stay",
    "bias_absorption": "moves what a channel always has into the bias of the next layer; the float outputs stay",
    "weight_clipping": "cuts off the largest weights of a channel where the others gain more",
    "gptq": "rounds weights one after the other, and those that follow make up for the error",
    "adaround": "learns for each weight whether it goes up or down; instead of gptq",
    "depthwise_search": "rounds the few weights of each channel of a depthwise layer together",
    "bias_correction": "adds to each bias what the quantized layer lacks on average",
}
"""Passes that take back what quantization loses, in the order in which they run."""
BEFORE_CALIBRATION: frozenset[Pass] = frozenset({"equalization", "bias_absorption"})
"""Passes that change weights but not what the model computes; ranges are taken after them."""

STRONG: tuple[Pass, ...] = ("weight_clipping", "gptq", "depthwise_search", "bias_correction")
EVENED: tuple[Pass, ...] = ("equalization", "bias_absorption", "gptq", "depthwise_search", "bias_correction")
"""Passes that go well together, for usual kernels and for channels that differ much in size."""

_HINTS = {
    "int8": " 'int8' alone says too little: full_int8 computes in integers, dynamic_int8 only stores them.",
    "int4": " 'int4' alone says too little: int8x4 computes in integers, dynamic_int4 and weight_int4 only store them.",
}


class Calibration(Section):
    """How ranges are taken from the calibration samples."""

    method: Method = "auto"
    """How the range of a tensor follows from the values seen. Example: `minmax`."""
    percentile: Annotated[float, Field(gt=50, lt=100)] = PERCENTILE
    """For `method: percentile`, the share of the values kept, in percent, at either end. Example: `99.9`."""


class Rule(Selector):
    """What some layers get."""

    scheme: Annotated[str, WithJsonSchema({"type": "string", "enum": [*SCHEMES][:-1]})] | None = None
    """The scheme of these layers, under `scheme: mixed`. Example: `int8x4`."""
    method: Method | None = None
    """The calibration method of what these layers put out. Example: `mse`."""


def _form(value: Any) -> str:
    return "list" if isinstance(value, list | tuple) else "auto"


def _auto_or_list(value: Any) -> Any:
    if value == "auto" or isinstance(value, list | tuple):
        return value
    hint = f" Did you mean [{value}]?" if isinstance(value, str) and value in RECOVERY_SUMMARIES else ""
    raise ValueError(f"must be auto or a list of passes, e.g. [bias_correction]. Got {value!r}.{hint}")


def _bare_op(value: Any) -> Any:
    return {"op": value} if isinstance(value, str) else value


class Quantization(Section):
    """Which scheme, and the dtype at the file's border."""

    scheme: Annotated[str, WithJsonSchema({"type": "string", "enum": list(SCHEMES)})]
    """What weights and activations are stored as, and computed in. Example: `full_int8`."""
    io: Io = "float32"
    """Dtype of the inputs and outputs of the file. Not every scheme allows every one; left out, it is
    float32, or what the targets take. Example: `int8`.

    - `float32`: the app feeds and gets float values; the file converts
    - `int8`: the app feeds and gets int8; what microcontrollers and most NPUs take
    - `uint8`: the app feeds and gets uint8, such as the bytes of an image
    - `int16`: the app feeds and gets int16, with `int16x8`
    """
    engine: EngineName = "auto"
    """Who quantizes; left out, it is chosen by scheme and graph, and the report says which and why. Example:
    `ai_edge`."""
    calibration: Calibration = Calibration()
    """How ranges are taken from the samples of `dataset.calibration`. Example: `{method: mse}`."""
    recovery: Annotated[
        Annotated[Literal["auto"], Tag("auto")] | Annotated[Many[Pass], Tag("list")],
        Discriminator(_form),
        BeforeValidator(_auto_or_list, json_schema_input_type=Literal["auto"] | list[Pass]),
    ] = ()
    """Passes that take back what quantization loses, on the calibration samples, without labels. Example: `auto` or
    `[gptq, depthwise_search, bias_correction]`.

    - `auto`: tries passes, judges by samples that they have not seen, and keeps what surely helps
    """
    rules: Many[Rule] = ()
    """Exceptions by layer; the first rule that fits a layer and says something decides it.
    Example: `[{layer: Conv1, scheme: full_int8}, {tensor: "*", scheme: int8x4}]`."""
    allow_float: Many[Annotated[Selector, BeforeValidator(_bare_op, json_schema_input_type=Selector | str)]] = ()
    """Ops that may compute in float although the scheme is integer; a bare name is an op type, e.g. `SOFTMAX`. Example:
    `[SOFTMAX]`."""
    per_channel_dense: bool = True
    """One scale for each output of a dense layer; false gives one for all, as some accelerators need. Left out, it is
    true, or what the targets demand. Example: `false`."""
    symmetric_activations: bool = False
    """Zero point 0 for int8 activations, as some accelerators need; int16 always has it, SOFTMAX and LOGISTIC never.
    Example: `true`."""

    @property
    def calibrated(self) -> bool:
        """Whether any layer needs calibration samples."""
        schemes = [self.scheme, *(rule.scheme for rule in self.rules if rule.scheme)]
        rows = [SCHEMES[name] for name in schemes if name in SCHEMES and name != "mixed"]
        return any(row.calibrated for row in rows)

    @property
    def needs_samples(self) -> bool:
        """Whether calibration samples are used: for ranges, or to recover."""
        return self.calibrated or bool(self.recovery)

    @property
    def methods(self) -> frozenset[Method]:
        """The calibration methods that any layer asks for."""
        return frozenset({self.calibration.method, *(rule.method for rule in self.rules if rule.method)})

    def mistakes(self) -> Iterator[Mistake]:
        """Tell an unknown scheme, an io or an engine that the scheme cannot have, rules that say nothing."""
        scheme = SCHEMES.get(self.scheme)
        if scheme is None:
            yield ("scheme",), _unknown_scheme(self.scheme)
            return
        if self.io not in scheme.io:
            yield ("io",), f"must be {' or '.join(scheme.io)} with scheme: {self.scheme}. Got '{self.io}'."
        if self.engine not in ("auto", *scheme.engines):
            able = " or ".join(("auto", *(name for name in scheme.engines if name != "none")))
            yield ("engine",), f"must be {able} with scheme: {self.scheme}. Got '{self.engine}'."
        yield from self._rule_mistakes()
        yield from self._calibration_mistakes()
        yield from self._recovery_mistakes(scheme)

    def _rule_mistakes(self) -> Iterator[Mistake]:
        if self.scheme == "mixed" and not any(rule.scheme for rule in self.rules):
            yield ("rules",), "must give a scheme to some layers with scheme: mixed. Got none."
        for number, rule in enumerate(self.rules):
            if rule.scheme is None and rule.method is None:
                yield ("rules", number), "must give a scheme or a method. Got neither."
            if rule.scheme is None:
                continue
            if self.scheme != "mixed":
                text = (
                    f"must be left out with scheme: {self.scheme}. Got '{rule.scheme}'. Set quantization.scheme: mixed"
                )
                yield ("rules", number, "scheme"), f"{text}, and give the other layers a scheme with a last rule."
            elif rule.scheme == "mixed" or rule.scheme not in SCHEMES:
                yield ("rules", number, "scheme"), _unknown_scheme(rule.scheme, without="mixed")

    def _calibration_mistakes(self) -> Iterator[Mistake]:
        if self.engine == "converter" and (others := self.methods - CONVERTER_METHODS):
            got = ", ".join(sorted(others))
            text = f"must be minmax with engine: converter, which calibrates by itself. Got {got}."
            yield ("calibration", "method"), text
        if self.calibration.percentile != PERCENTILE and "percentile" not in self.methods:
            yield ("calibration", "percentile"), f"must come with method: percentile. Got '{self.calibration.method}'."

    def _recovery_mistakes(self, scheme: Scheme) -> Iterator[Mistake]:
        if not self.recovery:
            return
        if scheme.weights.startswith("float"):
            text = f"must be left out with scheme: {self.scheme}, whose weights are not rounded to integers."
            yield ("recovery",), f"{text} Got {passes_text(self.recovery)}."
        if self.engine == "converter":
            text = "must be left out with engine: converter, which takes the weights from the SavedModel."
            yield ("recovery",), f"{text} Got {passes_text(self.recovery)}."
        if scheme.block:
            text = f"must be left out with scheme: {self.scheme}, whose weights have a scale for each block."
            yield ("recovery",), f"{text} Got {passes_text(self.recovery)}. Use dynamic_int4."
        repeated = {name for name in self.recovery if self.recovery.count(name) > 1}
        if repeated and self.recovery != "auto":
            yield ("recovery",), f"must name each pass once. Got {', '.join(sorted(repeated))} more than once."
        if {"gptq", "adaround"} <= set(self.recovery):
            yield ("recovery",), "must have one way to round. Got gptq and adaround. Leave one out."


def as_made(spec: Quantization) -> Quantization:
    """Give the section for weights and ranges that were made for it, trained or recovered: they are taken as is."""
    rules = tuple(rule.model_copy(update={"method": None}) for rule in spec.rules if rule.scheme)
    return spec.model_copy(update={"calibration": Calibration(method="minmax"), "recovery": (), "rules": rules})


def passes_text(recovery: str | tuple[str, ...]) -> str:
    """List passes for a message."""
    return recovery if isinstance(recovery, str) else ", ".join(recovery)


def _unknown_scheme(name: str, without: str = "") -> str:
    known = [scheme for scheme in SCHEMES if scheme != without]
    return f"must be one of {', '.join(known)}. Got '{name}'.{_HINTS.get(name) or did_you_mean(name, known)}"
