"""The scripts complete what the command line takes; bash really does it."""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tflite_pipeline.cli import build_parser
from tflite_pipeline.completion import NAME, script
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.setup_commands import SHELLS
from tflite_pipeline.targets.names import TARGET_SUMMARIES

BASH = shutil.which("bash")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with two recipes, a model and another file, and bash's script beside it."""
    folder = tmp_path_factory.mktemp("shell")
    for name in ("flowers.yaml", "birds.yml", "model.tflite", "notes.txt"):
        (folder / name).write_text("")
    (folder / "script").write_text(script(build_parser(argparse.ArgumentParser), "bash"))
    return folder


def completed(folder: Path, *words: str) -> set[str]:
    """What bash offers for the last word."""
    if BASH is None:
        pytest.skip("no bash on this machine")
    typed = " ".join(shlex.quote(word) for word in ("tflite-pipeline", *words))
    lines = (
        f"source ./script\nCOMP_WORDS=({typed})\nCOMP_CWORD={len(words)}\n{NAME}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run([BASH, "--norc", "-c", lines], cwd=folder, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("comp",), {"compare", "completion"}),
        (("run", "fl"), {"flowers.yaml"}),
        (("check", ""), {"flowers.yaml", "birds.yml"}),
        (("inspect", ""), {"model.tflite"}),
        (("sweep", "flowers.yaml", "--schemes", "full_int8,float1"), {"full_int8,float16"}),
        (("run", "flowers.yaml", "--set", "targ"), {"targets="}),
        (("run", "flowers.yaml", "--set", "quantization.scheme", "="), set(SCHEMES)),
        (("run", "flowers.yaml", "--set", "quantization.scheme", "=", "int16"), {"int16x8"}),
        (("run", "flowers.yaml", "--set", "targets", "="), {f"[{name}]" for name in TARGET_SUMMARIES}),
        (("completion", ""), set(SHELLS)),
        (("list", "tr"), {"training-methods"}),
        (("doctor", "v"), {"vela"}),
        (("search", "flowers.yaml", "--obj"), {"--objective"}),
    ],
    ids=lambda value: "-".join(word or "nothing" for word in value) if isinstance(value, tuple) else "",
)
def test_bash_offers_what_fits(folder: Path, words: tuple[str, ...], offered: set[str]) -> None:
    assert completed(folder, *words) == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_each_script_names_commands_schemes_and_targets(shell: str) -> None:
    text = script(build_parser(argparse.ArgumentParser), shell)
    for name in ("sweep", "doctor", *SCHEMES, *TARGET_SUMMARIES):
        assert name in text
