"""A `.tflite` in; the oldest TensorFlow Lite release that runs it, why, and what an app has to name for it, out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.runtime.op_codes import OpCode, claimed_runtime, read_op_codes, widest_clips
from tflite_pipeline.targets.contents import told_by_op
from tflite_pipeline.targets.kernel_rules import RULES
from tflite_pipeline.targets.op_versions import LAST, RELEASES
from tflite_pipeline.targets.packages import PACKAGES

EARLIEST = "1.5"
"""Where nothing needs more: the release that brought TensorFlow Lite."""
_EXTRAS = frozenset({"AudioSpectrogram", "Mfcc", "NumericVerify", "TFLite_Detection_PostProcess"})
"""Custom ops that the prebuilt runtimes hold."""


@dataclass(frozen=True)
class Need:
    """A release that the file needs, and what needs it."""

    release: str
    why: str


@dataclass(frozen=True)
class Floor:
    """What a file needs: `release` is the oldest that runs it, as far as it is known.

    `unknown` are ops and versions that no table knows, `foreign` custom ops that an app has to bring itself. `claimed`
    is the release in the file's own metadata, "" where there is none.
    """

    release: str
    needs: tuple[Need, ...]
    unknown: tuple[str, ...]
    foreign: tuple[str, ...]
    claimed: str

    def beyond(self, release: str) -> list[Need]:
        """List what a runtime of this release lacks."""
        return [need for need in self.needs if _number(need.release) > _number(release)]


def runtime_floor(path: Path, layers: Collection[str] = ()) -> Floor:
    """Find the oldest release that loads the file and computes what today's does; `layers` are those of Keras.

    Raises StageError on damage.
    """
    codes = read_op_codes(path)
    versions, unknown = _by_versions(code for code in codes if not code.custom)
    needs = (*versions, *_by_kernels(path, layers))
    return Floor(
        release=max((need.release for need in needs), key=_number, default=EARLIEST),
        needs=tuple(sorted(needs, key=lambda need: _number(need.release), reverse=True)),
        unknown=tuple(unknown),
        foreign=tuple(code.name for code in codes if code.custom and code.name not in _EXTRAS),
        claimed=claimed_runtime(path),
    )


def describe_floor(path: Path, layers: Collection[str] = ()) -> dict[str, Any]:
    """Give the floor as plain values for a report, with what an app has to name and what the metadata claims."""
    floor = runtime_floor(path, layers)
    return {
        "release": floor.release,
        "because": [need.why for need in floor.needs if need.release == floor.release],
        "unknown": list(floor.unknown),
        "custom_ops": list(floor.foreign),
        "claimed": floor.claimed,
        "claim_holds": _number(floor.claimed) >= _number(floor.release) if floor.claimed else None,
        "packages": app_needs(floor.release),
    }


def app_needs(release: str) -> dict[str, str]:
    """Give, by `gradle`, `pod`, `pip` and `tflm`, what an app has to name to get a runtime of this release or newer."""
    return next(row for last, row in PACKAGES if _number(release) <= _number(last))


def _by_versions(codes: Iterable[OpCode]) -> tuple[list[Need], list[str]]:
    needs, unknown = [], []
    for code in codes:
        releases = RELEASES.get(code.name, ())
        release = releases[code.version - 1] if 0 < code.version <= len(releases) else "-"
        if release == "-":
            unknown.append(str(code))
        else:
            needs.append(Need(release, f"{code} came with {release}"))
    return needs, unknown


def _by_kernels(path: Path, layers: Collection[str]) -> Iterator[Need]:
    graphs, clips = read_graphs(path), widest_clips(path)
    for rule in RULES:
        found = [
            (graph, op)
            for graph in graphs
            for op in graph.ops
            if rule.fits(graph, op, clips.get((graph.index, op.index), 0.0))
        ]
        for told in told_by_op(found, f"needs {rule.release}: {rule.why}", layers):
            yield Need(rule.release, told.removesuffix("."))


def _number(release: str) -> tuple[int, ...]:
    parts = (release or LAST).split(".")
    return tuple(int(part) for part in parts if part.isdigit())[:2]
