"""The JSON Schema of recipes goes in; the part of docs/recipe.md that tells every key comes out.

`python -m tflite_pipeline.recipe.reference docs/recipe.md` writes it below the mark in that file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tflite_pipeline.recipe.editor import json_schema
from tflite_pipeline.recipe.schema import KINDS

Form = Mapping[str, Any]
MARK = "<!-- What follows is made of the classes of the recipe, by: make docs -->"
_BOUNDS = {"exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most"}
_PLAIN = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "object": "keys of your own",
}
_FEW = 3
_NAMED = {"path": "path", "size": "bytes, or a size with its unit"}


def with_reference(document: str) -> str:
    """Give the document with the keys below the mark as the classes have them now."""
    return f"{document.partition(MARK)[0]}{MARK}\n\n{_Reference(json_schema()).text()}"


class _Reference:
    """A schema, and where in a recipe each of its sections may stand."""

    def __init__(self, schema: Form) -> None:
        self.schema, self.sections = schema, schema["$defs"]
        self.places: dict[str, dict[str, list[str]]] = {}
        self.owners: dict[str, str] = {}
        self.told: dict[tuple[str, str], dict[str, str]] = {}
        for key, form in schema["properties"].items():
            self.place(form, key, key)

    def place(self, form: Any, path: str, owner: str, kind: str = "") -> None:
        """Note the sections that a form names, by path and kind; `owner` is the key of the recipe that they are in."""
        names = list(dict.fromkeys(_named(form)))
        for name in names:
            self.owners.setdefault(name, owner)
            kinds = self.places.setdefault(name, {}).setdefault(path, [])
            kinds += [kind] if kind and kind not in kinds else []
        shared = self.shared(names)
        for name in names:
            for key, inner in self.sections[name].get("properties", {}).items():
                self.place(inner, f"{path}.{key}", owner, "" if key in shared else self.kind(name))

    def kind(self, name: str) -> str:
        """Give the key and the value that choose this section among others, e.g. `source: npz`; empty without."""
        properties = self.sections[name].get("properties", {})
        return next((f"{key}: {properties[key]['const']}" for key in KINDS if "const" in properties.get(key, {})), "")

    def shared(self, names: list[str]) -> tuple[str, ...]:
        """List the keys that are the same in all these sections, which are more than one."""
        first, *others = [self.sections[name].get("properties", {}) for name in names] or [{}]
        return tuple(key for key in first if others and all(other.get(key) == first[key] for other in others))

    def title(self, name: str) -> str:
        """Tell where a section stands, as a heading."""
        if kind := self.kind(name):
            return f"{next(iter(self.places[name]))} with {kind}"
        return ", ".join(f"{path}{_among(kinds)}" for path, kinds in self.places[name].items())

    def link(self, name: str, text: str) -> str:
        chapter = self.owners[name]
        return f"[{text}](#{_slug(chapter if self.is_whole(chapter, name) else self.title(name))})"

    def is_whole(self, chapter: str, name: str) -> bool:
        """Tell whether a chapter is about this section alone, and needs no heading for it."""
        return list(dict.fromkeys(_named(self.schema["properties"][chapter]))) == [name]

    def text(self) -> str:
        parts = ["## The keys of a recipe", self.table(self.schema, "The keys of a recipe")]
        for key, form in self.schema["properties"].items():
            if key in self.owners.values():
                parts += [f"## {key}", form["description"], *self.chapter(key, form)]
        return "\n\n".join(parts) + "\n"

    def chapter(self, key: str, form: Form) -> Iterator[str]:
        """Tell one section of a recipe, its kinds, and the sections inside it."""
        kinds = list(dict.fromkeys(_named(form)))
        shared = self.shared(kinds)
        if shared:
            yield "\n".join(f"- {self.link(name, self.kind(name))}: {_opening(self.sections[name])}" for name in kinds)
            yield f"In each of them:\n\n{self.table(self.sections[kinds[0]], key, shared)}"
        for name in (name for name, owner in self.owners.items() if owner == key):
            title = key if self.is_whole(key, name) else self.title(name)
            if title != key:
                yield f"### {title}"
                yield self.sections[name].get("description", "")
            own = set(self.sections[name].get("properties", {}))
            if own := own - {*shared, *KINDS} if name in kinds else own:
                yield self.table(self.sections[name], title, own)

    def table(self, section: Form, title: str, only: Collection[str] = ()) -> str:
        """Write a row for each key of a section that stands below a heading."""
        required = section.get("required", ())
        rows = ["| key | takes | default | meaning |", "|---|---|---|---|"]
        for key, form in section["properties"].items():
            if not only or key in only:
                default = "required" if key in required else self.default(form)
                meaning = self.meaning(form, f"`{key}`", _slug(title))
                rows.append(f"| `{key}` | {self.takes(form)} | {default} | {meaning} |")
        return "\n".join(rows)

    def default(self, form: Form) -> str:
        value = form.get("default")
        if value in (None, [], {}):
            return "none"
        names = list(_named(form))
        own = {key: inner.get("default") for name in names for key, inner in self.sections[name]["properties"].items()}
        if names and isinstance(value, dict) and all(item in own.items() for item in value.items()):
            return "those of its keys"
        return _code(value)

    def takes(self, form: Form) -> str:
        """Say what a key takes, in a few words."""
        if "$ref" in form:
            return self.link(form["$ref"].rpartition("/")[2], "keys")
        if form.get("format") in _NAMED:
            return _NAMED[form["format"]]
        if "discriminator" in form:
            owner = self.owners[next(_named(form))]
            return f"[keys, by `{form['discriminator']['propertyName']}`](#{owner})"
        if parts := form.get("oneOf", form.get("anyOf")):
            return self.alternatives(form, parts)
        if form.get("type") == "array":
            return f"{_list(form)}: {self.takes(form['items'])}"
        if isinstance(inner := form.get("additionalProperties"), dict):
            return f"by name: {self.takes(inner)}"
        return _scalar(form)

    def alternatives(self, form: Form, parts: list[Form]) -> str:
        """Join what may stand in one place; null is told where it is not the default."""
        told: list[str] = []
        for part in sorted(parts, key=lambda part: part.get("type") == "object"):
            inner = part.get("items", part.get("additionalProperties"))
            if part.get("type") == "null":
                told += ["`null`"] if form.get("default") is not None else []
            elif inner and self.takes(inner) in told:
                told.append("a list of such" if "items" in part else "such by name")
            else:
                told.append(self.takes(part))
        return " or ".join(dict.fromkeys(told))

    def meaning(self, form: Form, key: str, where: str) -> str:
        """Tell what a key means, each value that it may have, where none was told before, and examples."""
        values = dict(_values(form))
        parts = [form["description"], *(f"{name}: {text}" for name, text in values.items())]
        for (other, place), told in self.told.items():
            if len(values) > _FEW and values.items() <= told.items():
                parts = [form["description"], f"The names are those of [{other}](#{place})."]
        self.told.setdefault((key, where), values)
        examples = " or ".join(_code(value) for value in form["examples"])
        return "<br>".join([*parts, f"Example: {examples}"]).replace("|", r"\|")


def _named(form: Any) -> Iterator[str]:
    """Give the sections that a form names, without going into them."""
    if isinstance(form, list):
        for part in form:
            yield from _named(part)
    elif isinstance(form, dict):
        if "$ref" in form:
            yield form["$ref"].rpartition("/")[2]
        for key in ("items", "anyOf", "oneOf", "additionalProperties"):
            yield from _named(form.get(key))


def _among(kinds: list[str]) -> str:
    key, *_ = kinds[0].split(": ") if kinds else ("",)
    values = ", ".join(kind.partition(": ")[2] for kind in kinds)
    return f" with {key}: {values}" if kinds else ""


def _scalar(form: Form) -> str:
    if values := form.get("enum", [form["const"]] if "const" in form else []):
        return " ".join(map(_code, values)) if len(values) <= _FEW else "a name"
    bounds = " and ".join(f"{word} {form[key]:g}" for key, word in _BOUNDS.items() if key in form)
    return f"{_PLAIN[form['type']]} {bounds}".strip()


def _list(form: Form) -> str:
    return f"list of {form['minItems']}" if form.get("minItems", 0) == form.get("maxItems") else "list"


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-")


def _opening(section: Form) -> str:
    return str(section["description"]).splitlines()[0]


def _code(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def _values(form: Any) -> Iterator[tuple[str, str]]:
    """Give each value of an enumeration with what it means."""
    if isinstance(form, list):
        for part in form:
            yield from _values(part)
    elif isinstance(form, dict):
        for value, text in zip(form.get("enum", ()), form.get("enumDescriptions", ()), strict=True):
            yield _code(value), text
        for key in ("items", "anyOf", "oneOf", "additionalProperties"):
            for part in form.get(key, ()) if isinstance(form.get(key), list) else [form.get(key)]:
                if isinstance(part, dict) and "const" in part and "description" in part:
                    yield _code(part["const"]), part["description"]
                yield from _values(part)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(with_reference(path.read_text()))
