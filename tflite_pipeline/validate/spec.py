"""The `validation` section of a recipe: which metrics to compute, which gates to hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tflite_pipeline.spec import ByteCount, Finite, Many, Mistake, Positive, RecipePath, Section

METRIC_SUMMARIES = {
    "top1": "share of the samples whose highest output is the label's",
    "top5": "share of the samples whose label is among the five highest outputs",
    "auc": "area under the ROC curve; with more than two classes the mean of each class against the rest",
    "mae": "mean absolute difference from the labels, or from the float outputs where there are none",
    "mse": "mean squared difference from the labels, or from the float outputs where there are none",
    "cosine": "mean cosine similarity to the labels, or to the float outputs where there are none",
}
NEED_LABELS = ("top1", "top5", "auc")
MetricName = Literal["top1", "top5", "auc", "mae", "mse", "cosine"]


def _bare_metric(value: Any) -> Any:
    return {"metric": value} if isinstance(value, str) else value


class MetricRow(Section):
    """A metric of one output; a bare name is enough where the model has one output."""

    metric: MetricName
    """What to compute. Example: `top1`."""
    output: str | None = None
    """The output's name, where the model has several. Example: `scores`."""

    @property
    def key(self) -> str:
        """The name under which gates and the report call it."""
        return self.metric if self.output is None else f"{self.metric}:{self.output}"


class Gates(Section):
    """Limits that the file must hold; each one that is given is checked."""

    max_drop: dict[str, Annotated[Finite, Field(ge=0)]] = {}
    """By metric: how much worse than the float reference it may be. Example: `{top1: 0.01}`."""
    max_training_drop: dict[str, Annotated[Finite, Field(ge=0)]] = {}
    """By metric: how much worse than the float reference the network trained with fake quantization may be. Example:
    `{top1: 0.01}`."""
    max_conversion_drop: dict[str, Annotated[Finite, Field(ge=0)]] = {}
    """By metric: how much worse than the network trained with fake quantization the file may be.
    Example: `{top1: 0.002}`."""
    min: dict[str, Finite] = {}
    """By metric: the least value (for mae and mse: the greatest). Example: `{top1: 0.9}`."""
    min_agreement: Annotated[Finite, Field(gt=0, le=1)] | None = None
    """Share of the samples on which float and quantized name the same class. Example: `0.97`."""
    min_fidelity: Annotated[Finite, Field(gt=0, le=1)] | None = None
    """Share of the output values that lie within 2 LSB of those of the network trained with fake quantization. Example:
    `0.99`."""
    max_size: ByteCount | None = None
    """Largest file. Example: `900KiB` or `4MiB`."""
    max_latency_ms: Positive | None = None
    """Largest median latency on the host that runs the recipe; says little about a phone. Example: `5`."""
    confidence: Annotated[Finite, Field(ge=0, lt=1)] = 0.95
    """Confidence of the interval that must lie within a drop, an agreement or a fidelity; 0 goes by the value alone.
    Example: `0.9`."""
    compatible_with: RecipePath | None = None
    """The `handoff.zip` of the last release: an app that works with it must be able to take this file unchanged.
    Example: `releases/1.4/handoff.zip`."""


def _bundle_mistake(path: Path) -> str:
    import zipfile

    kind = "must be a handoff.zip"
    if not path.exists():
        return f"{kind}. Got '{path}', which does not exist."
    if not path.is_file() or not zipfile.is_zipfile(path):
        return f"{kind}. Got '{path.name}', which is damaged or another kind."
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return "" if "contract.json" in names else f"{kind}. Got '{path.name}', a zip file without contract.json."


class Validation(Section):
    """Metrics and gates."""

    metrics: Many[
        Annotated[MetricRow, BeforeValidator(_bare_metric, json_schema_input_type=MetricRow | MetricName)]
    ] = ()
    """Computed on the reference and the quantized file, on the evaluation samples.
    Example: `[top1]` or `[{metric: mae, output: box}]`."""
    gates: Gates = Gates()
    """Limits that the file must hold to be delivered. Example: `{max_drop: {top1: 0.01}, max_size: 900KiB}`."""
    parity: Positive = 1e-3
    """Largest difference between the original model and its float `.tflite`, relative to the largest output. Example:
    `1e-4`."""

    def mistakes(self) -> Iterator[Mistake]:
        """Tell gates on metrics that are not computed."""
        keys = [row.key for row in self.metrics]
        if len(set(keys)) < len(keys):
            yield ("metrics",), f"must not name a metric twice. Got {', '.join(keys)}."
        for gate in ("max_drop", "max_training_drop", "max_conversion_drop", "min"):
            for metric in getattr(self.gates, gate):
                if metric not in keys:
                    listed = ", ".join(keys) or "none"
                    yield (
                        ("gates", gate, metric),
                        f"must be a metric listed in validation.metrics ({listed}). Got '{metric}'.",
                    )
        if (release := self.gates.compatible_with) is not None and (text := _bundle_mistake(release)):
            yield ("gates", "compatible_with"), text
        if self.gates.min_agreement is not None and not any(row.metric in ("top1", "top5") for row in self.metrics):
            yield ("gates", "min_agreement"), "must come with the metric top1 or top5. Got neither."
