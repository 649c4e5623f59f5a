"""The report of a run in; the verdict in one sentence, and the gates with the most urgent first, out."""

from __future__ import annotations

from typing import Any

from tflite_pipeline.report.words import bytes_text, metric_text

URGENCY = ("failed", "undecided", "passed")
_NAMED = 3

Report = dict[str, Any]


def verdict_text(report: Report) -> str:
    """Tell in one sentence whether the file ships, and what it is."""
    return f"{_gates_told(report)}: {_file_told(report)}."


def urgent_first(gates: list[Report]) -> list[Report]:
    """Order gates by their verdict, those of one verdict as they came."""
    return sorted(gates, key=lambda gate: URGENCY.index(gate["verdict"]))


def _gates_told(report: Report) -> str:
    gates, verdict = report["gates"], report["verdict"]
    names = [gate["name"] for gate in gates if gate["verdict"] == verdict]
    if verdict == "passed":
        return "The gate holds" if len(names) == 1 else f"All {len(names)} gates hold"
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    what = "failed" if verdict == "failed" else "could not be decided"
    return f"{len(names)} of {len(gates)} gates {what} ({listed})"


def _file_told(report: Report) -> str:
    share = report["model"]["bytes"] / report["reference"]["bytes"]
    text = f"the {report['scheme']['found']} file has {bytes_text(report['model']['bytes'])}, "
    text += f"{share:.0%} of the float file's size"
    for name, row in report["metrics"].items():
        before, after = (metric_text(row[side], name) for side in ("reference", "quantized"))
        return f"{text}, and {name} goes from {before} to {after}"
    return f"{text}; how accurate it is was not measured"
