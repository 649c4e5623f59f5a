"""The parser of the command line in; a script by which a shell completes its words out."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import shtab

from tflite_pipeline.convert.spec import ENGINE_SUMMARIES, METHOD_SUMMARIES
from tflite_pipeline.doctor import EXTRA_SUMMARIES
from tflite_pipeline.listing import listing
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.targets.names import TARGET_SUMMARIES

NAME = "_tflite_pipeline"
SETTINGS = {
    "quantization.scheme": tuple(SCHEMES),
    "quantization.io": ("float32", "int8", "uint8", "int16"),
    "quantization.engine": tuple(ENGINE_SUMMARIES),
    "quantization.calibration.method": tuple(METHOD_SUMMARIES),
    "quantization.recovery": ("auto",),
    "targets": tuple(f"[{name}]" for name in TARGET_SUMMARIES),
}
"""Keys for `--set` whose values are names."""

_RECIPES = shtab.glob("*.yaml", "*.yml")
_MODELS = shtab.glob("*.tflite", "*.zip")


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Give the script for bash, zsh or fish."""
    kinds = {
        "recipe": _RECIPES,
        "recipes": _RECIPES,
        "file": _MODELS,
        "before": _MODELS,
        "after": _MODELS,
        "model": shtab.FILE,
        "data": shtab.FILE,
        "out": shtab.FILE,
        "results": shtab.DIRECTORY,
        "kind": _words("kinds", sorted(title.replace(" ", "-") for title in listing())),
        "extras": _words("extras", sorted(EXTRA_SUMMARIES)),
        "schemes": _schemes(),
        "overrides": _settings(),
    }
    for action in _actions(parser):
        if action.dest in kinds:
            action.complete = kinds[action.dest]  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell)) + (_BASH_VALUES if shell == "bash" else "")


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
        yield action


def _words(name: str, words: Sequence[str]) -> dict[str, Any]:
    """Complete one of these words; where they are choices of argparse, shtab does that by itself."""
    listed = " ".join(words)
    return {
        "bash": f"{NAME}_{name}",
        "zsh": f"({listed})",
        "fish": listed,
        "preamble": {"bash": f'{NAME}_{name}() {{\n  compgen -W "{listed}" -- "$1"\n}}'},
    }


def _schemes() -> dict[str, Any]:
    """Complete names that stand in a list without spaces."""
    names = " ".join(SCHEMES)
    return {
        "bash": f"{NAME}_schemes",
        "zsh": f"{NAME}_schemes",
        "fish": f"(__fish_append , {names})",
        "preamble": {
            "bash": f"""\
{NAME}_schemes() {{
  local before=""
  [[ "$1" == *,* ]] && before="${{1%,*}},"
  compgen -P "$before" -W "{names}" -- "${{1##*,}}"
}}""",
            "zsh": f"{NAME}_schemes() {{ _values -s , scheme {names} }}",
        },
    }


def _settings() -> dict[str, Any]:
    """Complete keys for `--set`, and in zsh and fish whole settings."""
    keys = " ".join(f"{key}=" for key in SETTINGS)
    whole = " ".join(f"'{key}={name}'" for key, names in SETTINGS.items() for name in names)
    return {
        "bash": f"{NAME}_keys",
        "zsh": f"{NAME}_settings",
        "fish": whole,
        "preamble": {
            "bash": f'{NAME}_keys() {{\n  compopt -o nospace 2>/dev/null\n  compgen -W "{keys}" -- "$1"\n}}',
            "zsh": f"{NAME}_settings() {{ compadd -- {whole} }}",
        },
    }


_CASES = "\n".join(f'    {key}) names="{" ".join(names)}" ;;' for key, names in SETTINGS.items())
# bash takes the = of KEY=VALUE for a word of its own, which shtab does not foresee.
_BASH_VALUES = f"""
{NAME}() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" key="" names=""
  if [[ "$word" == "=" ]]; then
    key="${{COMP_WORDS[COMP_CWORD-1]}}" word=""
  elif (( COMP_CWORD > 1 )) && [[ "${{COMP_WORDS[COMP_CWORD-1]}}" == "=" ]]; then
    key="${{COMP_WORDS[COMP_CWORD-2]}}"
  fi
  case "$key" in
    "") _shtab_tflite_pipeline; return ;;
{_CASES}
  esac
  COMPREPLY=($(compgen -W "$names" -- "$word"))
}}
complete -o bashdefault -F {NAME} tflite-pipeline
"""
