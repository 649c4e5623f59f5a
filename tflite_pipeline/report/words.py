"""How figures read, on the page and in the terminal alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tflite_pipeline.runtime.layers import short_name

NONE = "-"
SHARES = ("top1", "top5", "auc")
_GATES = {"min_agreement": "share", "min_fidelity": "share", "max_size": "bytes", "max_latency_ms": "ms"}
"""By gate: the form of its value; those of metrics have the metric's."""


def bytes_text(count: int | None) -> str:
    """Give a size with the unit that keeps it below 1024; a dash where there is none."""
    if count is None:
        return NONE
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def milliseconds(value: float | None) -> str:
    """Give a latency with three figures that count, zeros too; a dash where there is none."""
    if value is None:
        return NONE
    return f"{value:.0f} ms" if value >= 99.95 else f"{value:#.3g} ms"


def share_text(value: float | None) -> str:
    """Give a share in percent; a dash where there is none."""
    return NONE if value is None else f"{value:.2%}"


def share_between(interval: list[float] | None) -> str:
    """Give an interval of a share; a dash where there is none."""
    return NONE if interval is None else " … ".join(map(share_text, interval))


def lsb_text(value: float | None) -> str:
    """Give a difference in steps of the output's scale; a dash where it has none."""
    return NONE if value is None else f"{value:.3g} LSB"


def decibels(value: float | None) -> str:
    """Give a ratio of powers; a dash where nothing differs."""
    return NONE if value is None else f"{value:.1f} dB"


def is_share(metric: str) -> bool:
    """Tell whether a metric reads as a percentage."""
    return metric.split(":")[0] in SHARES


def number_text(value: float | None) -> str:
    """Give a number with four figures that count; a dash where there is none."""
    return NONE if value is None else f"{value:.4g}"


def score_text(value: float) -> str:
    """Give a score with three decimals, so that scores stand below each other."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"


def count_text(value: int | None) -> str:
    """Give a count with its thousands apart; a dash where there is none."""
    return NONE if value is None else f"{value:,}".replace(",", "\u202f")


def metric_form(metric: str) -> str:
    """Name the form of a metric's values: shares in percent, others as numbers."""
    return "share" if is_share(metric) else "number"


def drop_form(metric: str) -> str:
    """Name the form of a metric's drop: in points for shares."""
    return "points" if is_share(metric) else "change"


def gate_form(gate: str, value: Any) -> str:
    """Name the form of a gate's value or limit, by the gate's name."""
    kind, _, metric = gate.partition(":")
    if not isinstance(value, int | float):
        return "text"
    if kind.endswith("_drop"):
        return drop_form(metric)
    return metric_form(metric) if kind == "min" else _GATES.get(kind, "number")


def metric_text(value: float, metric: str) -> str:
    """Give a metric's value."""
    return FORMS[metric_form(metric)](value)


def change_text(row: dict[str, Any], metric: str) -> str:
    """Give the drop."""
    return FORMS[drop_form(metric)](row["drop"])


def interval_text(interval: list[float], metric: str) -> str:
    """Give an interval of a drop in the metric's unit."""
    return FORMS[f"{drop_form(metric)}_between"](interval)


def points_text(value: float) -> str:
    """Give a difference of shares."""
    return f"{100 * value:+.2f} points"


def points_between(interval: list[float]) -> str:
    """Give an interval of a difference of shares, in points."""
    low, high = interval
    return f"{100 * low:+.2f} … {100 * high:+.2f}"


def signed_text(value: float) -> str:
    """Give a difference with its sign."""
    return f"{value:+.3g}"


def signed_between(interval: list[float]) -> str:
    """Give an interval of a difference."""
    low, high = interval
    return f"{low:+.3g} … {high:+.3g}"


def difference_text(difference: dict[str, dict[str, float | None]] | None) -> str:
    """Give the largest difference by output, in steps of the output or, of a float one, as it is."""
    if not difference:
        return NONE
    texts = (lsb_text(row["lsb"]) if "lsb" in row else number_text(row.get("absolute")) for row in difference.values())
    return ", ".join(texts)


def recovered_text(recovery: dict[str, Any]) -> str:
    """Tell which passes of recovery were kept, and what they gained where several were tried."""
    if not recovery["tried"]:
        return ", ".join(recovery["used"] or recovery["left"])
    used = ", ".join(recovery["used"]) or "none was sure to help"
    gains = {tuple(row["passes"]): row["sqnr_db"] for row in recovery["tried"]}
    before, after = gains[()], gains[tuple(recovery["used"])]
    return f"{used}; of {len(gains)} ways tried, SQNR {decibels(after)} (without {decibels(before)})"


def layer_name(row: dict[str, Any]) -> str:
    """Name the layer of an op, of several that were fused the first that computes, or else its tensor."""
    return str(row["layer"].split(", ")[-1]) if row["layer"] else short_name(row["tensor"])


def flat(figures: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Spread figures within figures over lines: names with a dot between them, and the value as text."""
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number_text(value)
    return (", ".join(map(str, value)) if isinstance(value, list) else str(value)) or NONE


FORMS: dict[str, Callable[[Any], str]] = {
    "bytes": bytes_text,
    "ms": milliseconds,
    "share": share_text,
    "share_between": share_between,
    "lsb": lsb_text,
    "db": decibels,
    "number": number_text,
    "text": lambda value: NONE if value is None else str(value),
    "score": score_text,
    "count": count_text,
    "points": points_text,
    "points_between": points_between,
    "change": signed_text,
    "change_between": signed_between,
}
"""How a number of the report reads, by the name that the page gives its form; pages, summary and terminal agree."""
