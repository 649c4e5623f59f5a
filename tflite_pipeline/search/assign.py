"""What each layer loses and weighs under each scheme goes in; assignments of schemes to layers, as rules, come out."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tflite_pipeline.convert.sensitivity import OpEffect, Sensitivity
from tflite_pipeline.runtime.graph import Graph, Op
from tflite_pipeline.runtime.layers import layers_at
from tflite_pipeline.schemes import SCHEMES

Assignment = dict[int, str]
"""By number of the op in subgraph 0: its scheme."""

FAMILIES: tuple[tuple[str, ...], ...] = (
    ("int8x4", "full_int8", "int16x8", "float32"),
    ("dynamic_int4", "dynamic_int8", "float32"),
    ("weight_int4", "weight_int8", "float16", "float32"),
)
"""Schemes that meet in one file, the smallest first."""
BORDER = 256
"""Bytes that the conversions at either side of an op take where its activations are of another type than its
neighbours'."""
RUNGS = 24
_WIDEST = 1e-4
"""The tightest bound, as a share of what is lost with the smallest scheme everywhere."""


@dataclass(frozen=True)
class Option:
    """An op under a scheme: what it weighs in bytes, and what the outputs lose."""

    op: int
    scheme: str
    bytes: int
    loss: float


@dataclass(frozen=True)
class Ladder:
    """Assignments, the smallest first."""

    rungs: tuple[Assignment, ...]


def options_of(found: Sensitivity, family: Sequence[str]) -> tuple[Option, ...]:
    """List what each op with weights can have; what float32 loses is nothing."""
    usual = SCHEMES[family[0]].activations
    rows = [row for row in found.rows if row.float_bytes and row.scheme in family]
    options = {
        (row.index, row.scheme): Option(row.index, row.scheme, row.bytes + _border(row.scheme, usual), _loss(row))
        for row in rows
        if not row.refused and row.bytes is not None
    }
    if "float32" in family:
        for row in rows:
            left = Option(row.index, "float32", row.float_bytes + _border("float32", usual), 0.0)
            options[row.index, "float32"] = left
    return tuple(options[key] for key in sorted(options, key=lambda key: (key[0], family.index(key[1]))))


def _border(scheme: str, usual: str) -> int:
    return BORDER if SCHEMES[scheme].activations != usual else 0


def _loss(row: OpEffect) -> float:
    """Give a loss that adds up over ops: the divergence of the classes, or the noise in units of the signal."""
    noise = 0.0 if row.sqnr_db is None else 10 ** (-row.sqnr_db / 10)
    return noise if row.divergence is None else max(0.0, row.divergence)


def assign(options: Sequence[Option], bound: float) -> Assignment | None:
    """Choose a scheme for each op: the fewest bytes whose losses sum to at most `bound`; None where none does.

    A multiple-choice knapsack, solved to its end by `scipy.optimize.milp`; of equal sizes the one that loses less.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    scale = max((option.loss for option in options), default=0.0) or 1.0
    ops = sorted({option.op for option in options})
    one_each = np.array([[float(option.op == op) for option in options] for op in ops])
    losses = np.array([option.loss / scale for option in options])
    sizes = np.array([float(option.bytes) for option in options])
    solved = milp(
        sizes + losses / max(1.0, losses.sum()) / 2,
        constraints=[LinearConstraint(one_each, 1, 1), LinearConstraint(losses[None], -np.inf, bound / scale)],
        integrality=np.ones(len(options)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0},
    )
    if solved.x is None:
        return None
    return {option.op: option.scheme for option, taken in zip(options, solved.x, strict=True) if taken > 0.5}


def ladder(options: tuple[Option, ...], bounds: tuple[float, float] | None, out: Path) -> Ladder:
    """Assign under bounds from loose to tight, so from small to large; each assignment once. Nothing is written.

    `bounds` are the losses to stay between, by default all that there are.
    """
    del out
    by_op: dict[int, list[Option]] = {}
    for option in options:
        by_op.setdefault(option.op, []).append(option)
    most = sum(min(found, key=lambda option: option.bytes).loss for found in by_op.values())
    least = sum(min(option.loss for option in found) for found in by_op.values())
    bottom, top = bounds or (max(least * (1 + 1e-9), most * _WIDEST), most)
    if not by_op or not 0 < bottom < top:
        return Ladder(())
    found = [assign(options, float(bound)) for bound in np.geomspace(top, bottom, RUNGS)[1:]]
    distinct: list[Assignment] = []
    for one in found:
        if one is not None and one not in distinct:
            distinct.append(one)
    return Ladder(tuple(distinct))


def loss_of(options: Sequence[Option], chosen: Mapping[int, str]) -> float:
    """Add up what an assignment loses."""
    return sum(option.loss for option in options if chosen.get(option.op) == option.scheme)


def rules_of(chosen: Mapping[int, str], graph: Graph, layers: Sequence[str], usual: str) -> tuple[dict[str, str], ...]:
    """Write an assignment as rules: exceptions by layer or tensor, then each type of op, `usual` for the rest."""
    of_type: dict[str, Counter[str]] = {}
    for index, scheme in chosen.items():
        of_type.setdefault(graph.ops[index].name, Counter())[scheme] += 1
    most = {name: max(sorted(counts), key=counts.__getitem__) for name, counts in of_type.items()}
    exceptions: list[dict[str, str]] = []
    for op in graph.ops:
        scheme = chosen.get(op.index, usual)
        if scheme != most.get(op.name, usual):
            exceptions.append({**_selector(op, scheme, chosen, graph, layers, usual), "scheme": scheme})
    types = [{"op": name, "scheme": scheme} for name, scheme in sorted(most.items()) if scheme != usual]
    distinct = [rule for place, rule in enumerate(exceptions) if rule not in exceptions[:place]]
    return (*distinct, *types, {"tensor": "*", "scheme": usual})


def _selector(
    op: Op, scheme: str, chosen: Mapping[int, str], graph: Graph, layers: Sequence[str], usual: str
) -> dict[str, str]:
    """Name an op by a layer all of whose ops have its scheme, or else by its tensor."""
    for layer in layers_at(graph, op, layers):
        there = [other for other in graph.ops if layer in layers_at(graph, other, layers)]
        if all(chosen.get(other.index, usual) == scheme for other in there):
            return {"layer": layer}
    return {"tensor": glob.escape(graph.tensors[op.outputs[0]].name)}
