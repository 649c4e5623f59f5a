"""How a stage tells how far it is, wherever it runs: `advance(done, total, what)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
Sink = Callable[[int, int, str], None]

_sinks: list[Sink] = []


def send_to(sink: Sink) -> None:
    """Let `sink(done, total, what)` be called from now on in this process."""
    _sinks[:] = [sink]


def advance(done: int, total: int, what: str) -> None:
    """Tell that `done` of `total` units are done; `what` is one word or two for the user, e.g. `calibrating`."""
    for sink in _sinks:
        sink(done, total, what)


def tracked(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield the items and tell the progress after each."""
    for done, item in enumerate(items, start=1):
        yield item
        advance(done, total, what)
