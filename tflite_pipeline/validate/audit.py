"""A `.tflite` in; what it really holds, and whether that is what was asked for, out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import TensorInfo
from tflite_pipeline.runtime import litert
from tflite_pipeline.validate.graph import Graph, Op, Weight, read_graphs

LEAST_QUANTIZED = 1024
"""Elements below which the converter leaves a weight float when only weights are quantized."""

_NO_DATA = {"SHAPE", "RANK"}
"""Ops that look at a tensor's shape, never at its values."""
_BORDER = {"QUANTIZE", "DEQUANTIZE"}
_FLOATS = {"float32", "float16", "bfloat16", "float64"}
_INTEGERS = {"int4", "int8", "uint8", "int16"}


def audit(path: Path, asked_scheme: str, asked_io: str) -> dict[str, Any]:
    """Name the scheme that the file's tensors amount to, and everything that speaks against the one asked for.

    Raises StageError where the file is damaged.
    """
    graphs = read_graphs(path)
    ops = [op for graph in graphs for op in graph.ops]
    float_ops = [(graph, op) for graph in graphs for op in graph.ops if _computes_in(graph, op, _FLOATS)]
    activations = _activations(graphs)
    weights = _weights(graphs)
    found = _scheme(activations, weights)
    inputs, outputs = litert.describe(path)
    io_found = _io(inputs, outputs, asked_io)
    custom = sorted({op.name for op in ops if op.custom})
    findings = [
        *_scheme_findings(asked_scheme, found, [op for _, op in float_ops], weights),
        *(f"the op {name} is not one of LiteRT's own: apps have to bring it." for name in custom),
    ]
    return {
        "passed": found == asked_scheme and io_found == asked_io,
        "found": found,
        "asked": asked_scheme,
        "io_found": io_found,
        "io_asked": asked_io,
        "ops": dict(Counter(op.name for op in ops).most_common()),
        "dtypes": dict(Counter(tensor.dtype for graph in graphs for tensor in graph.tensors).most_common()),
        "weights": dict(Counter(weight.dtype for weight in weights).most_common()),
        "activations": dict(activations.most_common()),
        "float_ops": [_row(graph, op) for graph, op in float_ops],
        "quantize_ops": sum(op.name == "QUANTIZE" for op in ops),
        "dequantize_ops": sum(op.name == "DEQUANTIZE" for op in ops),
        "custom_ops": custom,
        "findings": findings,
    }


def _row(graph: Graph, op: Op) -> dict[str, Any]:
    tensor = graph.tensors[op.outputs[0]].name if op.outputs else ""
    return {"op": op.name, "index": op.index, "subgraph": graph.index, "tensor": tensor}


def _computes_in(graph: Graph, op: Op, dtypes: set[str]) -> bool:
    """Tell whether an op works on activations of these dtypes; what only changes the dtype at the border does not."""
    if op.name in _BORDER | _NO_DATA or (op.name == "CAST" and graph.at_border(op)):
        return False
    return any(graph.tensors[i].dtype in dtypes for i in graph.activations_of(op))


def _activations(graphs: Sequence[Graph]) -> Counter[str]:
    """Count ops by the dtype they compute in; whole numbers that stand for nothing else do not count."""
    counts: Counter[str] = Counter()
    for graph in graphs:
        for op in graph.ops:
            if op.name in _BORDER | _NO_DATA or (op.name == "CAST" and graph.at_border(op)):
                continue
            tensors = [graph.tensors[i] for i in graph.activations_of(op)]
            counts.update({t.dtype for t in tensors if t.dtype in _FLOATS or (t.dtype in _INTEGERS and t.quantized)})
    return counts


def _weights(graphs: Sequence[Graph]) -> list[Weight]:
    return [weight for graph in graphs for op in graph.ops for weight in graph.weights_of(op)]


def _scheme(activations: Iterable[str], weights: Sequence[Weight]) -> str:
    kinds = set(activations)
    stored = {weight.dtype for weight in weights}
    if kinds <= _FLOATS:
        return _float_scheme(weights)
    if kinds & _FLOATS:
        return "mixed"
    if kinds == {"int16"} and stored <= {"int8"}:
        return "int16x8"
    if len(kinds) == 1 and stored <= kinds:
        return f"full_{kinds.pop()}"
    return "mixed"


def _float_scheme(weights: Sequence[Weight]) -> str:
    """Name the scheme of a graph that computes in float, from how its weights are stored and read."""
    packed = [weight for weight in weights if weight.dtype != "float32"]
    if not packed:
        return "float32"
    dtypes = {weight.dtype for weight in packed}
    left = [weight for weight in weights if weight.dtype == "float32" and weight.elements >= LEAST_QUANTIZED]
    if left or len(dtypes) > 1:
        return "mixed"
    dtype = dtypes.pop()
    if dtype == "float16":
        return "float16"
    return f"dynamic_{dtype}" if any(not weight.unpacked for weight in packed) else f"weight_{dtype}"


def _io(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo], asked: str) -> str:
    """Name the dtype of the border; ids, counts and flags cannot be quantized and do not count."""
    sides = [sorted({info.dtype for info in side if info.dtype in _FLOATS or info.scale}) for side in (inputs, outputs)]
    dtypes = {dtype for side in sides for dtype in side}
    if len(dtypes) > 1:
        return f"{'/'.join(sides[0]) or 'no numbers'} in, {'/'.join(sides[1]) or 'no numbers'} out"
    return dtypes.pop() if dtypes else asked


def _scheme_findings(asked: str, found: str, float_ops: Sequence[Op], weights: Sequence[Weight]) -> list[str]:
    findings = []
    if asked in ("full_int8", "int16x8") and float_ops:
        names = ", ".join(f"{count} {name}" for name, count in Counter(op.name for op in float_ops).most_common())
        findings.append(f"{names} compute in float, {len(float_ops)} of the file's ops.")
    if asked not in ("float32", "float16") and (left := [w for w in weights if w.dtype in _FLOATS]):
        largest = max(left, key=lambda weight: weight.elements)
        text = f"{len(left)} of {len(weights)} weights are {largest.dtype}, the largest '{largest.name}' "
        text += f"with {largest.elements} elements"
        small = asked.startswith(("dynamic_", "weight_")) and largest.elements < LEAST_QUANTIZED
        why = f": the converter leaves weights under {LEAST_QUANTIZED} elements float" if small else ""
        findings.append(f"{text}{why}.")
    unpacked = [w for w in weights if w.unpacked and w.dtype != "float16"]
    if unpacked and asked != "mixed":
        findings.append(f"{len(unpacked)} of {len(weights)} weights are turned to float before they are used.")
    if asked != found and not findings:
        findings.append(f"the file is {found}.")
    return findings
