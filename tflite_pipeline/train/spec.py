"""The `training` section of a recipe: one step, or a list of steps that run one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from tflite_pipeline.spec import Count, Finite, Many, Mistake, Positive, Ratio, Section

FitLoss = Literal[
    "sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy", "mse", "mae", "huber"
]
Loss = Literal["auto", FitLoss]
Pattern = Literal["unstructured", "2:4"]


class Schedule(Section):
    """How the learning rate falls over all steps of the training."""

    kind: Literal["constant", "cosine", "exponential"] = "constant"
    warmup_epochs: Annotated[Finite, Field(ge=0)] = 0.0
    """Epochs over which the rate rises linearly from 0."""
    final: Annotated[Finite, Field(ge=0, le=1)] = 0.0
    """Share of the learning rate that is left at the end (`cosine`, `exponential`)."""


class Falling(Schedule):
    """How the learning rate falls over all steps of the training."""

    kind: Literal["constant", "cosine", "exponential"] = "cosine"
    warmup_epochs: Annotated[Finite, Field(ge=0)] = 0.25
    """Epochs over which the rate rises linearly from 0; the first steps of Adam move all weights at once."""


class EarlyStopping(Section):
    """Stop when the monitored value has not improved; the best weights are kept."""

    patience: Count
    """Epochs without improvement."""
    min_delta: Annotated[Finite, Field(ge=0)] = 0.0


class Augment(Section):
    """Random changes of the training images (height, width, channels), drawn anew each epoch from the recipe's seed."""

    flip: Literal["horizontal", "vertical", "both"] | None = None
    """Mirror one image in two: left to right, upside down, or either."""
    shift: Ratio | None = None
    """Move by at most this share of height and width; the edge is repeated."""
    crop: Ratio | None = None
    """Cut out this share of height and width at a random place, resized back."""

    @model_validator(mode="after")
    def _says_something(self) -> Augment:
        if self.flip is None and self.shift is None and self.crop is None:
            raise ValueError("must have flip, shift or crop. Got none of them.")
        return self


class _Step(Section):
    method: str
    """How to train; a name that `tflite-pipeline list` shows."""
    epochs: Count
    """Passes over the training samples."""
    batch: Count = 32
    """Samples a step."""
    steps: Count | None = None
    """At most so many steps an epoch; left out, an epoch sees every sample."""
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: Positive = 0.001
    schedule: Schedule = Schedule()
    loss: Loss = "auto"
    from_logits: bool = False
    """Whether the model's output is before softmax or sigmoid; with `loss: auto` that is seen from its values."""
    validation: Ratio | None = None
    """Share of the training rows that is held out to monitor; without it the training loss is monitored."""
    early_stopping: EarlyStopping | None = None
    augment: Augment | None = None
    """Random changes of the one input that is an image; held-out samples stay as they are."""


class Fit(_Step):
    """Ordinary Keras training of the whole model, before it is exported."""

    method: Literal["fit"]
    loss: FitLoss = "sparse_categorical_crossentropy"
    batch_normalization: Literal["trained", "frozen"] = "trained"
    """`frozen` leaves the statistics, scales and shifts of these layers as they are, as suits few samples."""


class Tune(_Step):
    """Training of the exported float graph; what the steps on it share."""

    epochs: Count = 3
    """Passes over the training samples."""
    learning_rate: Positive = 5e-4
    schedule: Falling = Falling()
    loss: Loss = "auto"
    """`auto` goes by labels and output: binary_crossentropy after a sigmoid, sparse_categorical_crossentropy for class
    numbers, categorical_crossentropy for one-hot labels of a softmax, else mse; without labels the teacher's alone."""
    validation: Ratio | None = 0.1
    """Share of the training rows that is held out to monitor; null holds out none and monitors the training loss."""
    teacher: Literal["float"] | None = None
    """`float` also learns from the outputs of the float reference; then the dataset needs no labels."""


class Qat(Tune):
    """Train with the rounding of the file that the scheme makes; only last."""

    method: Literal["qat"]
    weight_bits: Literal[4, 8] | None = None
    """Bits of the weights, stated to be checked against the scheme; left out, the scheme decides."""


class Prune(Tune):
    """Set the smallest weights to zero while training; later steps keep the zeros."""

    method: Literal["prune"]
    epochs: Count = 8
    """Passes over the training samples."""
    learning_rate: Positive = 2e-3
    sparsity: Ratio = 0.5
    """Share of zeros at the end, in each kernel of a dense or conv layer."""
    pattern: Pattern = "unstructured"
    """`2:4` leaves at most two of four neighbouring weights, which is a sparsity of 0.5."""
    ramp: Literal["constant", "polynomial"] = "polynomial"
    """Whether the zeros come at once or more and more, by a cubic curve; those of `2:4` come at once."""

    def mistakes(self) -> Iterator[Mistake]:
        """Tell a sparsity that the pattern cannot have."""
        if self.pattern == "2:4" and self.sparsity != 0.5:
            yield ("sparsity",), f"must be 0.5 with pattern: 2:4. Got {self.sparsity:g}. Leave it out."


class Cluster(Tune):
    """Let each kernel take a few shared values only, and train these; later steps keep the groups."""

    method: Literal["cluster"]
    clusters: Annotated[int, Field(ge=2, le=256)] = 16
    """How many values each kernel of a dense or conv layer may take, zero included where it was pruned."""


Step = Fit | Prune | Cluster | Qat


def _form(value: Any) -> str:
    return "list" if isinstance(value, list | tuple) else "step"


_OneStep = Annotated[Step, Field(discriminator="method")]
# Told apart by their form, so that only the mistakes of the form that was written are told.
Training = Annotated[
    Annotated[_OneStep, Tag("step")] | Annotated[Many[_OneStep], Field(min_length=1), Tag("list")],
    Discriminator(_form),
]

METHODS: dict[str, type[Section]] = {"fit": Fit, "prune": Prune, "cluster": Cluster, "qat": Qat}


def steps_of(training: Step | tuple[Step, ...] | None) -> tuple[Step, ...]:
    """Give the steps in their order; none where the recipe does not train."""
    if training is None:
        return ()
    return training if isinstance(training, tuple) else (training,)
