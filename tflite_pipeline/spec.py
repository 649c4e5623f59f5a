"""What every section of a recipe is made of: strict frozen models, paths relative to the recipe, sizes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

T = TypeVar("T")

Mistake = tuple[tuple[str | int, ...], str]
"""A path inside a section and the text of the mistake found there."""


class Section(BaseModel):
    """A part of a recipe: frozen, every key known, no silent conversion between types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def mistakes(self) -> Iterator[Mistake]:
        """Yield what is wrong beyond the types (a missing file, keys that exclude each other); must be quick."""
        return iter(())


class Selector(Section):
    """Names some layers of a graph; exactly one key is given."""

    layer: str | None = None
    """Name of a Keras layer; all ops that it became. Example: `Conv1`."""
    tensor: str | None = None
    """Pattern for the name of an op's output tensor, e.g. `*/block_1*`; `*` fits anything. Example: `"*/block_1*"`."""
    op: str | None = None
    """Type of op as LiteRT calls it, e.g. `FULLY_CONNECTED`. Example: `FULLY_CONNECTED`."""

    @model_validator(mode="after")
    def _one_key(self) -> Selector:
        given = [name for name in ("layer", "tensor", "op") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"must have one of layer, tensor, op. Got {' and '.join(given) or 'none of them'}.")
        return self


class Text(str):
    """A string out of a YAML file that knows the file, so that a path in it can be relative to that file."""

    __slots__ = ("origin",)
    origin: Path

    @classmethod
    def of(cls, value: str, origin: Path) -> Text:
        """Label `value` with the file it was read from."""
        text = cls(value)
        text.origin = origin
        return text


def expand_variables(value: str) -> str:
    """Replace `${NAME}` by the environment variable; raises ValueError where it is not set."""

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if not os.environ.get(name):
            raise ValueError(
                f"must be a path. Got '{value}', but the environment variable {name} is not set. Run: export {name}=…"
            )
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", replace, value)


def _resolve_path(value: Any) -> Any:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a path. Got {value!r}.")
    folder = value.origin.parent if isinstance(value, Text) else Path.cwd()
    return Path(os.path.normpath(folder / Path(expand_variables(value)).expanduser()))


RecipePath = Annotated[
    Path,
    BeforeValidator(_resolve_path),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "format": "path",
            "description": "A path, relative to the recipe; ${NAME} is an environment variable.",
        }
    ),
]

_UNITS = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def _parse_bytes(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", value) if isinstance(value, str) else None
    if match is None or match.group(2) not in _UNITS:
        raise ValueError(f"must be a size such as 900KiB (units: {', '.join(_UNITS)}). Got {value!r}.")
    return round(float(match.group(1)) * _UNITS[match.group(2)])


ByteCount = Annotated[
    int,
    Field(gt=0),
    BeforeValidator(_parse_bytes),
    WithJsonSchema(
        {
            "format": "size",
            "anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*([KMG]i?)?B$"}],
        }
    ),
]

Many = Annotated[tuple[T, ...], Field(strict=False)]
"""A YAML list, kept as a tuple."""

Ratio = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
