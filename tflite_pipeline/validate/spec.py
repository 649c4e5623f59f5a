"""The `validation` section of a recipe: which metrics to compute, which gates to hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tflite_pipeline.spec import ByteCount, Finite, Many, Mistake, Positive, Section

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
    output: str | None = None
    """The output's name."""

    @property
    def key(self) -> str:
        """The name under which gates and the report call it."""
        return self.metric if self.output is None else f"{self.metric}:{self.output}"


class Gates(Section):
    """Limits that the file must hold; each one that is given is checked."""

    max_drop: dict[str, Annotated[Finite, Field(ge=0)]] = {}
    """By metric: how much worse than the float reference it may be."""
    max_training_drop: dict[str, Annotated[Finite, Field(ge=0)]] = {}
    """By metric: how much worse than the float reference the network trained with fake quantization may be."""
    max_conversion_drop: dict[str, Annotated[Finite, Field(ge=0)]] = {}
    """By metric: how much worse than the network trained with fake quantization the file may be."""
    min: dict[str, Finite] = {}
    """By metric: the least value (for mae and mse: the greatest)."""
    min_agreement: Annotated[Finite, Field(gt=0, le=1)] | None = None
    """Share of the samples on which float and quantized name the same class."""
    min_fidelity: Annotated[Finite, Field(gt=0, le=1)] | None = None
    """Share of the output values that lie within 2 LSB of those of the network trained with fake quantization."""
    max_size: ByteCount | None = None
    """Largest file, e.g. `900KiB`."""
    max_latency_ms: Positive | None = None
    """Largest median latency on the host that runs the recipe; says little about a phone."""
    confidence: Annotated[Finite, Field(ge=0, lt=1)] = 0.95
    """Confidence of the interval that must lie within a drop, an agreement or a fidelity; 0 goes by the value alone."""


class Validation(Section):
    """Metrics and gates."""

    metrics: Many[Annotated[MetricRow, BeforeValidator(_bare_metric)]] = ()
    """Computed on the reference and the quantized file, on the evaluation samples."""
    gates: Gates = Gates()
    parity: Positive = 1e-3
    """Largest difference between the original model and its float `.tflite`, relative to the largest output."""

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
        if self.gates.min_agreement is not None and not any(row.metric in ("top1", "top5") for row in self.metrics):
            yield ("gates", "min_agreement"), "must come with the metric top1 or top5. Got neither."
