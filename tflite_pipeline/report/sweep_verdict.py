"""The table of a sweep in; what it comes to, what failed and what to do next, in words, out."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tflite_pipeline.report.advice import ADVICE, UNDECIDED
from tflite_pipeline.report.words import FORMS, bytes_text, drop_form, metric_text

ORDER = ("passed", "undecided", "failed", "error", "refused", "waiting")
"""What a reader wants to see first."""
NONE_PASSED = (
    "no gate failed everywhere: look at the gates of each variant; try other schemes or methods, or wider gates"
)
UNLIKE = (
    "The variants were not all measured on the same samples, since a setting of this sweep decides which are taken: "
    "their drops are against the float file on the same samples each, but are not to be compared with each other"
)
_MOST_GATES = 3

Table = dict[str, Any]


def sweep_verdict(table: Table) -> str:
    """Tell in one sentence which variant is best, what it costs, and how sure that is."""
    rows = table["rows"]
    passed = sum(row["status"] == "passed" for row in rows)
    best = best_of(table)
    if best is None:
        return f"None of {len(rows)} variants passed: {_hindrances(rows)}; {advice_where_none_passed(rows)}."
    share = best["bytes"] / best["reference"]["bytes"]
    text = f"{best['variant']} is the smallest of {passed} that passed, of {len(rows)} variants: "
    text += f"{bytes_text(best['bytes'])}, {share:.0%} of the float file's size"
    for name, row in best["metrics"].items():
        return f"{text}, and {change_told(name, row)}."
    return f"{text}; how accurate it is was not measured."


def _hindrances(rows: Sequence[Table]) -> str:
    """Name what keeps variants from passing, the most frequent first."""
    found = Counter(gate["name"] for row in rows for gate in row["gates"] if gate["verdict"] != "passed")
    told = [f"{name} did not pass in {count}" for name, count in found.most_common(_MOST_GATES)]
    words = {"error": "ended in an error", "refused": "cannot be made", "waiting": "did not run"}
    states = Counter(row["status"] for row in rows)
    return ", ".join([*told, *(f"{states[state]} {text}" for state, text in words.items() if states[state])])


def change_told(name: str, row: Table) -> str:
    """Tell how a metric changes and how sure that is."""
    form = drop_form(name)
    return (
        f"{name} goes from {metric_text(row['reference'], name)} to {metric_text(row['quantized'], name)}, a drop of "
        f"{FORMS[form](row['drop'])} (95 % interval {FORMS[f'{form}_between'](row['interval'])}, "
        f"{FORMS['count'](row['samples'])} samples)"
    )


def overall(table: Table) -> str:
    """Give the verdict of the whole."""
    states = {row["status"] for row in table["rows"]}
    return "passed" if table["best"] else "undecided" if "undecided" in states else "failed"


def ordered(rows: Sequence[Table]) -> list[tuple[int, Table]]:
    """Give rows with their places in the table: by verdict, then the smallest first."""
    return sorted(enumerate(rows), key=lambda pair: (ORDER.index(pair[1]["status"]), pair[1]["bytes"] or 0))


def best_of(table: Table) -> Table | None:
    """Give the row of the best variant."""
    return next((row for row in table["rows"] if row["variant"] == table["best"]), None)


def names_of(rows: Sequence[Table], part: str) -> list[str]:
    """List the metrics or outputs that any row has."""
    return list(dict.fromkeys(name for row in rows for name in row[part]))


def unlike_samples(rows: Sequence[Table]) -> bool:
    """Tell whether rows were measured on different samples."""
    return len({row["samples"]["sha256"] for row in rows if row["samples"]}) > 1


def failures(rows: Sequence[Table]) -> Iterator[Table]:
    """Give each reason why variants did not pass once: `status`, `names`, `what`, `remedy`."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        for what, remedy in _reasons(row):
            groups.setdefault((row["status"], what, remedy), []).append(row["variant"])
    for (status, what, remedy), names in sorted(groups.items(), key=lambda group: ORDER.index(group[0][0])):
        yield {"status": status, "names": names, "what": what, "remedy": remedy}


def next_steps(table: Table) -> Iterator[tuple[str, str]]:
    """Give what to do next: a text, and the command for it."""
    recipe, best = table["recipe"]["path"], best_of(table)
    if any(row["status"] == "waiting" for row in table["rows"]):
        yield (
            "The sweep was ended before all variants had run; the same command goes on.",
            f"tflite-pipeline sweep {recipe}",
        )
    if best is not None:
        yield (
            f"Make {best['variant']} alone, with its report and hand-off bundle:",
            run_command(recipe, best["overrides"]),
        )
        metric = next(iter(best["metrics"]), "")
        if metric:
            limit = limit_of(best, metric)
            drop = limit if limit is not None else 0.005
            yield (
                "Look for a smaller file: recovery, calibration methods and a scheme for each layer:",
                f"tflite-pipeline search {recipe} --max-drop {drop:g}",
            )
    else:
        yield f"{advice_where_none_passed(table['rows']).capitalize()}.", ""


def run_command(recipe: str, overrides: Sequence[str]) -> str:
    """Write the command that makes one variant."""
    return shlex.join(["tflite-pipeline", "run", recipe, *(word for text in overrides for word in ("--set", text))])


def limit_of(row: Table, metric: str) -> float | None:
    """Give the limit of the gate on a metric's drop; None where there is none."""
    return next((gate["limit"] for gate in row["gates"] if gate["name"] == f"max_drop:{metric}"), None)


def advice_where_none_passed(rows: Sequence[Table]) -> str:
    """Give what to do first where nothing passed."""
    if any(row["status"] == "undecided" for row in rows):
        return UNDECIDED
    failed = [
        {g["name"] for g in row["gates"] if g["verdict"] == "failed"} for row in rows if row["status"] == "failed"
    ]
    everywhere = sorted(set.intersection(*failed)) if failed else []
    if everywhere:
        return ADVICE[everywhere[0].partition(":")[0]]
    return NONE_PASSED if failed else "mend what the errors tell; the same command goes on"


def _reasons(row: Table) -> Iterator[tuple[str, str]]:
    if row["error"]:
        error = row["error"]
        stage = f"stage {error['stage']}: " if error["stage"] else ""
        refused = row["status"] == "refused"  # why is often the same for many schemes
        yield (
            (str(error["what"]).replace(row["scheme"], "it") if refused else f"{stage}{error['what']}"),
            error["remedy"],
        )
    elif row["status"] == "waiting":
        yield "it has not run: the sweep was ended before it", ""
    for gate in row["gates"]:
        if gate["verdict"] != "passed":
            name = gate["name"]
            yield f"gate {name}", UNDECIDED if gate["verdict"] == "undecided" else ADVICE[name.partition(":")[0]]
