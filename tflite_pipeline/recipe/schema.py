"""The whole recipe as one class, made of the sections that the stages own; and its JSON Schema for editors."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.model.spec import Model
from tflite_pipeline.profile.spec import Latency
from tflite_pipeline.recipe.yaml_text import shown
from tflite_pipeline.schemes import SCHEMES, Precision, permits, precisions_of
from tflite_pipeline.spec import Many, Mistake, Section
from tflite_pipeline.train.spec import Training
from tflite_pipeline.validate.spec import Validation

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
    """What weights and activations may be; schemes and layers that need anything else are left out."""

    def mistakes(self) -> Iterator[Mistake]:
        """Tell a list that no scheme can do with."""
        if not any(permits(self.allow, name) for name in SCHEMES):
            needs = ", ".join(f"{name} needs {' and '.join(precisions_of(name))}" for name in ("full_int8", "float32"))
            got = ", ".join(self.allow) or "none"
            yield ("allow",), f"must allow all that some scheme needs ({needs}). Got {got}."


class Recipe(Section):
    """One reproducible run: which model, which data, which scheme, and what the result must hold."""

    recipe: Annotated[Literal[1], BeforeValidator(_check_version, json_schema_input_type=Literal[1])]
    """The version of the recipe's form."""
    name: Annotated[str, Field(pattern=NAME)]
    """The name of the result folder."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides every random choice of the run."""
    model: Model
    """Where the float model comes from."""
    dataset: Dataset | None = None
    """Samples to train, calibrate and evaluate with; needed by calibrated schemes and by metrics."""
    training: Training | None = None
    """Train the model before it is exported, or the exported graph; one step, or a list of steps."""
    quantization: Quantization
    """What the file holds."""
    validation: Validation = Validation()
    """What is measured, and what the file must hold to be delivered."""
    profile: Latency = Latency()
    """How latency is measured."""
    targets: Many[str] = ("litert",)
    """Runtimes and devices that the file must run on."""
    search: Search = Search()
    """What a search may try."""


class _EditorSchema(GenerateJsonSchema):
    """Takes descriptions from the strings below the keys, and lets short forms pass.

    A short form is taken where a check runs before the types and says nothing of what it takes. pydantic itself can
    read the strings, but it does so whenever a class is made, which would cost every start 20 ms.
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        known = super().model_schema(schema)
        for name, text in _described_keys(schema["cls"]).items():
            known["properties"][name]["description"] = text
        return known

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        known = super().function_before_schema(schema)
        if "json_schema_input_schema" in schema:
            return known
        return {"anyOf": [known, {"type": ["string", "number", "array"]}]}


def _described_keys(section: type) -> dict[str, str]:
    texts: dict[str, str] = {}
    for base in reversed(section.__mro__[: section.__mro__.index(Section)]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        body = getattr(definition, "body", [])
        for key, text in itertools.pairwise(body):
            match key, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    texts[name] = inspect.cleandoc(words)
    return texts


def json_schema() -> dict[str, Any]:
    """Describe a recipe file as JSON Schema (draft 2020-12); takes every sound recipe, short forms too."""
    schema = Recipe.model_json_schema(schema_generator=_EditorSchema)
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "A recipe, relative to this one, whose keys hold where this one does not give them.",
    }
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}
