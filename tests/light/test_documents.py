"""The documents of the project: their links lead somewhere."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tflite_pipeline.cli import build_parser
from tflite_pipeline.recipe.editor import json_schema
from tflite_pipeline.recipe.yaml_text import read_yaml
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.targets.demands import DEMANDS

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/**/*.md", "recipes/**/*.md", "data/**/*.md")
    for path in ROOT.glob(pattern)
)
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FOREIGN = re.compile(r"[a-z]+:")


def anchors(document: Path) -> set[str]:
    """Give the places in a document that a link may lead to: its headings, as code hosts name them."""
    seen: dict[str, int] = {}
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+?)\s*$", FENCE.sub("", document.read_text()), re.MULTILINE):
        text = LINK.sub(lambda link: link[0][1:].partition("]")[0], heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def dead_links(document: Path) -> Iterator[str]:
    """Give the links to files and headings of the project that are not there."""
    for link in LINK.findall(FENCE.sub("", document.read_text())):
        if FOREIGN.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = document if not path else document.parent / path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    assert list(dead_links(document)) == []


def test_every_document_can_be_found_from_the_front_page() -> None:
    todo, found = [ROOT / "README.md"], {ROOT / "README.md"}
    while todo:
        document = todo.pop()
        for link in LINK.findall(FENCE.sub("", document.read_text())):
            target = (document.parent / link.partition("#")[0]).resolve()
            parts = sorted(target.glob("*.md")) if target.is_dir() else [target]
            new = [part for part in parts if part.suffix == ".md" and part.is_file() and part not in found]
            found.update(new)
            todo += new
    assert [str(path.relative_to(ROOT)) for path in DOCUMENTS if path not in found] == []


def commands(document: Path) -> Iterator[str]:
    """Give the commands of this tool that a document has a reader run, or shows with what they print."""
    for kind, block in re.findall(r"^```(sh|console)\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.removeprefix("$ ")
            if words.startswith("tflite-pipeline ") and (kind == "sh" or words != line):
                yield words


def is_understood(words: list[str]) -> bool:
    """Tell whether the command line takes these words; asking for help is fine too."""
    try:
        build_parser(argparse.ArgumentParser).parse_args(words)
    except SystemExit as ended:
        return ended.code == 0
    return True


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_those_of_the_command_line(document: Path) -> None:
    for command in commands(document):
        words = shlex.split(command, comments=True)
        words = words[1 : words.index(">") if ">" in words else None]
        assert is_understood(words), command


def of_parts(form: Any) -> Any:
    """Give a schema that takes a part of a recipe too, where the key that chooses a kind may be left out."""
    if isinstance(form, dict):
        kept = {"anyOf" if key == "oneOf" else key: inner for key, inner in form.items() if key != "required"}
        return {key: of_parts(inner) for key, inner in kept.items()}
    return [of_parts(part) for part in form] if isinstance(form, list) else form


@pytest.fixture(scope="module")
def judge() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(of_parts(json_schema()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_of_recipes_have_keys_and_values_that_there_are(
    document: Path, judge: jsonschema.Draft202012Validator
) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE):
        for part in block.split("\n\n") if "recipe: 1" not in block else [block]:
            recipe = read_yaml(part, str(document), document).value
            assert [error.message for error in judge.iter_errors(recipe or {})] == [], part


def test_front_page_names_every_command() -> None:
    parser = build_parser(argparse.ArgumentParser)
    (known,) = (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    front = (ROOT / "README.md").read_text()
    assert [name for name in known if f"| `{name}" not in front] == []


def test_guide_tells_of_each_target_which_schemes_it_does_not_take() -> None:
    guide = (ROOT / "docs" / "choose_a_scheme.md").read_text()
    table = guide.partition("| target | does not take | io |\n")[2].partition("\n\n")[0]
    schemes = {name for name, row in SCHEMES.items() if not row.block}
    told = set()
    for line in table.splitlines()[1:]:
        targets, cell, io = line.split("|")[1:4]
        names = set(re.findall("`(.*?)`", cell))
        for target in re.findall("`(.*?)`", targets):
            told.add(target)
            refused = schemes - names if "all but" in cell else names
            assert refused == set(DEMANDS[target].refuses) & schemes, target
            assert io.strip() == (", ".join(DEMANDS[target].io) or "any"), target
    assert told == set(DEMANDS)
