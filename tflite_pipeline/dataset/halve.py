"""Samples in; one of two halves that have no sample in common out, the same whatever the order of the samples."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from tflite_pipeline.artifacts import Samples
from tflite_pipeline.errors import StageError

Half = Literal["search", "check"]
LEAST = 4
"""Different samples without which halves tell nothing."""


def halve(samples: Samples, half: Half, out: Path) -> Samples:
    """Copy half of the samples into `out/inputs` and `out/labels`; samples that are equal go into the same half.

    The digests decide, so the halves are random as to class and row, and a sample stays where it is when others leave
    or arrive nearby. Raises StageError where there are too few.
    """
    digests = sorted(set(samples.digests))
    if len(digests) < LEAST:
        raise StageError(
            f"evaluation must have at least {LEAST} different samples, half of them for the final check. Got "
            f"{len(digests)}.",
            "Raise dataset.evaluation.samples.",
        )
    middle = digests[len(digests) // 2]
    rows = [row for row, digest in enumerate(samples.digests) if (digest < middle) == (half == "search")]
    copied: dict[str, dict[str, Path]] = {}
    for kind, arrays in (("inputs", samples.inputs), ("labels", samples.labels)):
        (out / kind).mkdir()
        copied[kind] = {name: out / kind / path.name for name, path in arrays.items()}
        for name, path in arrays.items():
            np.save(copied[kind][name], np.load(path, mmap_mode="r")[rows])
    return Samples(
        half,
        out,
        copied["inputs"],
        copied["labels"],
        tuple(samples.rows[row] for row in rows),
        tuple(samples.digests[row] for row in rows),
        samples.classes,
        samples.synthetic,
        f"{samples.digest} {half}",
    )
