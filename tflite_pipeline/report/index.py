"""A folder of results in; the page that lists them, newest first, out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tflite_pipeline.report.render import is_ours, render
from tflite_pipeline.runtime.disk import put

INDEX = "index.html"
CACHE = ".cache"
"""Below it a list of what was read before; a result that has not changed since is not read again."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of result: the file that marks its folder, its page, and what of the file a row shows."""

    name: str
    mark: str
    page: str
    row: Callable[[Row], Row]


def write_index(out: Path) -> bool:
    """Write `out/index.html` anew from the results that are in `out`; False where a foreign file has its place.

    A row has `kind, name, verdict, scheme, bytes, metric, value, drop`. What cannot be read is a row with `error`.
    """
    page = out / INDEX
    if page.exists() and not is_ours(page):
        return False
    rows = sorted(_rows(out), key=lambda row: (-row["changed"], row["folder"]))
    content = {"index": 1, "results": rows}
    put(page, lambda path: path.write_text(render("index.html", content, when=_when, verdicts=_verdicts(rows))))
    return True


def _rows(out: Path) -> Iterator[Row]:
    known, fresh = _known(out), {}
    for folder in sorted(out.iterdir()):
        for kind in KINDS:
            mark = folder / kind.mark
            if folder.name.startswith(".") or not mark.is_file():
                continue
            status = mark.stat()
            stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
            key = f"{folder.name}/{kind.mark}"
            before = known.get(key)
            row = before[1] if before and before[0] == stamp and set(before[1]) == KEYS else _row(mark, kind)
            fresh[key] = [stamp, row]
            page = f"{folder.name}/{kind.page}" if (folder / kind.page).is_file() else ""
            yield {**row, "kind": kind.name, "folder": folder.name, "page": page, "changed": status.st_mtime}
            break
    if fresh != known and (out / CACHE).is_dir():
        put(out / CACHE / "index.json", lambda path: path.write_text(json.dumps(fresh)))


def _known(out: Path) -> dict[str, Any]:
    try:
        known = json.loads((out / CACHE / "index.json").read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _row(mark: Path, kind: Kind) -> Row:
    try:
        return kind.row(json.loads(mark.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        told = error.strerror if isinstance(error, OSError) else "it is damaged, or of another version"
        return {**_facts(mark.parent.name, "", ""), "error": f"{mark.name} cannot be read: {told}"}


def _facts(name: str, verdict: str, told: str) -> Row:
    empty = dict.fromkeys(("scheme", "bytes", "metric", "value", "drop", "interval"))
    return {"name": name, "verdict": verdict, "told": told, "error": "", **empty}


KEYS = set(_facts("", "", ""))
"""Of a row that this version wrote."""


def _measured(metrics: dict[str, Row]) -> Row:
    for name, row in metrics.items():
        return {"metric": name, "value": row["quantized"], "drop": row["drop"], "interval": row["interval"]}
    return {}


def _run(report: Row) -> Row:
    facts = _facts(report["recipe"]["name"], report["verdict"], "")
    return (
        facts | {"scheme": report["scheme"]["found"], "bytes": report["model"]["bytes"]} | _measured(report["metrics"])
    )


def _sweep(table: Row) -> Row:
    rows = table["rows"]
    states = [row["status"] for row in rows]
    verdict = "passed" if table["best"] else "undecided" if {"undecided", "waiting"} & set(states) else "failed"
    waiting = f", {states.count('waiting')} not run" if "waiting" in states else ""
    facts = _facts(table["recipe"]["name"], verdict, f"{states.count('passed')} of {len(rows)} passed{waiting}")
    best = next((row for row in rows if row["variant"] == table["best"]), None)
    if best is None:
        return facts
    return facts | {"scheme": best["variant"], "bytes": best["bytes"]} | _measured(best["metrics"])


def _search(table: Row) -> Row:
    told = f"{len(table['rows'])} tried{'' if table['finished'] else ', not finished'}"
    verdict = "passed" if table["winner"] and table["passed"] else "failed" if table["finished"] else "undecided"
    facts = _facts(table["recipe"]["name"], verdict, told)
    name = table["winner"] or table["nearest"]
    best = next((row for row in table["rows"] if row["candidate"] == name), None)
    if best is None:
        return facts
    return facts | {"scheme": name, "bytes": best["bytes"]} | _measured(table["full"].get("metrics", {}))


def _debug(told: Row) -> Row:
    facts = _facts(told["recipe"]["name"], "", f"{len(told['rows'])} ops measured")
    return facts | {"scheme": told["scheme"], "bytes": told["model"]["bytes"]}


KINDS = (
    Kind("run", "report.json", "report.html", _run),
    Kind("sweep", "sweep.json", "sweep.html", _sweep),
    Kind("search", "search.json", "search.html", _search),
    Kind("debug", "debug.json", "debug.json", _debug),
)


def _verdicts(rows: list[Row]) -> list[tuple[str, int]]:
    names = [row["verdict"] for row in rows]
    return [(name, names.count(name)) for name in ("passed", "undecided", "failed") if name in names]


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M")
