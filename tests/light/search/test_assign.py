from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.convert.plan import make_plan
from tflite_pipeline.convert.sensitivity import OpEffect, Sensitivity
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.runtime.graph import Graph, read_graphs
from tflite_pipeline.search.assign import BORDER, Option, assign, ladder, loss_of, options_of, rules_of

MODEL = Path(__file__).parent.parent.parent / "data" / "conv_net.tflite"
FAMILY = ("int8x4", "full_int8", "int16x8", "float32")


def options(count: int = 6) -> tuple[Option, ...]:
    draw = np.random.default_rng(0)
    found = []
    for op in range(count):
        size, loss = int(draw.integers(100, 5000)), float(draw.uniform(1e-4, 1e-1))
        found += [Option(op, "int8x4", size, loss), Option(op, "full_int8", 2 * size, loss / 250)]
    return tuple(found)


@pytest.mark.parametrize("bound", [0.01, 0.05, 0.1, 1.0])
def test_assigns_the_fewest_bytes_within_the_bound(bound):
    known = options()
    chosen = assign(known, bound)
    assert chosen is not None
    sizes = {(option.op, option.scheme): option.bytes for option in known}
    every = [dict(enumerate(row)) for row in itertools.product(("int8x4", "full_int8"), repeat=6)]
    able = [row for row in every if loss_of(known, row) <= bound * (1 + 1e-9)]
    assert loss_of(known, chosen) <= bound * (1 + 1e-6)
    assert sum(sizes[item] for item in chosen.items()) == min(sum(sizes[item] for item in row.items()) for row in able)


def test_assigns_nothing_when_the_bound_is_out_of_reach():
    assert assign(options(), 1e-9) is None


def test_a_ladder_goes_from_small_and_lossy_to_large_and_near(tmp_path):
    known = options()
    rungs = ladder(known, None, tmp_path).rungs
    losses = [loss_of(known, rung) for rung in rungs]
    assert len(rungs) > 3
    assert losses == sorted(losses, reverse=True)
    assert len({tuple(sorted(rung.items())) for rung in rungs}) == len(rungs)


def test_a_ladder_between_two_rungs_stays_between_them(tmp_path):
    known = options()
    rungs = ladder(known, None, tmp_path).rungs
    low, high = loss_of(known, rungs[2]), loss_of(known, rungs[1])
    for rung in ladder(known, (low, high), tmp_path).rungs:
        assert low * (1 - 1e-6) <= loss_of(known, rung) <= high * (1 + 1e-6)


def effect(index: int, scheme: str, refused: str = "") -> OpEffect:
    taken = None if refused else 400
    sqnr, divergence = (None, None) if refused else (20.0, 0.5)
    return OpEffect(index, "CONV_2D", "t", "", scheme, sqnr, None, divergence, taken, 1600, refused)


def test_options_leave_out_what_an_op_cannot_have_and_count_conversions():
    found = Sensitivity("", 1, (effect(0, "int8x4", "no kernel"), effect(0, "full_int8"), effect(0, "int16x8")))
    by_scheme = {option.scheme: option for option in options_of(found, FAMILY)}
    assert list(by_scheme) == ["full_int8", "int16x8", "float32"]
    assert by_scheme["full_int8"].bytes == 400
    assert by_scheme["int16x8"].bytes == 400 + BORDER
    assert by_scheme["full_int8"].loss == 0.5
    assert by_scheme["float32"].loss == 0


def test_noise_is_the_loss_where_the_outputs_are_no_classes():
    row = OpEffect(0, "CONV_2D", "t", "", "full_int8", 20.0, None, None, 400, 1600)
    (option,) = options_of(Sensitivity("", 1, (row,)), ("full_int8",))
    assert option.loss == pytest.approx(0.01)


@pytest.fixture
def graph() -> Graph:
    return read_graphs(MODEL)[0]


@pytest.mark.parametrize("layers", [(), ("conv", "depthwise", "sum", "flat", "hidden", "scores")])
def test_rules_give_each_op_its_scheme(graph, layers):
    weighted = [op.index for op in graph.ops if graph.weights_of(op)]
    for schemes in itertools.product(("int8x4", "full_int8", "float32"), repeat=len(weighted)):
        chosen = dict(zip(weighted, schemes, strict=True))
        rules = rules_of(chosen, graph, layers, "full_int8")
        spec = Quantization.model_validate({"scheme": "mixed", "rules": list(rules)})
        plan = make_plan(spec, [graph], layers)
        assert {op: plan.schemes[0, op] for op in weighted} == chosen
        others = {plan.schemes[0, op.index] for op in graph.ops if op.index not in weighted}
        assert others == {"full_int8"}


def test_rules_name_exceptions_by_layer_and_the_rest_by_type(graph):
    dense = [op.index for op in graph.ops if op.name == "FULLY_CONNECTED"]
    chosen = dict.fromkeys((op.index for op in graph.ops if graph.weights_of(op)), "int8x4") | {dense[0]: "full_int8"}
    rules = rules_of(chosen, graph, ("hidden", "scores"), "full_int8")
    assert rules[0] == {"layer": "hidden", "scheme": "full_int8"} or "tensor" in rules[0]
    assert rules[-1] == {"tensor": "*", "scheme": "full_int8"}
