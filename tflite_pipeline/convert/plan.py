"""The rules of a recipe and the graph of its reference to what each op gets: scheme and calibration method."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tflite_pipeline.convert.spec import Method, Quantization
from tflite_pipeline.runtime.graph import Graph, Op
from tflite_pipeline.runtime.layers import fits, refuse_strangers

Place = tuple[int, int]
"""Number of the subgraph, number of the op or tensor in it."""


@dataclass(frozen=True)
class Plan:
    """The scheme of each op by its place, and the calibration method of each tensor of subgraph 0 by its number."""

    schemes: dict[Place, str]
    methods: dict[int, Method]


def make_plan(spec: Quantization, graphs: Sequence[Graph], layers: Collection[str]) -> Plan:
    """Apply the rules in order; the first that fits an op and says something decides it.

    Raises StageError where a rule or `allow_float` means no op of the graph.
    """
    refuse_strangers(spec.rules, graphs, layers, "quantization.rules")
    refuse_strangers(spec.allow_float, graphs, layers, "quantization.allow_float")
    schemes: dict[Place, str] = {}
    methods: dict[int, Method] = {}
    for graph in graphs:
        for op in graph.ops:
            schemes[graph.index, op.index] = _scheme(spec, graph, op, layers)
            if graph.index == 0:
                methods.update(dict.fromkeys(op.outputs, _method(spec, graph, op, layers)))
    # An input of the graph is no op's output: it is calibrated as the recipe says for all.
    methods.update({i: spec.calibration.method for i in graphs[0].inputs if i not in methods})
    return Plan(schemes, methods)


def _scheme(spec: Quantization, graph: Graph, op: Op, layers: Collection[str]) -> str:
    if spec.scheme != "mixed":
        return spec.scheme
    given = (rule.scheme for rule in spec.rules if rule.scheme and fits(rule, graph, op, layers))
    return next(given, "float32")


def _method(spec: Quantization, graph: Graph, op: Op, layers: Collection[str]) -> Method:
    given = (rule.method for rule in spec.rules if rule.method and fits(rule, graph, op, layers))
    return next(given, spec.calibration.method)
