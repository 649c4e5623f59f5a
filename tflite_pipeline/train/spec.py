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
    """The curve. Example: `cosine`.

    - `constant`: the rate stays as it is
    - `cosine`: it falls slowly, then fast, then slowly
    - `exponential`: each step takes away the same share of it
    """
    warmup_epochs: Annotated[Finite, Field(ge=0)] = 0.0
    """Epochs over which the rate rises linearly from 0. Example: `1`."""
    final: Annotated[Finite, Field(ge=0, le=1)] = 0.0
    """Share of the learning rate that is left at the end (`cosine`, `exponential`). Example: `0.01`."""


class Falling(Schedule):
    """How the learning rate falls over all steps of the training."""

    kind: Literal["constant", "cosine", "exponential"] = "cosine"
    """The curve. Example: `exponential`.

    - `constant`: the rate stays as it is
    - `cosine`: it falls slowly, then fast, then slowly
    - `exponential`: each step takes away the same share of it
    """
    warmup_epochs: Annotated[Finite, Field(ge=0)] = 0.25
    """Epochs over which the rate rises linearly from 0; the first steps of Adam move all weights at once. Example:
    `0.5`."""


class EarlyStopping(Section):
    """Stop when the monitored value has not improved; the best weights are kept."""

    patience: Count
    """Epochs without improvement. Example: `3`."""
    min_delta: Annotated[Finite, Field(ge=0)] = 0.0
    """Only a change larger than this is an improvement. Example: `0.001`."""


class Augment(Section):
    """Random changes of the training images (height, width, channels), drawn anew each epoch from the recipe's seed."""

    flip: Literal["horizontal", "vertical", "both"] | None = None
    """Mirror one image in two. Example: `horizontal`.

    - `horizontal`: left to right
    - `vertical`: upside down
    - `both`: either
    """
    shift: Ratio | None = None
    """Move by at most this share of height and width; the edge is repeated. Example: `0.1`."""
    crop: Ratio | None = None
    """Cut out this share of height and width at a random place, resized back. Example: `0.9`."""

    @model_validator(mode="after")
    def _says_something(self) -> Augment:
        if self.flip is None and self.shift is None and self.crop is None:
            raise ValueError("must have flip, shift or crop. Got none of them.")
        return self


class _Step(Section):
    method: str
    epochs: Count
    """Passes over the training samples. Example: `10`."""
    batch: Count = 32
    """Samples a step. Example: `64`."""
    steps: Count | None = None
    """At most so many steps an epoch; left out, an epoch sees every sample. Example: `100`."""
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    """What turns gradients into changes of the weights. Example: `adamw`.

    - `adam`: steps of nearly equal size for all weights
    - `adamw`: adam, and weights decay
    - `sgd`: gradient descent, without momentum
    - `rmsprop`: gradients divided by their recent size
    """
    learning_rate: Positive = 0.001
    """How far a step goes; the highest value where a schedule changes it. Example: `0.0003`."""
    schedule: Schedule = Schedule()
    """How the learning rate changes over the training. Example: `{kind: cosine, warmup_epochs: 1}`."""
    loss: Loss = "auto"
    """What training makes small. Example: `mse`.

    - `auto`: goes by labels and output: binary_crossentropy after a sigmoid, sparse_categorical_crossentropy for class
      numbers, categorical_crossentropy for one-hot labels of a softmax, else mse; without labels the teacher's alone
    - `sparse_categorical_crossentropy`: one of several classes, labels are class numbers
    - `categorical_crossentropy`: one of several classes, labels are one-hot or shares
    - `binary_crossentropy`: each output is yes or no
    - `mse`: mean squared error
    - `mae`: mean absolute error
    - `huber`: squared error for small differences, absolute for large ones
    """
    from_logits: bool = False
    """Whether the model's output is before softmax or sigmoid; with `loss: auto` that is seen from its values. Example:
    `true`."""
    validation: Ratio | None = None
    """Share of the training rows that is held out to monitor; without it the training loss is monitored. Example:
    `0.1`."""
    early_stopping: EarlyStopping | None = None
    """End before the last epoch where nothing improves. Example: `{patience: 3}`."""
    augment: Augment | None = None
    """Random changes of the one input that is an image; held-out samples stay as they are.
    Example: `{flip: horizontal, shift: 0.1}`."""


class Fit(_Step):
    """Ordinary Keras training of the whole model, before it is exported."""

    method: Literal["fit"]
    loss: FitLoss = "sparse_categorical_crossentropy"
    batch_normalization: Literal["trained", "frozen"] = "trained"
    """What happens to these layers. Example: `frozen`.

    - `trained`: they learn as the others do
    - `frozen`: statistics, scales and shifts stay as they are, as suits few samples
    """


class Tune(_Step):
    """Training of the exported float graph; what the steps on it share."""

    epochs: Count = 3
    """Passes over the training samples. Example: `5`."""
    learning_rate: Positive = 5e-4
    schedule: Falling = Falling()
    loss: Loss = "auto"
    validation: Ratio | None = 0.1
    """Share of the training rows that is held out to monitor; null holds out none and monitors the training loss.
    Example: `0.2`."""
    teacher: Literal["float"] | None = None
    """Whom to learn from besides the labels. Example: `float`.

    - `float`: the float reference, by its outputs; then the dataset needs no labels
    """


class Qat(Tune):
    """Train with the rounding of the file that the scheme makes; only last."""

    method: Literal["qat"]
    weight_bits: Literal[4, 8] | None = None
    """Bits of the weights, stated to be checked against the scheme; left out, the scheme decides. Example: `4`.

    - `4`: schemes with int4 weights
    - `8`: schemes with int8 weights
    """


class Prune(Tune):
    """Set the smallest weights to zero while training; later steps keep the zeros."""

    method: Literal["prune"]
    epochs: Count = 8
    """Passes over the training samples. Example: `12`."""
    learning_rate: Positive = 2e-3
    sparsity: Ratio = 0.5
    """Share of zeros at the end, in each kernel of a dense or conv layer. Example: `0.75`."""
    pattern: Pattern = "unstructured"
    """Which weights may be zero. Example: `"2:4"`.

    - `unstructured`: any
    - `2:4`: at least two of four neighbouring ones, which is a sparsity of 0.5; some hardware skips these
    """
    ramp: Literal["constant", "polynomial"] = "polynomial"
    """How the zeros come; those of `2:4` come at once. Example: `constant`.

    - `constant`: all at once
    - `polynomial`: more and more, by a cubic curve
    """

    def mistakes(self) -> Iterator[Mistake]:
        """Tell a sparsity that the pattern cannot have."""
        if self.pattern == "2:4" and self.sparsity != 0.5:
            yield ("sparsity",), f"must be 0.5 with pattern: 2:4. Got {self.sparsity:g}. Leave it out."


class Cluster(Tune):
    """Let each kernel take a few shared values only, and train these; later steps keep the groups."""

    method: Literal["cluster"]
    clusters: Annotated[int, Field(ge=2, le=256)] = 16
    """How many values each kernel of a dense or conv layer may take, zero included where it was pruned. Example:
    `32`."""


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
