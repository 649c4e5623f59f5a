"""The strings below the keys of a section go in; what each key means, its values and examples come out.

Such a string is prose that may end in "Example: `value`." or "Example: `value` or `value`.", written as in a recipe;
lines "- `value`: what it means" below it tell the values that a key may have.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from tflite_pipeline.recipe.yaml_text import read_yaml
from tflite_pipeline.spec import Section

_EXAMPLES = re.compile(r" Example: (`[^`]+`(?: or `[^`]+`)*)\.$")
_VALUE = re.compile(r"^- `([^`]+)`: ", re.MULTILINE)


@dataclass(frozen=True)
class Described:
    """What is said of one key: prose, the meaning of each value by its text, examples as plain values."""

    text: str
    values: dict[str, str]
    examples: tuple[Any, ...]


def describe_keys(section: type) -> dict[str, Described]:
    """Read what is said below the keys of a section and of those that it inherits from, by key.

    pydantic itself can read these strings, but does so whenever a class is made: 20 ms of every start.
    """
    found: dict[str, Described] = {}
    for base in reversed(section.__mro__[: section.__mro__.index(Section)]):
        found |= {name: _describe(words) for name, words in _strings(base)}
    return found


def _strings(section: type) -> Iterator[tuple[str, str]]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    for key, text in itertools.pairwise(getattr(definition, "body", [])):
        match key, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                yield name, inspect.cleandoc(words)


def _describe(words: str) -> Described:
    prose, *listed = _VALUE.split(words)
    text = " ".join(prose.split())
    examples = _EXAMPLES.search(text)
    shown = re.findall(r"`([^`]+)`", examples[1]) if examples else []
    return Described(
        _EXAMPLES.sub("", text),
        {name: " ".join(meaning.split()) for name, meaning in zip(listed[::2], listed[1::2], strict=True)},
        tuple(to_jsonable_python(read_yaml(example, "example", Path()).value) for example in shown),
    )
