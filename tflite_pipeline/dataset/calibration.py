"""Rows of a split come in, the rows to use go out: drawn by class with a seed, passing over evaluation samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tflite_pipeline.dataset.drawing import draw_order
from tflite_pipeline.dataset.mistakes import listed
from tflite_pipeline.dataset.table import Array
from tflite_pipeline.errors import StageError


@dataclass(frozen=True)
class Choice:
    """Rows of the table, int64, ascending where they were drawn; `passed_over` counts rows that were taken."""

    rows: Array
    passed_over: int = 0


def _none_taken(row: int) -> bool:
    return False


def choose(
    classes: Array | None,
    rows: Array,
    samples: int | None,
    seed: int,
    role: str,
    is_taken: Callable[[int], bool] = _none_taken,
) -> Choice:
    """Draw `samples` of `rows` (all where None), each class in proportion; those that are taken are passed over.

    Args:
        classes: class numbers of all rows of the table, or None.
        rows: the rows of the split, int64.
        samples: how many to draw.
        seed: the recipe's seed.
        role: which key of the dataset section asks; roles draw independently.
        is_taken: tells whether a row is used for evaluation already.

    Raises:
        StageError: where there are fewer rows than asked for, or none.
    """
    wanted = len(rows) if samples is None else samples
    if wanted > len(rows):
        raise StageError(
            f"dataset.{role}.samples must be at most {len(rows)}, all that the split has. Got {wanted}.",
            f"Set dataset.{role}.samples to at most {len(rows)}, or use a larger split.",
        )
    chosen: list[int] = []
    passed_over = 0
    for row in draw_order(rows, classes, seed, role).tolist():
        if len(chosen) == wanted:
            break
        if is_taken(row):
            passed_over += 1
        else:
            chosen.append(row)
    if not chosen or (samples is not None and len(chosen) < samples):
        raise StageError(
            f"dataset.{role} needs {samples or 'some'} samples that evaluation does not use. Got {len(chosen)}: "
            f"the split has {len(rows)} rows, of which {passed_over} equal evaluation samples.",
            f"Set dataset.{role}.samples to at most {len(chosen)}, or use another split."
            if chosen
            else f"Use another split for dataset.{role}.",
        )
    return Choice(np.sort(np.asarray(chosen, np.int64)), passed_over)


def pick(rows: Array, positions: tuple[int, ...], role: str, is_taken: Callable[[int], bool]) -> Choice:
    """Take the rows at `positions` of the split, in that order.

    Raises:
        StageError: where a position is past the end, or where its sample is used for evaluation already.
    """
    if past := [position for position in positions if position >= len(rows)]:
        raise StageError(
            f"dataset.{role}.rows must be below {len(rows)}, all that the split has. Got {listed(past[:10])}.",
            f"Correct dataset.{role}.rows.",
        )
    if not positions:
        raise StageError(f"dataset.{role}.rows must name at least one row. Got none.", f"Correct dataset.{role}.rows.")
    chosen = rows[np.asarray(positions, np.int64)]
    if taken := [position for position, row in zip(positions, chosen.tolist(), strict=True) if is_taken(row)]:
        more = f" and {len(taken) - 10} more" if len(taken) > 10 else ""
        raise StageError(
            f"dataset.{role}.rows must not be evaluation samples. Got {listed(taken[:10])}{more}, "
            "whose inputs equal those of evaluation samples.",
            f"Leave them out of dataset.{role}.rows.",
        )
    return Choice(chosen)
