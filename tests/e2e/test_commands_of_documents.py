"""What README.md and docs/walk_through.md tell a reader to paste is run, in its order, in a clean clone.

Blocks marked `sh` are run. Those marked `console` show what is printed, or are for the reader's own time and machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.tf

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a commit of the working tree would hold; the environment of these tests takes the place of a new one."""
    if not (Path(sys.prefix) / ".installed").exists():
        pytest.skip(f"{sys.prefix} was not made by make setup, so that make would install into it")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name)
    for name in ("pyproject.toml", "constraints.txt"):
        os.utime(tmp_path / name, (0, 0))  # older than the environment: nothing is to be installed
    return tmp_path


def paste(document: str, clone: Path) -> str:
    """Run the blocks of a document in one shell, as a reader does; give what they printed."""
    blocks = BLOCK.findall((clone / document).read_text())
    assert blocks
    script = "\n".join(f"echo '== block {number}'\n{block}" for number, block in enumerate(blocks, 1))
    environment = {
        **os.environ,
        "VENV": sys.prefix,
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(clone),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def test_walk_through_leads_to_an_app_with_a_checked_file(clone: Path) -> None:
    told = paste("docs/walk_through.md", clone)
    assert "digits: PASSED" in told
    assert "all is well" in told
    assert "same for the app" in told
    app = clone / "build" / "walk" / "app" / "src" / "main"
    made = clone / "build" / "walk" / "build" / "digits" / "model.tflite"
    assert (app / "assets" / "model.tflite").read_bytes() == made.read_bytes()
    kotlin = (app / "kotlin" / "Model.kt").read_text()
    (shown,) = re.findall(
        r"^```kotlin\n(.*?)^```", (clone / "docs/walk_through.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert "class DigitsModel(" in kotlin
    used = set(re.findall(r"model\.(\w+)", shown))
    assert used == {"run", "prepareInputLayer", "top"}
    assert {name for name in used if f"fun {name}(" not in kotlin} == set()


def test_commands_of_the_front_page_run_in_their_order(clone: Path) -> None:
    assert "mobilenet: PASSED" in paste("README.md", clone)
