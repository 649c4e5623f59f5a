"""The ops of a mixed file and the scheme that was planned for each in; where the two differ out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tflite_pipeline.runtime.graph import Weight
from tflite_pipeline.schemes import SCHEMES, Scheme
from tflite_pipeline.validate.kinds import FLOATS, INTEGERS, WITH_INT4, Part, can_be_in_blocks, is_activation_table

_TOLD = 8
"""Findings of one sort that are told one by one; the rest are counted."""


def check_plan(parts: Sequence[Part], plan: Mapping[str, str]) -> dict[str, Any]:
    """Compare what each op was planned as with what it computes in and how its weights are stored; names find the ops.

    `plan` is by name of the op's first output in the reference. Gives `{checked: n, not_checked: [tensor], mismatches:
    [{op, index, subgraph, tensor, planned, found}]}`. Ops with nothing to quantize, such as those that compute shapes,
    agree with any scheme.
    """
    by_name: dict[str, list[Part]] = {}
    for part in parts:
        for name in part.graph.names[part.op.index]:
            by_name.setdefault(name, []).append(part)
    graphs = {part.graph.index: part.graph for part in parts}.values()
    constant = {graph.tensors[i].name for graph in graphs for i in graph.origins}
    found = {name: by_name.get(name, []) for name in plan if name in by_name or name not in constant}
    checked = {name: same[0] for name, same in found.items() if len(same) == 1}
    return {
        "checked": len(checked),
        "not_checked": [name for name in found if name not in checked],
        "mismatches": [
            _row(part, name, plan[name]) for name, part in checked.items() if not _agrees(part, SCHEMES[plan[name]])
        ],
    }


def plan_findings(check: Mapping[str, Any]) -> list[str]:
    """Tell the mismatches, the first few one by one, and what could not be compared."""
    rows, missed = check["mismatches"], check["not_checked"]
    findings = [
        f"{row['op']} '{row['tensor']}' was planned as {row['planned']}, but computes in {row['found']}."
        for row in rows[:_TOLD]
    ]
    if more := rows[_TOLD:]:
        findings.append(f"{len(more)} more ops are not as planned: see audit.plan.mismatches in report.json.")
    if missed:
        listed = ", ".join(f"'{name}'" for name in missed[:_TOLD]) + ", …" * (len(missed) > _TOLD)
        total = check["checked"] + len(missed)
        findings.append(f"{len(missed)} of {total} planned ops were not checked: no op of the file gives {listed}.")
    return findings


def _row(part: Part, tensor: str, planned: str) -> dict[str, Any]:
    op = part.op
    place = {"op": op.name, "index": op.index, "subgraph": part.graph.index, "tensor": tensor}
    stored = ", ".join(dict.fromkeys(_described(weight) for weight in part.weights))
    found = "/".join(sorted(part.dtypes)) + (f" with {stored} weights" if stored else "")
    return {**place, "planned": planned, "found": found}


def _described(weight: Weight) -> str:
    block = weight.granularity if weight.granularity.startswith("block") else ""
    return " ".join(word for word in ("unpacked" * weight.unpacked, weight.dtype, block) if word)


def _agrees(part: Part, kind: Scheme) -> bool:
    if part.allowed or not part.dtypes:
        return True
    as_asked = part.dtypes <= FLOATS if kind.activations in FLOATS else part.dtypes == {kind.activations}
    return as_asked and all(_is_stored_so(weight, kind) for weight in part.weights)


def _is_stored_so(weight: Weight, kind: Scheme) -> bool:
    if is_activation_table(weight, kind.activations):
        return True
    spared = kind.weights == "int4" and weight.op not in WITH_INT4
    if weight.dtype != kind.weights and not (spared and weight.dtype == "int8"):
        return False
    if weight.dtype in INTEGERS and weight.unpacked != kind.unpacked:
        return False
    in_blocks = bool(kind.block) and can_be_in_blocks(weight, kind.block)
    return weight.granularity == f"block{kind.block}" if in_blocks else not weight.granularity.startswith("block")
