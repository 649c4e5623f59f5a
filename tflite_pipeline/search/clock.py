"""The budget of a search and what earlier attempts spent go in; what is left comes out, known work not counted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator

SEARCHING = 0.9
"""The share of the budget that goes into trying candidates; the rest is for the final check and the full run."""


class OutOfTimeError(Exception):
    """The budget is spent; the search ends with what it has."""


class Clock:
    """Counts the time of work that no earlier attempt has done; that is found in the cache, and costs next to none."""

    def __init__(self, budget: float, spent: float, known: Collection[tuple[str, str]]) -> None:
        """`known` are the steps that earlier attempts have finished, `spent` the seconds that they took."""
        self.budget = budget
        self._known = frozenset(known)
        self.done = set(known)
        self._before = spent
        self._since = time.perf_counter()
        self._free = 0.0

    @property
    def spent(self) -> float:
        """Seconds, over all attempts."""
        return self._before + time.perf_counter() - self._since - self._free

    @property
    def left(self) -> float:
        """Seconds for candidates that are left."""
        return self.budget * SEARCHING - self.spent

    def knows(self, recipe: str, step: str) -> bool:
        """Tell whether an earlier attempt has finished a step."""
        return (recipe, step) in self._known

    @contextlib.contextmanager
    def step(self, recipe: str, step: str) -> Iterator[None]:
        """Do a step of a candidate. Raises OutOfTimeError before a new one where no time is left."""
        if not self.knows(recipe, step):
            if self.left <= 0:
                raise OutOfTimeError
            yield
            self.done.add((recipe, step))
            return
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._free += time.perf_counter() - begin
