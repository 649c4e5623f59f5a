"""A `.tflite` in; what it really holds, and whether that is what was asked for, out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from tflite_pipeline.artifacts import TensorInfo
from tflite_pipeline.runtime import census, litert
from tflite_pipeline.runtime.graph import Graph, Weight, read_graphs
from tflite_pipeline.runtime.layers import fits, layers_at
from tflite_pipeline.schemes import SCHEMES, Scheme
from tflite_pipeline.spec import Many, Section, Selector
from tflite_pipeline.validate import kinds
from tflite_pipeline.validate.kinds import (
    FLOATS,
    IN_BLOCKS,
    Part,
    can_be_in_blocks,
    computed_in,
    missed_int4,
    name_scheme,
)
from tflite_pipeline.validate.planned import check_plan, plan_findings

_TOLD = 3
"""Ops that a finding names one by one; all are in `float_ops`."""


class Asked(Section):
    """What the recipe says that the file is to be; ops that fit `allow_float` may compute in float.

    `kept` is what training made of weights and the file must hold, as `artifacts.Tuned` has it.
    """

    scheme: str
    io: str
    allow_float: Many[Selector] = ()
    kept: dict[str, Any] = Field(default={})


def audit(
    path: Path, asked: Asked, plan: Mapping[str, str] | None = None, layers: Collection[str] = ()
) -> dict[str, Any]:
    """Name the scheme that the file's tensors amount to, and everything that speaks against the one asked for.

    `plan` is that of `QuantizedModel`: a file is `mixed` as asked where each op got the scheme planned for it. `layers`
    are the names of the Keras layers. Raises StageError where the file is damaged.
    """
    graphs = read_graphs(path)
    parts = _parts(graphs, asked, layers)
    planned = check_plan(parts, plan) if plan and asked.scheme == "mixed" else None
    found = _found(parts, planned)
    io_found = _io(*litert.describe(path), asked.io)
    custom = sorted({part.op.name for part in parts if part.op.custom})
    return {
        "passed": found == asked.scheme and io_found == asked.io,
        "found": found,
        "asked": asked.scheme,
        "io_found": io_found,
        "io_asked": asked.io,
        **_counts(graphs, parts),
        **_census(path, graphs),
        "float_ops": [_row(part, layers) for part in parts if part.in_float and not part.allowed],
        "allowed_float_ops": [_row(part, layers) for part in parts if part.allowed],
        "custom_ops": custom,
        "plan": planned,
        "findings": [
            *_findings(asked.scheme, found, parts, layers),
            *_plan_findings(asked.scheme, planned),
            *_foreign(custom),
        ],
    }


def _parts(graphs: Sequence[Graph], asked: Asked, layers: Collection[str]) -> list[Part]:
    parts = []
    for graph in graphs:
        for op in graph.ops:
            part = Part(graph, op, computed_in(graph, op), tuple(graph.weights_of(op)))
            fit = part.in_float and any(fits(selector, graph, op, layers) for selector in asked.allow_float)
            parts.append(replace(part, allowed=fit))
    return parts


def _counts(graphs: Sequence[Graph], parts: Sequence[Part]) -> dict[str, Any]:
    ops = Counter(part.op.name for part in parts)
    weights = [weight for part in parts for weight in part.weights]
    return {
        "ops": _counted(ops.elements()),
        "quantize_ops": ops["QUANTIZE"],
        "dequantize_ops": ops["DEQUANTIZE"],
        "dtypes": _counted(tensor.dtype for graph in graphs for tensor in graph.tensors),
        "activations": _counted(dtype for part in parts for dtype in part.dtypes),
        "weights": _counted(weight.dtype for weight in weights),
        "granularity": _counted(weight.granularity for weight in weights if weight.granularity),
    }


def _census(path: Path, graphs: Sequence[Graph]) -> dict[str, Any]:
    """Tell what no scheme speaks of, but runtimes and compilers do."""
    model = litert.read_model(path)
    return {
        "op_versions": census.op_versions(model),
        "channel_axes": census.channel_axes(model, graphs),
        "open_tensors": census.open_tensors(model),
        "shape_chains": census.shape_chains(graphs),
    }


def _row(part: Part, layers: Collection[str]) -> dict[str, Any]:
    op, graph = part.op, part.graph
    place = {"op": op.name, "index": op.index, "subgraph": graph.index}
    tensor = graph.tensors[op.outputs[0]].name if op.outputs else ""
    return {**place, "tensor": tensor, "layer": ", ".join(layers_at(graph, op, layers))}


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _found(parts: Sequence[Part], planned: Mapping[str, Any] | None) -> str:
    """Name what was found; ops that keep to their plan are mixed, even where all were planned alike."""
    found = name_scheme(_judged(parts))
    if planned is None:
        return found
    if planned["checked"] and not planned["mismatches"]:
        return "mixed"
    return found if found != "mixed" else "mixed, not as planned"


def _judged(parts: Sequence[Part]) -> list[Part]:
    """Set aside what may be float: the activations of allowed ops, and those of their weights that were left float."""
    quantized = (tuple(weight for weight in part.weights if weight.dtype not in FLOATS) for part in parts)
    return [
        replace(part, dtypes=frozenset(), weights=weights) if part.allowed else part
        for part, weights in zip(parts, quantized, strict=True)
    ]


def _io(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo], asked: str) -> str:
    """Name the dtype of the border; ids, counts and flags cannot be quantized and do not count."""
    sides = [sorted({info.dtype for info in side if info.dtype in FLOATS or info.scale}) for side in (inputs, outputs)]
    dtypes = {dtype for side in sides for dtype in side}
    if len(dtypes) > 1:
        return f"{'/'.join(sides[0]) or 'no numbers'} in, {'/'.join(sides[1]) or 'no numbers'} out"
    return dtypes.pop() if dtypes else asked


def _findings(asked: str, found: str, parts: Sequence[Part], layers: Collection[str]) -> list[str]:
    kind = SCHEMES.get(asked) if asked != "mixed" else None
    integer = kind is not None and kind.activations not in FLOATS
    weights = [weight for part in _judged(parts) for weight in part.weights]
    floats = [part for part in parts if part.in_float and not part.allowed]
    findings = []
    if integer and floats:
        names = _listed(part.op.name for part in floats)
        places = ", ".join(_place(part, layers) for part in floats[:_TOLD]) + ", …" * (len(floats) > _TOLD)
        findings.append(f"{names} compute in float, {len(floats)} of the file's ops: {places}.")
    if kind is not None:
        findings += [*_left_float(asked, weights), *_read_otherwise(kind, weights)]
        findings += [*_beside_int4(kind, weights), *_without_blocks(kind, weights)]
        if asked != found and not findings:
            findings.append(f"the file is {found}.")
    allowed = [part.op.name for part in parts if part.allowed]
    if allowed and (kind is None or integer):
        findings.append(f"{_listed(allowed)} compute in float, as quantization.allow_float permits.")
    return findings


def _place(part: Part, layers: Collection[str]) -> str:
    row = _row(part, layers)
    return f"'{row['tensor']}'" + (f" (layer {row['layer']})" if row["layer"] else "")


def _plan_findings(asked: str, planned: Mapping[str, Any] | None) -> list[str]:
    if planned is not None:
        return plan_findings(planned)
    return ["which op got which scheme was not checked: there is no plan."] if asked == "mixed" else []


def _foreign(custom: Iterable[str]) -> list[str]:
    return [f"the op {name} is not one of LiteRT's own: apps have to bring it." for name in custom]


def _left_float(asked: str, weights: Sequence[Weight]) -> Iterator[str]:
    left = [weight for weight in weights if weight.dtype in FLOATS]
    if asked in ("float32", "float16") or not left:
        return
    largest = max(left, key=lambda weight: weight.elements)
    text = f"{len(left)} of {len(weights)} weights are {largest.dtype}, the largest '{largest.name}' "
    text += f"with {largest.elements} elements"
    small = asked.startswith(("dynamic_", "weight_")) and largest.elements < kinds.LEAST_QUANTIZED
    why = f": the converter leaves weights under {kinds.LEAST_QUANTIZED} elements float" if small else ""
    yield f"{text}{why}."


def _read_otherwise(kind: Scheme, weights: Sequence[Weight]) -> Iterator[str]:
    """Tell integer weights that are turned to float before their use and should not be, or the other way round."""
    integers = [weight for weight in weights if weight.dtype not in FLOATS]
    other = sum(weight.unpacked != kind.unpacked for weight in integers)
    if other and kind.unpacked:
        yield f"{other} of {len(weights)} weights are not turned to float before they are used."
    elif other:
        yield f"{other} of {len(weights)} weights are turned to float before they are used."


def _beside_int4(kind: Scheme, weights: Sequence[Weight]) -> Iterator[str]:
    if kind.weights != "int4":
        return
    missed = [weight.op for weight in missed_int4(weights)]
    spared = [weight.op for weight in weights if weight.dtype == "int8" and weight.op not in missed]
    if missed:
        yield f"{len(missed)} of {len(weights)} weights are int8, although there is an int4 kernel: {_listed(missed)}."
    if spared:
        yield f"{len(spared)} of {len(weights)} weights are int8, as there is no int4 kernel: {_listed(spared)}."


def _without_blocks(kind: Scheme, weights: Sequence[Weight]) -> Iterator[str]:
    wanted = f"block{kind.block}"
    other = [w for w in weights if kind.block and w.op in IN_BLOCKS and w.dtype == "int4" and w.granularity != wanted]
    odd = [weight for weight in other if not can_be_in_blocks(weight, kind.block)]
    if odd:
        yield f"{len(odd)} of {len(weights)} weights are not in blocks, as {kind.block} does not divide their depth."
    if missed := len(other) - len(odd):
        yield f"{missed} of {len(weights)} weights are not in blocks of {kind.block}, although these would fit."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())
