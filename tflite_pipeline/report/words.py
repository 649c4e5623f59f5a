"""How figures read, on the page and in the terminal alike."""

from __future__ import annotations

from typing import Any

NONE = "-"
SHARES = ("top1", "top5", "auc")


def bytes_text(count: int) -> str:
    """Give a size with the unit that keeps it below 1024."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def milliseconds(value: float) -> str:
    """Give a latency with three figures that count."""
    return f"{value:.3g} ms"


def share_text(value: float | None) -> str:
    """Give a share in percent; a dash where there is none."""
    return NONE if value is None else f"{value:.2%}"


def lsb_text(value: float | None) -> str:
    """Give a difference in steps of the output's scale; a dash where it has none."""
    return NONE if value is None else f"{value:.3g} LSB"


def decibels(value: float | None) -> str:
    """Give a ratio of powers; a dash where nothing differs."""
    return NONE if value is None else f"{value:.1f} dB"


def is_share(metric: str) -> bool:
    """Tell whether a metric reads as a percentage."""
    return metric.split(":")[0] in SHARES


def metric_text(value: float, metric: str) -> str:
    """Give a metric's value: shares in percent, others as numbers."""
    return f"{value:.2%}" if is_share(metric) else f"{value:.4g}"


def change_text(row: dict[str, Any], metric: str) -> str:
    """Give the drop: in points for shares."""
    return f"{100 * row['drop']:+.2f} points" if is_share(metric) else f"{row['drop']:+.3g}"


def interval_text(interval: list[float], metric: str) -> str:
    """Give an interval of a drop in the metric's unit."""
    low, high = interval
    return f"{100 * low:+.2f} … {100 * high:+.2f}" if is_share(metric) else f"{low:+.3g} … {high:+.3g}"


def recovered_text(recovery: dict[str, Any]) -> str:
    """Tell which passes of recovery were kept, and what they gained where several were tried."""
    if not recovery["tried"]:
        return ", ".join(recovery["used"] or recovery["left"])
    used = ", ".join(recovery["used"]) or "none was sure to help"
    gains = {tuple(row["passes"]): row["sqnr_db"] for row in recovery["tried"]}
    before, after = gains[()], gains[tuple(recovery["used"])]
    return f"{used}; of {len(gains)} ways tried, SQNR {decibels(after)} (without {decibels(before)})"
