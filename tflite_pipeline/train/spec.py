"""The `training` section of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tflite_pipeline.spec import Count, Finite, Positive, Ratio, Section


class Schedule(Section):
    """How the learning rate falls over all steps of the training."""

    kind: Literal["constant", "cosine", "exponential"] = "constant"
    warmup_epochs: Annotated[Finite, Field(ge=0)] = 0.0
    """Epochs over which the rate rises linearly from 0."""
    final: Annotated[Finite, Field(ge=0, le=1)] = 0.0
    """Share of the learning rate that is left at the end (`cosine`, `exponential`)."""


class EarlyStopping(Section):
    """Stop when the monitored value has not improved; the best weights are kept."""

    patience: Count
    """Epochs without improvement."""
    min_delta: Annotated[Finite, Field(ge=0)] = 0.0


class Fit(Section):
    """Ordinary Keras training of the whole model."""

    method: Literal["fit"]
    epochs: Count
    batch: Count = 32
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: Positive = 0.001
    schedule: Schedule = Schedule()
    loss: Literal[
        "sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy", "mse", "mae", "huber"
    ] = "sparse_categorical_crossentropy"
    from_logits: bool = False
    """Whether the model's output is before softmax or sigmoid."""
    validation: Ratio | None = None
    """Share of the training rows that is held out to monitor; without it the training loss is monitored."""
    early_stopping: EarlyStopping | None = None


Training = Annotated[Fit, Field()]

METHODS: dict[str, type[Section]] = {"fit": Fit}
