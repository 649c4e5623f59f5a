"""Runs broken recipes as a user would, two at a time, and compares what the user is told with a golden table.

To make the tables anew after a change of wording, then read the diff:
`TFLITE_PIPELINE_REMAKE_GOLDEN=1 pytest tests/e2e`
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TIMING = re.compile(r"  \S.{19,} +\d+\.\d s|  cached: .*")
SECONDS = 120


@dataclass(frozen=True)
class Place:
    """Where a case plays: its own folder, and the folder of the tiny models (absent where the case needs none)."""

    folder: Path
    models: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"


@dataclass(frozen=True)
class Outcome:
    code: int
    told: str
    place: Place


def run_recipe(place: Place, case: Callable[[Place], dict[str, Any]]) -> Outcome:
    """Run the recipe that the case gives; its key `run` may hold flags, environment and a limit for file sizes."""
    recipe = {"recipe": 1, "name": "demo", **case(place)}
    run = recipe.pop("run", {})
    (place.folder / "recipe.yaml").write_text(json.dumps(recipe))
    limit = run.get("file_limit")
    command = ["prlimit", f"--fsize={limit}"] if limit else []
    command += [sys.executable, "-m", "tflite_pipeline", "run", "recipe.yaml", "--out", "out", *run.get("flags", ())]
    done = subprocess.run(
        command,
        cwd=place.folder,
        env={**os.environ, "COLUMNS": "400", **run.get("environment", {})},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if not TIMING.fullmatch(line)]
    told = "\n".join(lines).replace(str(place.folder), "<folder>").replace(str(place.models), "<models>")
    return Outcome(done.returncode, told, place)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny models, made once."""
    folder = tmp_path_factory.mktemp("models")
    command = [sys.executable, str(HERE / "make_models.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def bare_python(make_python: Callable[..., Path]) -> Path:
    """The Python of an environment with nothing but ai-edge-litert and numpy, as whoever gets a bundle has it."""
    return make_python("-c", HERE.parents[1] / "constraints.txt", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class Opened:
    """A page of a report in a browser, and what it complained about or asked for."""

    page: Any
    complaints: list[str]

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_inner_texts()

    def overflow(self) -> int:
        """Pixels that the page is wider than the screen."""
        return self.page.evaluate("document.documentElement.scrollWidth - innerWidth")

    def unfold(self) -> None:
        """Open all that is folded away, and let the page see that."""
        self.page.evaluate("document.querySelectorAll('details').forEach(box => { box.open = true; })")
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def charts(self) -> list[dict[str, Any]]:
        """What is drawn of each chart: the pixels it has, those that its marks cover, and what it tells."""
        return self.page.locator("svg.chart").evaluate_all(
            """charts => charts.map(chart => {
                const box = chart.getBoundingClientRect(), drawn = chart.getBBox();
                return {id: chart.id, width: box.width, height: box.height, drawn: drawn.width * drawn.height,
                        asked: chart.getAttribute("width") && chart.getAttribute("height"),
                        marks: chart.querySelectorAll("path, use, text").length, told: chart.ariaLabel};
            })"""
        )

    def numbers(self) -> list[tuple[str, str, str, str]]:
        """The numbers of the page: place in the report, form, value and text of each."""
        return [
            tuple(row)
            for row in self.page.locator("data[data-key]").evaluate_all(
                "all => all.map(one => [one.dataset.key, one.dataset.form, one.value, one.textContent])"
            )
        ]

    def column(self, table: str, title: str) -> list[float]:
        """The numbers of a column, from the top."""
        place = self.page.locator(f"{table} thead th", has_text=title).first.evaluate("head => head.cellIndex")
        cells = self.page.locator(f"{table} tbody tr > :nth-child({place + 1}) data")
        return cells.evaluate_all("all => all.map(cell => Number(cell.value))")

    def sort(self, table: str, title: str) -> str | None:
        """Sort a table by the title of a column, with the keyboard; give what the title says of it then."""
        head = self.page.locator(f"{table} thead th", has_text=title).first
        head.get_by_role("button").focus()
        self.page.keyboard.press("Enter")
        return head.get_attribute("aria-sort")

    def violations(self, axe: str) -> list[str]:
        """What axe-core finds that is serious or critical."""
        self.page.evaluate(axe)
        found = self.page.evaluate("axe.run()")["violations"]
        return [
            f"{row['impact']} {row['id']}: {row['nodes'][0]['html']}"
            for row in found
            if row["impact"] in ("serious", "critical")
        ]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Opened]]:
    """Open the file of a page, `open_page(path, width=390, scheme="dark")`; at the end nothing may have gone wrong."""
    contexts, opened = [], []

    def start(path: Path, width: int = 1280, scheme: str = "light") -> Opened:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        page, complaints = contexts[-1].new_page(), []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        address = path.resolve().as_uri()
        page.on("request", lambda sent: None if _inside(sent.url, address) else complaints.append(sent.url))
        page.goto(address)
        opened.append(Opened(page, complaints))
        return opened[-1]

    yield start
    for context in contexts:
        context.close()
    assert [row.complaints for row in opened] == [[] for _ in opened]


def _inside(url: str, address: str) -> bool:
    return url.startswith("data:") or url.partition("#")[0] == address


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core, which looks for what keeps people from using a page."""
    if shutil.which("npm") is None:
        pytest.skip("no npm: install Debian's packages nodejs and npm")
    folder = tmp_path_factory.mktemp("axe")
    version = json.loads((HERE.parent / "web" / "package.json").read_text())["dependencies"]["axe-core"]
    install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run([*install, f"axe-core@{version}"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """What became of the module's CASES that are selected, started two at a time since most of each is a start-up."""
    mine = [item for item in request.session.items if item.path == request.path]
    chosen = {name: request.module.CASES[name] for item in mine if (name := _case_name(item))}
    heavy = any(item.get_closest_marker("tf") for item in mine)
    models = request.getfixturevalue("models") if heavy else Path("/no/models")
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(run_recipe, Place(tmp_path_factory.mktemp(name), models), case)
            for name, case in chosen.items()
        }


def _case_name(item: pytest.Item) -> str:
    return str(item.callspec.params.get("name", "")) if hasattr(item, "callspec") else ""


@dataclass(frozen=True)
class Golden:
    """Texts by case; the file has a head line `== case` over each."""

    file: Path
    cases: frozenset[str]

    def rows(self) -> dict[str, str]:
        text = self.file.read_text() if self.file.exists() else ""
        parts = re.split(r"^== (\w+)\n", text, flags=re.MULTILINE)[1:]
        return {name: row.rstrip("\n") + "\n" for name, row in zip(parts[::2], parts[1::2], strict=True)}

    def compare(self, name: str, outcome: Outcome) -> None:
        found = f"exit {outcome.code}\n{outcome.told}".rstrip("\n") + "\n"
        if os.environ.get("TFLITE_PIPELINE_REMAKE_GOLDEN"):
            table = self.rows() | {name: found}
            self.file.write_text("\n".join(f"== {key}\n{table[key]}" for key in sorted(table) if key in self.cases))
        wanted = self.rows().get(name, "")
        diff = difflib.unified_diff(wanted.splitlines(), found.splitlines(), "expected", "found", lineterm="")
        assert found == wanted, "\n" + "\n".join(diff)


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> Golden:
    """The table beside the test module, of the same name."""
    return Golden(request.path.with_suffix(".txt"), frozenset(request.module.CASES))


@pytest.fixture(scope="session")
def assert_nothing_half_done() -> Callable[[Outcome], None]:
    """Assert that a run that failed left no result and no cache entry that is not whole."""

    def check(outcome: Outcome) -> None:
        assert "Traceback" not in outcome.told
        out = outcome.place.out
        assert not (out / "demo").is_dir() or not list((out / "demo").glob("*.tflite"))
        for folder in out.glob(".cache/*/*"):
            if not folder.is_dir() or folder.suffix == ".resume":  # locks; checkpoints of a training
                continue
            entry = json.loads((folder / "entry.json").read_text())
            assert {name: (folder / name).stat().st_size for name in entry["files"]} == entry["files"]

    return check
