"""What pydantic found wrong goes in; recipe paths and texts of the project's own wording come out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tflite_pipeline.errors import did_you_mean
from tflite_pipeline.model.spec import FUNCTION
from tflite_pipeline.recipe.schema import KINDS, NAME
from tflite_pipeline.recipe.yaml_text import KeyPath, read_scalar, shown
from tflite_pipeline.spec import Mistake, Section

_WANTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "list_type": "a list",
    "tuple_type": "a list",
    "int_parsing_size": "a smaller number",
    "finite_number": "a finite number",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "too_short": "{kind} of at least {min_length} {entries}",
    "too_long": "{kind} of at most {max_length} {entries}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
}

_PATTERNS = {
    NAME: "a name of letters, digits, '_', '.' and '-'",
    FUNCTION: "a function as package.module:function",
    r"^\d*:\d*$": "rows as start:stop",
}

_YES_NO = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def field_mistakes(error: ValidationError, data: Any, root: type[Section]) -> list[Mistake]:
    """Turn pydantic's errors into mistakes, one a key.

    Args:
        error: What checking `data` against `root` raised.
        data: The values as they were read; tells which parts of a location are keys that the user wrote.
        root: The class that `data` was checked against; tells the known keys.
    """
    found: dict[KeyPath, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        found.setdefault(_written(detail, data), []).append(detail)
    inner = {path[:length] for path in found for length in range(len(path))}
    return [
        (path, _text(details, root)) for path, details in found.items() if path not in inner or not _all_kinds(details)
    ]


def _written(detail: ErrorDetails, data: Any) -> KeyPath:
    """Leave out of a location what is not in the file: tags of unions, keys that a short form implies."""
    path: list[str | int] = []
    last = len(detail["loc"]) - 1
    for position, part in enumerate(detail["loc"]):
        if _holds(data, part):
            path.append(part)
            data = data[part]
        elif isinstance(data, str) and data == part:  # the bare name of a step stands for {name: {}}
            path.append(part)
            data = {}
        elif detail["type"] == "missing" and position == last:
            path.append(part)
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found") and isinstance(data, Mapping):
        path.append(_discriminator(detail))
    return tuple(path)


def _holds(data: Any, part: str | int) -> bool:
    if isinstance(data, Mapping):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _discriminator(detail: ErrorDetails) -> str:
    return str(detail["ctx"]["discriminator"]).strip("'")


def _all_kinds(details: Sequence[ErrorDetails]) -> bool:
    """Tell whether these are branches of a union that only say that the value is of another kind."""
    return all(detail["type"].endswith("_type") or detail["type"] == "too_short" for detail in details)


def _text(details: Sequence[ErrorDetails], root: type[Section]) -> str:
    detail = details[0]
    special = _SPECIAL.get(detail["type"])
    if special is not None:
        return special(detail, root)
    wanted = list(dict.fromkeys(_wanted(one) for one in details))
    value = detail["input"]
    guess = _guess(detail["type"], value) if len(wanted) == 1 else ""
    kind = ", a string" if isinstance(value, str) and not isinstance(read_scalar(value), str) else ""
    return f"must be {' or '.join(wanted)}. Got {shown(value)}{kind}.{guess}"


def _wanted(detail: ErrorDetails) -> str:
    context = dict(detail.get("ctx", {}))
    if detail["type"] == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return _PATTERNS.get(pattern, f"text like {pattern}")
    if detail["type"] in ("too_short", "too_long"):
        context["kind"] = "a mapping" if isinstance(detail["input"], Mapping) else "a list"
        context["entries"] = "entry" if 1 in (context.get("min_length"), context.get("max_length")) else "entries"
    return _WANTED.get(detail["type"], "another value").format(**context)


def _guess(kind: str, value: Any) -> str:
    answer = ""
    if kind == "bool_type" and isinstance(value, str):
        read = read_scalar(value)
        answer = str(read).lower() if isinstance(read, bool) else _YES_NO.get(value.lower(), "")
    elif kind in ("int_type", "float_type", "int_from_float"):
        answer = _number_guess(kind, value)
    elif kind == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        answer = f"'{value}'"
    elif kind in ("tuple_type", "list_type") and isinstance(value, str | int | float):
        answer = f"[{value if isinstance(value, str) else shown(value)}]"
    return f" Did you mean {answer}?" if answer else ""


def _number_guess(kind: str, value: Any) -> str:
    read = read_scalar(value.replace("_", "").replace(",", ".").strip()) if isinstance(value, str) else value
    if isinstance(read, bool) or not isinstance(read, int | float):
        return ""
    if kind == "float_type" or isinstance(read, int):
        return shown(read) if isinstance(value, str) else ""
    return str(int(read)) if read.is_integer() else ""


def _missing(detail: ErrorDetails, root: type[Section]) -> str:
    return "must be given. Got nothing."


def _unknown(detail: ErrorDetails, root: type[Section]) -> str:
    *section, key = detail["loc"]
    known = _keys_at(section, root)
    if not known:
        return f"must be left out: no keys are known here. Got '{key}'."
    return f"must be one of the keys {', '.join(known)}. Got '{key}'.{_close(key, known)}"


def _choice(detail: ErrorDetails, root: type[Section]) -> str:
    choices = re.findall(r"'([^']*)'|(\d+)", str(detail["ctx"]["expected"]))
    names = [text or number for text, number in choices]
    return _one_of(names, detail["input"])


def _kind(detail: ErrorDetails, root: type[Section]) -> str:
    value = detail["input"]
    classes = _classes_at(detail["loc"], root)
    key = next(key for key in KINDS if any(key in one.model_fields for one in classes))
    names = list(dict.fromkeys(str(tag) for one in classes for tag in _literals(one, key)))
    if not isinstance(value, Mapping):
        guess = f" Did you mean {{{key}: {value}}}?" if value in names else ""
        return f"must be a mapping with the key {key}. Got {shown(value)}.{guess}"
    if key not in value:
        return f"must be one of {', '.join(names)}. Got nothing."
    return _one_of(names, value[key])


def _one_of(names: Sequence[str], value: Any) -> str:
    lead = "must be one of" if len(names) > 1 else "must be"
    return f"{lead} {', '.join(names)}. Got {shown(value)}.{_close(value, names)}"


def _close(word: Any, choices: Sequence[str]) -> str:
    if not isinstance(word, str | int):
        return ""
    return did_you_mean(word, choices) or did_you_mean(str(word).lower(), choices)


def _told(detail: ErrorDetails, root: type[Section]) -> str:
    return str(detail["ctx"]["error"])


_SPECIAL: dict[str, Callable[[ErrorDetails, type[Section]], str]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _choice,
    "union_tag_invalid": _kind,
    "union_tag_not_found": _kind,
    "model_attributes_type": _kind,
    "value_error": _told,
}


def _sections(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, Section) else []
    return [section for part in get_args(annotation) for section in _sections(part)]


def _literals(section: type[Section], key: str) -> tuple[Any, ...]:
    field = section.model_fields.get(key)
    return get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()


def _classes_at(location: Sequence[str | int], root: type[Section]) -> list[type[Section]]:
    """List the classes that may stand at a location of pydantic's, which holds tags of unions too."""
    classes = [root]
    for part in location:
        fields = [one.model_fields[part] for one in classes if isinstance(part, str) and part in one.model_fields]
        if fields:
            classes = [section for field in fields for section in _sections(field.annotation)]
        else:
            classes = [one for one in classes if any(part in _literals(one, key) for key in KINDS)] or classes
    return classes


def _keys_at(location: Sequence[str | int], root: type[Section]) -> list[str]:
    return list(dict.fromkeys(key for one in _classes_at(location, root) for key in one.model_fields))
