"""Findings about a target in; the row of the report that tells them, and who says so, out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BY_RULE = "by rule"
"""Judged by what is documented or was measured of a target, not by running it."""
NOT_CHECKED = "not checked"


def judged(
    checked_by: str,
    findings: Sequence[str],
    unknown: Sequence[str] = (),
    told: str = "nothing speaks against it",
    figures: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Give a check's result: it failed where there are findings, and is undecided where something is unknown.

    `told` says it where there are no findings; `figures` are what was found out besides, by name.
    """
    passed = False if findings else None if unknown else True
    return {
        "passed": passed,
        "checked_by": checked_by,
        "findings": [*findings, *unknown],
        "told": told,
        "figures": dict(figures or {}),
    }


def not_checked(reason: str) -> dict[str, Any]:
    """Give the result of a check that could not be made; neither passed nor failed."""
    return {"passed": None, "checked_by": NOT_CHECKED, "findings": [reason], "told": "", "figures": {}}
