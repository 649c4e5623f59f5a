"""Result folders go in; their reports side by side, and what is not to be compared, plain JSON values, come out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tflite_pipeline.errors import Problem, RecipeError
from tflite_pipeline.recipe.yaml_text import read_file
from tflite_pipeline.report.compare_page import compare_page
from tflite_pipeline.report.render import is_ours
from tflite_pipeline.report.words import recovered_text
from tflite_pipeline.runtime.disk import disk_errors_told, put

REPORT, SWEEP, SEARCH, BEST, RECIPE = "report.json", "sweep.json", "search.json", "best", "recipe.resolved.yaml"
PAGE = "report.html"
VERSION = 1
"""Of the reports that can be read."""
NO_RECIPE = "its recipe is not beside its report"

Report = dict[str, Any]


def compare(paths: Sequence[Path]) -> Report:
    """Read results and put them side by side.

    A path is a result folder, a `report.json`, or the folder of a sweep or search, which stands for its results.
    `runs` has the figures of each result, `notes` what a reader must know before comparing them, `recipe` the keys in
    which their recipes differ; `metrics_compare` and `latency_compares` tell whether the figures may be compared.

    Raises RecipeError with every path that holds no report, and where there are fewer than two.
    """
    problems: list[Problem] = []
    files: list[Path] = []
    for path in paths:
        try:
            files += [file for file in _reports(path) if file.resolve() not in {one.resolve() for one in files}]
        except RecipeError as error:
            problems += error.problems
    runs = [run for file in files if (run := _run(file, problems))]
    if not problems and len(runs) < 2:
        text = f"must be two results or more. Got {len(runs)}."
        problems.append(Problem(" ".join(map(str, paths)), "", text))
    if problems:
        raise RecipeError(problems)
    for run, name in zip(runs, _names(runs), strict=True):
        run["name"] = name
    samples = {run["samples"]["sha256"] if run["samples"] else None for run in runs}
    return {
        "compare": 1,
        "runs": runs,
        "metrics_compare": len(samples) == 1,
        "latency_compares": len({run["latency"]["host"] for run in runs}) == 1,
        "notes": list(_notes(runs)),
        "recipe": _differences(runs),
    }


def write_comparison(told: Report, page: Path) -> None:
    """Write the page of a comparison; it leads to the runs' own pages, from where it lies.

    Raises RecipeError where the file is there and is no page of this package, StageError where it cannot be written.
    """
    if page.is_dir() or (page.is_file() and not is_ours(page)):
        text = f"must be a new file, or a page that tflite-pipeline made. Got '{page}', which is something else."
        raise RecipeError([Problem("", "--out", text)])
    with disk_errors_told():
        page.parent.mkdir(parents=True, exist_ok=True)
        links = [_link(Path(run["path"]) / PAGE, page) for run in told["runs"]]
        put(page, lambda path: path.write_text(compare_page(told, links)))


def _link(target: Path, page: Path) -> str:
    """Give the relative address of a file; nothing where it is not there."""
    return quote(os.path.relpath(target.resolve(), page.resolve().parent)) if target.is_file() else ""


def _reports(path: Path) -> Iterator[Path]:
    """Give the report files that a path stands for."""
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise _problem(path, "must be a result folder or a report.json. There is no such file or folder.")
    if (path / REPORT).is_file():
        yield path / REPORT
    elif (path / SWEEP).is_file():
        rows = _read(path / SWEEP, "sweep").get("rows", [])
        yield from (path / row["report"] for row in rows if row.get("report"))
    elif (path / SEARCH).is_file():
        yield path / BEST / REPORT
    else:
        raise _problem(path, f"must hold {REPORT}, {SWEEP} or {SEARCH}. Got a folder with none of them.")


def _run(file: Path, problems: list[Problem]) -> Report | None:
    try:
        report = _read(file, "report")
        return {"path": str(file.parent), "file": str(file), **_figures(report)}
    except RecipeError as error:
        problems += error.problems
    except (KeyError, TypeError, AttributeError) as error:
        text = f"must be a report of this version of tflite-pipeline. Got one that lacks {error}; run its recipe again."
        problems.append(Problem(str(file), "", text))
    return None


def _read(file: Path, kind: str) -> Report:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else "no JSON"
        raise _problem(file, f"must be a {kind} of tflite-pipeline. Got a file that cannot be read: {told}.") from error
    if not isinstance(content, dict) or kind not in content:
        raise _problem(file, f"must be a {kind} of tflite-pipeline. Got other JSON, without the key '{kind}'.")
    if content[kind] != VERSION:
        told = f"must be a {kind} of version {VERSION}. Got version {content[kind]}; run its recipe again."
        raise _problem(file, told)
    return content


def _problem(path: Path, text: str) -> RecipeError:
    return RecipeError([Problem(str(path), "", text)])


def _figures(report: Report) -> Report:
    audit = report["audit"]
    return {
        "recipe": report["recipe"]["name"],
        "verdict": report["verdict"],
        "scheme": {key: report["scheme"][key] for key in ("asked", "found", "engine")},
        "io": audit["io_found"],
        "recovery": recovered_text(report["recovery"]) if report["recovery"] else None,
        "model": {key: report["model"][key] for key in ("file", "bytes", "sha256")},
        "reference": {"bytes": report["reference"]["bytes"]},
        "metrics": report["metrics"],
        "agreement": report["agreement"],
        "latency": {
            key: report["latency"][key] for key in ("reference_ms", "quantized_ms", "quantized", "threads", "host")
        },
        "memory": report["memory"],
        "float_ops": len(audit["float_ops"]),
        "gates": [{key: gate[key] for key in ("name", "verdict", "text")} for gate in report["gates"]],
        "targets": [{key: target[key] for key in ("name", "passed")} for target in report["targets"]],
        "samples": report["samples"].get("evaluation"),
        "versions": report["versions"],
    }


def _names(runs: Sequence[Report]) -> list[str]:
    """Name runs by their recipes where these differ, else by their folders, else by their paths."""
    paths = [Path(run["path"]).resolve() for run in runs]
    folders = [path.parent.name if path.name == BEST else path.name for path in paths]
    recipes = [run["recipe"] for run in runs]
    mixed = [folder if recipes.count(recipe) > 1 else recipe for recipe, folder in zip(recipes, folders, strict=True)]
    return mixed if len(set(mixed)) == len(mixed) else [run["path"] for run in runs]


def _notes(runs: Sequence[Report]) -> Iterator[str]:
    """Tell what a reader must know before comparing figures."""
    by_samples = _grouped(runs, lambda run: (run["samples"] or {}).get("sha256"))
    if len(by_samples) > 1:
        told = "; ".join(
            f"{', '.join(run['name'] for run in group)}: {_samples_told(group[0])}" for group in by_samples.values()
        )
        yield f"metrics cannot be compared: the runs were evaluated on different samples ({told})"
    hosts = _grouped(runs, lambda run: run["latency"]["host"])
    if len(hosts) > 1:
        told = "; ".join(f"{', '.join(run['name'] for run in group)}: {host}" for host, group in hosts.items())
        yield f"latency cannot be compared: it was measured on different hosts ({told})"
    if len(_grouped(runs, lambda run: run["latency"]["threads"])) > 1:
        yield "latency was measured with different numbers of threads"
    floats = _grouped(runs, lambda run: (run["reference"]["bytes"], json.dumps(_references(run), sort_keys=True)))
    if len(floats) > 1 and len(by_samples) == 1:
        yield "the float files differ, so drops are against different networks"
    for name in sorted({name for run in runs for name in run["versions"]}):
        found = _grouped(runs, lambda run: run["versions"].get(name))  # noqa: B023
        if len(found) > 1:
            told = "; ".join(f"{version} ({', '.join(run['name'] for run in rows)})" for version, rows in found.items())
            yield f"made with different versions of {name}: {told}"


def _samples_told(run: Report) -> str:
    one = run["samples"]
    return f"{one['count']} of split {one['split']}, digest {one['sha256'][:12]}" if one else "none"


def _references(run: Report) -> dict[str, float]:
    return {name: row["reference"] for name, row in run["metrics"].items()}


def _grouped(runs: Sequence[Report], key: Any) -> dict[Any, list[Report]]:
    groups: dict[Any, list[Report]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return groups


def _differences(runs: Sequence[Report]) -> list[Report]:
    """Give the keys in which recipes differ, `values` being texts by run, None where there is no such key."""
    recipes = [_recipe(Path(run["path"]) / RECIPE) for run in runs]
    keys = dict.fromkeys(key for recipe in recipes if recipe is not None for key in recipe)
    rows = []
    for key in keys:
        known = {recipe.get(key) for recipe in recipes if recipe is not None}
        if len(known) > 1:
            rows.append(
                {"key": key, "values": [recipe.get(key) if recipe is not None else NO_RECIPE for recipe in recipes]}
            )
    return rows


def _recipe(file: Path) -> dict[str, str] | None:
    try:
        return dict(_flat(read_file(file, str(file)).value))
    except RecipeError:
        return None


def _flat(section: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
