"""The text of a YAML file goes in; plain values and the place of every key come out, by the rules of YAML 1.2."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tflite_pipeline.errors import Problem, RecipeError, did_you_mean
from tflite_pipeline.spec import Text

KeyPath = tuple[str | int, ...]


class Place(NamedTuple):
    """Where something was written; `line` is 0 where there is none."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        """Give `file:line`."""
        return f"{self.file}:{self.line}" if self.line else self.file


Finding = tuple[Place, KeyPath, str]
"""A mistake: where, at which key, what."""


@dataclass
class Sheet:
    """What a text holds: plain values, the place of every key, and what was wrong with the text itself."""

    value: Any
    places: dict[KeyPath, Place] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def place(self, path: KeyPath) -> Place:
        """Find where a key was written, or the nearest section around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place("", 0))


def dotted(path: KeyPath) -> str:
    """Write a key path as a person reads it; the empty key of short forms is left out."""
    return ".".join(str(part) for part in path if part != "")


_CORE = (
    (re.compile(r"(?:null|Null|NULL|~|)"), lambda _: None),
    (re.compile(r"(?:true|True|TRUE)"), lambda _: True),
    (re.compile(r"(?:false|False|FALSE)"), lambda _: False),
    (re.compile(r"[-+]?[0-9]{1,4000}"), int),
    (re.compile(r"0o[0-7]{1,4000}"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]{1,4000}"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(?:nan|NaN|NAN)"), lambda _: float("nan")),
)


def read_scalar(text: str) -> Any:
    """Give an unquoted scalar its value by the core schema of YAML 1.2; what is nothing else is a string."""
    for pattern, convert in _CORE:
        if pattern.fullmatch(text):
            return convert(text)
    return text


def shown(value: Any) -> str:
    """Write a value as the user would have written it, short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(str(value)) if len(value) <= 80 else repr(str(value[:77]) + "…")
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    if isinstance(value, float) and value != value:
        return ".nan"
    if isinstance(value, Mapping):
        whole = "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
        return whole if len(whole) <= 60 else f"a mapping of {len(value)} keys"
    if isinstance(value, Sequence):
        whole = "[" + ", ".join(shown(item) for item in value) + "]"
        return whole if len(whole) <= 60 else f"a list of {len(value)}"
    return repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "…"


_PLAIN, _QUOTED = "plain", "quoted"
_MOST_VALUES, _MOST_LEVELS = 100_000, 50


class _Loader(yaml.CSafeLoader):
    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        """Mark what has no tag, so that every tag that was written can be told."""
        return _PLAIN if kind is yaml.ScalarNode and implicit[0] else _QUOTED


_CAUSES = (
    ("another document", "must be one YAML document. Got a second one after '---'."),
    ("mapping values are not allowed", "must be one key and value a line. Got a second ': ', or a wrong indentation."),
    ("could not find expected ':'", "must be lines of key: value. Got a line without ': '."),
    ("did not find expected ',' or", "must close every bracket [ or {. Got one that stays open."),
    ("did not find expected node content", "must have a value between brackets and commas. Got none."),
    ("did not find expected key", "must be keys at one indentation. Got a wrong indentation, or text after a quote."),
    ("did not find expected '-'", "must be a list or keys at one indentation. Got both."),
    ("unexpected end of stream", "must close every quote. Got one that stays open."),
    ("undefined alias", "must be an alias of an &anchor above it. Got an unknown *alias."),
    ("undefined tag handle", "must not use tags. Got a value that begins with '!'."),
    ("second occurrence", "must give an &anchor once. Got it twice."),
    ("control characters", "must be text. Got a control character."),
    ("unknown escape character", "must be a known escape in double quotes. Got a backslash; use single quotes."),
)


def _readable(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    mark = getattr(error, "problem_mark", None)
    position = getattr(error, "position", 0)
    line = mark.line + 1 if mark else text.encode()[:position].count(b"\n") + 1
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", ""))
    lines = text.splitlines() or [""]
    content = lines[min(line, len(lines)) - 1]
    if "cannot start any token" in problem:
        if "\t" in content[: len(content) - len(content.lstrip())]:
            return line, "must be indented by spaces. Got a tab."
        return line, f"must be in quotes where it begins with {content[mark.column] if mark else 'a sign'!r}."
    for fragment, cause in _CAUSES:
        if fragment in problem:
            return line, cause
    return line, f"must be YAML. Got: {problem}."


class _Walk:
    """One pass over a node graph; gathers places and mistakes."""

    def __init__(self, label: str, origin: Path) -> None:
        self.label, self.origin = label, origin
        self.sheet = Sheet(None)
        self.open: list[int] = []

    def place(self, node: yaml.Node) -> Place:
        return Place(self.label, node.start_mark.line + 1)

    def tell(self, node: yaml.Node, path: KeyPath, text: str) -> None:
        self.sheet.findings.append((self.place(node), path, text))

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        if id(node) in self.open:
            self.tell(node, path, "must not hold itself. Got an alias inside its own anchor.")
            return None
        if len(path) > _MOST_LEVELS:
            self.tell(node, path[:3], f"must not nest deeper than {_MOST_LEVELS} levels. Got more.")
            return None
        if len(self.sheet.places) > _MOST_VALUES:
            raise _TooMuchError
        if node.tag not in (_PLAIN, _QUOTED):
            self.tell(node, path, f"must not have a tag. Got {_short_tag(node.tag)}.")
        self.sheet.places.setdefault(path, self.place(node))
        if isinstance(node, yaml.ScalarNode):
            value = read_scalar(node.value) if node.tag == _PLAIN else node.value
            return Text.of(value, self.origin) if isinstance(value, str) else value
        self.open.append(id(node))
        try:
            return self.mapping(node, path) if isinstance(node, yaml.MappingNode) else self.items(node, path)
        finally:
            self.open.pop()

    def items(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        return [self.value(item, (*path, position)) for position, item in enumerate(node.value)]

    def mapping(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in node.value:
            name = self.key(key, path)
            if name is None:
                continue
            inner = (*path, name)
            if name in found:
                first = self.sheet.places[inner].line
                text = f"must be given once. Got it on lines {first} and {self.place(key).line}."
                self.tell(key, inner, text)
                continue
            self.sheet.places[inner] = self.place(key)
            found[name] = self.value(item, inner)
        return found

    def key(self, node: yaml.Node, path: KeyPath) -> str | None:
        """Read a key; tell it and give None where it is no text."""
        text = _key_mistake(node)
        if text:
            self.tell(node, path, text)
        if isinstance(node, yaml.ScalarNode) and node.tag not in (_PLAIN, _QUOTED):
            self.tell(node, (*path, node.value), f"must not have a tag. Got {_short_tag(node.tag)}.")
        return None if text else str(node.value)


def _key_mistake(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        return "must have keys that are text. Got a list or a mapping as a key."
    if node.tag != _PLAIN or (node.value != "<<" and isinstance(read_scalar(node.value), str)):
        return ""
    if node.value == "<<":
        return "must not be merged with <<. Got a merge key. Use extends: other.yaml, or write the keys out."
    return f"must have keys that are text. Got {node.value or 'an empty key'}. Did you mean '{node.value}'?"


class _TooMuchError(Exception):
    pass


def _short_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def read_yaml(text: str, label: str, origin: Path) -> Sheet:
    """Read one document.

    Args:
        text: The document.
        label: What stands for the file in places, e.g. the path as the user typed it.
        origin: The file; paths in the document are relative to its folder.

    Raises:
        RecipeError: The text is no YAML document at all; what is wrong inside one is in `findings`.
    """
    try:
        node = _Loader(text).get_single_node()
    except yaml.YAMLError as error:
        line, cause = _readable(error, text)
        raise RecipeError([Problem(str(Place(label, line)), "", cause)]) from None
    except UnicodeError:
        raise RecipeError([Problem(label, "", "must be UTF-8 text. Got other bytes.")]) from None
    walk = _Walk(label, origin)
    if node is None:
        return walk.sheet
    try:
        walk.sheet.value = walk.value(node, ())
    except _TooMuchError:
        text = f"must not hold more than {_MOST_VALUES} values. Got more, by aliases of aliases."
        raise RecipeError([Problem(label, "", text)]) from None
    return walk.sheet


def read_file(path: Path, label: str) -> Sheet:
    """Read a file that holds one mapping; raises RecipeError where it is none, with `label` as its name."""
    text = _file_text(path, label)
    sheet = read_yaml(text, label, path.absolute())
    if not isinstance(sheet.value, dict):
        got = "nothing" if sheet.value is None else "a list" if isinstance(sheet.value, list) else "one value"
        where = Place(label, sheet.places[()].line if () in sheet.places else 1)
        raise RecipeError([Problem(str(where), "", f"must be a mapping (lines of key: value). Got {got}.")])
    return sheet


def _file_text(path: Path, label: str) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RecipeError([Problem("", "", _missing(path, label))]) from None
    except IsADirectoryError:
        raise RecipeError([Problem("", "", f"must be a recipe file. Got '{label}', which is a folder.")]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no valid path"
        raise RecipeError([Problem("", "", f"must be a readable file. Got '{label}': {reason}.")]) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RecipeError([Problem(str(Place(label, line)), "", "must be UTF-8 text. Got other bytes.")]) from None


def _missing(path: Path, label: str) -> str:
    near = list(_yaml_names(path.parent))
    return f"must be a recipe file. Got '{label}', which does not exist.{did_you_mean(path.name, near)}"


def _yaml_names(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        yield from sorted(file.name for file in folder.iterdir() if file.suffix in (".yaml", ".yml"))
