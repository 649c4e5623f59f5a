from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.errors import RecipeError
from tflite_pipeline.recipe.yaml_text import Place, Sheet, read_file, read_scalar, read_yaml
from tflite_pipeline.spec import Text


def read(text: str) -> Sheet:
    return read_yaml(text, "a.yaml", Path("/there/a.yaml"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1e5", 100000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1.5E+2", -150.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("+7", 7),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2024-01-31", "2024-01-31"),
        ("0b1", "0b1"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("e5", "e5"),
        (".", "."),
        ("~", None),
        ("null", None),
        ("", None),
        ("9" * 5000, float("9" * 5000)),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: Any) -> None:
    assert read_scalar(text) == value
    assert type(read_scalar(text)) is type(value)


def test_not_a_number_is_a_float() -> None:
    assert math.isnan(read_scalar(".nan"))


def test_quoted_scalars_are_strings_that_know_their_file() -> None:
    values = read("a: '1'\nb: \"true\"\nc: |\n  5\nd: plain").value
    assert values == {"a": "1", "b": "true", "c": "5\n", "d": "plain"}
    assert all(isinstance(value, Text) and value.origin == Path("/there/a.yaml") for value in values.values())


def test_every_key_has_its_line() -> None:
    sheet = read("# head\na: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n")
    assert {path: place.line for path, place in sheet.places.items()} == {
        (): 2,
        ("a",): 2,
        ("b",): 3,
        ("b", 0): 4,
        ("b", 1): 5,
        ("b", 1, "c"): 5,
        ("b", 1, "d"): 6,
    }
    assert sheet.place(("b", 1, "e")) == Place("a.yaml", 5)
    assert str(sheet.place(("b", 0))) == "a.yaml:4"


def test_aliases_are_copies() -> None:
    values = read("a: &x {k: [1]}\nb: *x\n").value
    assert values == {"a": {"k": [1]}, "b": {"k": [1]}}
    assert values["a"] is not values["b"]


def test_keys_that_look_like_booleans_elsewhere_are_text() -> None:
    assert read("on: 1\nno: 2").value == {"on": 1, "no": 2}


@pytest.mark.parametrize(
    ("text", "path", "what"),
    [
        ("a: 1\nb: 2\na: 3", ("a",), "must be given once. Got it on lines 1 and 3."),
        ("a: {b: 1, b: 2}", ("a", "b"), "must be given once. Got it on lines 1 and 1."),
        ("!x k: 1", ("k",), "must not have a tag. Got !x."),
        ("a: !x {}", ("a",), "must not have a tag. Got !x."),
        ("a: !!str 5", ("a",), "must not have a tag. Got !!str."),
        ("~: 1", (), "must have keys that are text. Got ~. Did you mean '~'?"),
        ("{? : 1}", (), "must have keys that are text. Got an empty key. Did you mean ''?"),
        ("[1]: 1", (), "must have keys that are text. Got a list or a mapping as a key."),
        ("a: &x\n  b: *x", ("a", "b"), "must not hold itself. Got an alias inside its own anchor."),
    ],
)
def test_refuses_what_a_recipe_does_not_need(text: str, path: tuple[str, ...], what: str) -> None:
    assert [(inner, told) for _, inner, told in read(text).findings] == [(path, what)]


def test_duplicate_keys_keep_the_first_value() -> None:
    assert read("a: 1\na: 2").value == {"a": 1}


def test_deep_nesting_is_a_finding() -> None:
    (finding,) = read("a: " + "[" * 80 + "]" * 80).findings
    assert finding[2] == "must not nest deeper than 50 levels. Got more."


@pytest.mark.slow
def test_exploding_aliases_are_refused() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(RecipeError, match="must not hold more than 100000 values"):
        read("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: \x01", "a.yaml:1: must be text. Got a control character."),
        ("a: 1\nb: @x", "a.yaml:2: must be in quotes where it begins with '@'."),
        ("a: %x", "a.yaml:1: must be in quotes where it begins with '%'."),
        ("a: !x!y 1", "a.yaml:1: must not use tags. Got a value that begins with '!'."),
        ("a: &x 1\nb: &x 2", "a.yaml:2: must give an &anchor once. Got it twice."),
        ('a: "\\q"', "a.yaml:1: must be a known escape in double quotes. Got a backslash; use single quotes."),
        ("- a\nb: 1", "a.yaml:2: must be a list or keys at one indentation. Got both."),
        ("a: \udcff", "a.yaml: must be UTF-8 text. Got other bytes."),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(text)
    assert str(caught.value) == told


def test_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_file(path, "a.yaml").value == {"a": 1, "b": 2}


def test_file_that_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(RecipeError) as caught:
        read_file(path, "a.yaml")
    assert str(caught.value) == "a.yaml:2: must be UTF-8 text. Got other bytes."


def test_missing_file_names_the_closest_one(tmp_path: Path) -> None:
    (tmp_path / "mobilenet.yaml").touch()
    with pytest.raises(RecipeError) as caught:
        read_file(tmp_path / "mobilnet.yaml", "mobilnet.yaml")
    told = "must be a recipe file. Got 'mobilnet.yaml', which does not exist. Did you mean 'mobilenet.yaml'?"
    assert str(caught.value) == told


def test_folder_and_impossible_path_are_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^must be a recipe file\. Got 'x', which is a folder\.$"):
        read_file(tmp_path, "x")
    with pytest.raises(RecipeError, match=r"^must be a readable file\. Got 'x': File name too long\.$"):
        read_file(tmp_path / ("x" * 300), "x")
    with pytest.raises(RecipeError, match=r"^must be a readable file\. Got 'x': no valid path\.$"):
        read_file(tmp_path / "a\0b", "x")
