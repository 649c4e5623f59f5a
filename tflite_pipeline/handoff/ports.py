"""Inputs and outputs of a contract in; what templates of code need of each out: names, sizes, numbers as text."""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import TensorInfo
from tflite_pipeline.handoff.border import class_output
from tflite_pipeline.handoff.preparing import Pointwise, Step, fold_steps

DTYPES = ("float32", "int8", "uint8", "int16", "int32", "int64", "bool")
"""Dtypes that all languages have a type for."""
_KEYWORDS = """
abstract alignas and any arguments as asm assert async auto await bool boolean break byte case catch char class const
continue default defer deinit del delete do double elif else enum eval except explicit export extends extension extern
false fileprivate final finally float for friend from fun func function global goto guard if import in init inline
inout int interface internal is lambda let long mutable namespace new nil none nonlocal not null object open operator
or package pass private protected protocol public raise register repeat rethrows return self short signed sizeof
static std string struct subscript super switch template this throw throws true try typealias typename typeof union
unsigned using val var virtual void volatile when where while with xor yield
arena buffer context dequantize file i input inputs interpreter labels load model np output outputs path prepare q
quantize resolver run scale size tensor tflite top value values x zero
"""
_TAKEN = frozenset(_KEYWORDS.split()) | frozenset(keyword.kwlist)
"""Words of one of the languages, and names that the templates themselves use."""


@dataclass(frozen=True)
class Port:
    """An input or output as code names it; a dimension that may vary counts as 1.

    `snake`, `camel` and `pascal` are its name as an identifier, `literal` in quotes. `kind` is `quantized` (integers
    that stand for real numbers), `float` or `plain` (integers or booleans that stand for themselves).
    """

    index: int
    literal: str
    words: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    kind: str
    scale: str
    zero_point: int
    told: str
    labelled: bool = False
    prepare: Pointwise | None = None
    steps: tuple[Step, ...] = ()

    @property
    def count(self) -> int:
        """How many values it holds."""
        return math.prod(self.shape)

    @property
    def channels(self) -> int:
        """The size of its last axis."""
        return self.shape[-1] if self.shape else 1

    @property
    def raw_count(self) -> int:
        """How many values the folded preprocessing takes."""
        gray = self.prepare is not None and self.prepare.source == "gray"
        return self.count // self.channels if gray else self.count

    @property
    def snake(self) -> str:
        """Its name as Python and C++ write variables."""
        return "_".join(self.words)

    @property
    def camel(self) -> str:
        """Its name as Kotlin, Swift and JavaScript write variables."""
        return self.words[0] + "".join(map(_capital, self.words[1:]))

    @property
    def pascal(self) -> str:
        """Its name behind a verb."""
        return "".join(map(_capital, self.words))


def ports_of(contract: Mapping[str, Any]) -> tuple[list[Port], list[Port]]:
    """Make a port of each input and output of the contract, in its order; no two have the same identifier."""
    seen: set[str] = set()
    infos = [TensorInfo(row["name"], tuple(row["shape"]), row["dtype"]) for row in contract["outputs"]]
    steps = contract["preprocessing"]
    scores = class_output(infos, contract["classes"])
    return (
        [_port(row, seen, steps=steps.get(row["name"], steps.get("", ()))) for row in contract["inputs"]],
        [_port(row, seen, classes=len(contract["classes"]) * (row["index"] == scores)) for row in contract["outputs"]],
    )


def literal(text: str) -> str:
    """Quote a text for languages with the escapes of JSON."""
    return json.dumps(text, ensure_ascii=False)


def number(value: float) -> str:
    """Write a float32 as short as it reads back the same."""
    return str(np.float32(value))


def identifier(name: str) -> tuple[str, ...]:
    """Split a name into lower-case words that make an identifier in every language."""
    parts = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)
    words = tuple(part.lower() for part in parts) or ("tensor",)
    if words[0][0].isdigit():
        words = ("tensor", *words)
    return (*words, "values") if "_".join(words) in _TAKEN else words


def _port(row: Mapping[str, Any], seen: set[str], classes: int = 0, steps: Sequence[Step] = ()) -> Port:
    words = identifier(row["name"])
    if "_".join(words) in seen:
        words = (*words, str(row["index"]))
    while "_".join(words) in seen:
        words = (*words, "again")
    seen.add("_".join(words))
    shape = tuple(max(1, size) for size in row["shape"])
    scaled = bool(row.get("scale")) and row["dtype"] in {"int8", "uint8", "int16"}
    kind = "quantized" if scaled else "float" if row["dtype"] == "float32" else "plain"
    return Port(
        index=row["index"],
        literal=literal(row["name"]),
        words=words,
        shape=shape,
        dtype=row["dtype"],
        kind=kind,
        scale=number(row.get("scale", 0.0)),
        zero_point=row.get("zero_point", 0),
        told=_told(row, scaled),
        labelled=math.prod(shape) == classes and kind != "plain",
        prepare=fold_steps(steps, shape[-1] if shape else 1),
        steps=tuple(steps),
    )


def _told(row: Mapping[str, Any], scaled: bool) -> str:
    parts = [f"{literal(row['name'])}: {row['dtype']} {row['shape']}"]
    parts += [row[key] for key in ("layout", "colors") if row.get(key)]
    if scaled:
        parts.append(f"scale {number(row['scale'])}, zero point {row['zero_point']}")
    if any(size < 0 for size in row["shape"]):
        parts.append("-1 may vary and is 1 here")
    return ", ".join(parts)


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]
