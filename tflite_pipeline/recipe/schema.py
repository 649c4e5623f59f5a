"""The whole recipe as one class, made of the sections that the stages own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, WithJsonSchema

from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.model.spec import Model
from tflite_pipeline.profile.spec import Latency
from tflite_pipeline.recipe.yaml_text import shown
from tflite_pipeline.schemes import SCHEMES, Precision, permits, precisions_of
from tflite_pipeline.spec import Many, Mistake, Section
from tflite_pipeline.targets.names import TARGET_SUMMARIES
from tflite_pipeline.train.spec import Training
from tflite_pipeline.validate.spec import Validation

TargetName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(TARGET_SUMMARIES)})]
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
KINDS = ("source", "method")
"""Keys that decide what the others of a mapping mean."""


def _check_version(value: Any) -> Any:
    if type(value) is not int or value != 1:
        raise ValueError(f"must be 1, the version of the recipe's form. Got {shown(value)}.")
    return value


class Search(Section):
    """What `tflite-pipeline search` may try; means nothing to the other commands."""

    allow: Many[Precision] = get_args(Precision)
    """What weights and activations may be; schemes and layers that need anything else are left out. Example: `[int8]`.

    - `float32`: as the model is
    - `float16`: 16-bit floating point
    - `int16`: 16-bit integers, for activations
    - `int8`: 8-bit integers
    - `int4`: 4-bit integers, for weights
    """

    def mistakes(self) -> Iterator[Mistake]:
        """Tell a list that no scheme can do with."""
        if not any(permits(self.allow, name) for name in SCHEMES):
            needs = ", ".join(f"{name} needs {' and '.join(precisions_of(name))}" for name in ("full_int8", "float32"))
            got = ", ".join(self.allow) or "none"
            yield ("allow",), f"must allow all that some scheme needs ({needs}). Got {got}."


class Recipe(Section):
    """One reproducible run: which model, which data, which scheme, and what the result must hold."""

    recipe: Annotated[Literal[1], BeforeValidator(_check_version, json_schema_input_type=Literal[1])]
    """The version of the recipe's form. Example: `1`."""
    name: Annotated[str, Field(pattern=NAME)]
    """The name of the result folder. Example: `flowers`."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides every random choice of the run. Example: `1`."""
    model: Model
    """Where the float model comes from. Example: `{source: keras_file, path: flowers.keras}`."""
    dataset: Dataset | None = None
    """Samples to train, calibrate and evaluate with; needed by calibrated schemes and by metrics.
    Example: `{source: image_folder, path: flowers, splits: {train: 0.8, test: 0.2}}`."""
    training: Training | None = None
    """Train the model before it is exported, or the exported graph; one step, or a list of steps.
    Example: `{method: qat}` or `[{method: prune, sparsity: 0.5}, {method: qat}]`."""
    quantization: Quantization
    """What the file holds. Example: `{scheme: full_int8, io: int8}`."""
    validation: Validation = Validation()
    """What is measured, and what the file must hold to be delivered.
    Example: `{metrics: [top1], gates: {max_drop: {top1: 0.01}}}`."""
    profile: Latency = Latency()
    """How latency is measured. Example: `{threads: 2}`."""
    targets: Many[TargetName] = ("litert",)
    """Runtimes and devices that the file must run on. Example: `[litert, android-tflite-2.16]`."""
    search: Search = Search()
    """What a search may try. Example: `{allow: [int8]}`."""
