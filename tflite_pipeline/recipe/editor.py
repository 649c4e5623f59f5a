"""The classes of a recipe go in; their JSON Schema comes out, with all that an editor can tell of each key."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema, to_jsonable_python

from tflite_pipeline.convert.spec import ENGINE_SUMMARIES, METHOD_SUMMARIES, RECOVERY_SUMMARIES
from tflite_pipeline.recipe.described import describe_keys
from tflite_pipeline.recipe.schema import KINDS, Recipe
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.targets.names import TARGET_SUMMARIES
from tflite_pipeline.validate.spec import METRIC_SUMMARIES

_SUMMARIES: tuple[Mapping[Any, str], ...] = (
    {name: scheme.summary for name, scheme in SCHEMES.items()},
    METHOD_SUMMARIES,
    ENGINE_SUMMARIES,
    RECOVERY_SUMMARIES,
    METRIC_SUMMARIES,
    TARGET_SUMMARIES,
)
"""What names mean that are not told below the key itself."""


class _EditorSchema(GenerateJsonSchema):
    """Takes descriptions, meanings of values and examples from the strings below the keys."""

    def encode_default(self, dft: Any) -> Any:
        return to_jsonable_python(dft, exclude_none=True)

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        del parent_key  # keys stay in the order of the classes, those of examples as they were written
        return value

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        known = super().model_schema(schema)
        section = schema["cls"]
        told = describe_keys(section)
        for name, form in known["properties"].items():
            if name in told:
                form |= {"description": told[name].text, "examples": list(told[name].examples)}
            elif name in KINDS:
                form |= {"description": inspect.cleandoc(section.__doc__ or ""), "examples": [form["const"]]}
            for choice in _choices(form):
                _tell_values(choice, told[name].values if name in told else {})
        return known


def _choices(form: Any) -> Iterator[dict[str, Any]]:
    """Give the parts of one key's form that name values; what is inside other sections is theirs."""
    if isinstance(form, dict):
        if "enum" in form or "const" in form:
            yield form
        for key in ("items", "anyOf", "oneOf", "additionalProperties"):
            yield from _choices(form.get(key))
    elif isinstance(form, list):
        for part in form:
            yield from _choices(part)


def _tell_values(choice: dict[str, Any], told: Mapping[str, str]) -> None:
    values = choice.get("enum", [choice.get("const")])
    table = next((table for table in (told, *_SUMMARIES) if all(str(value) in table for value in values)), {})
    if table and "enum" in choice:
        choice["enumDescriptions"] = [table[str(value)] for value in values]
    elif table:
        choice.setdefault("description", table[str(choice["const"])])


def json_schema() -> dict[str, Any]:
    """Describe a recipe file as JSON Schema (draft 2020-12); takes every sound recipe, short forms too."""
    schema = Recipe.model_json_schema(schema_generator=_EditorSchema)
    schema["properties"]["extends"] = {
        "type": "string",
        "format": "path",
        "description": "A recipe, relative to this one, whose keys hold where this one does not give them.",
        "examples": ["mobilenet.yaml"],
    }
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}
