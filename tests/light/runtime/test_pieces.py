"""Ops that run alone: what they compute is what the whole file computes there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import Reference
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import answers, litert
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.runtime.pieces import Pieces

DATA = Path(__file__).parents[2] / "data"


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, 8, 8, 1)).astype(np.float32)


def chain(pieces: Pieces, values: dict[int, np.ndarray], **changes: object) -> dict[int, np.ndarray]:
    for op in pieces.graph.ops:
        values |= pieces.compute(op.index, values, **changes)  # type: ignore[arg-type]
    return values


def test_ops_one_by_one_compute_what_the_file_computes(conv_net: Reference, tmp_path: Path) -> None:
    pieces = Pieces(conv_net.path, tmp_path, 2)
    values = chain(pieces, {pieces.inputs[0]: images(5)})
    wanted = answers.compute(conv_net.path, {"": images(5)})
    output = next(iter(read_graphs(conv_net.path)[0].outputs))
    np.testing.assert_allclose(values[output], next(iter(wanted.values())), atol=1e-6)
    assert not list(tmp_path.iterdir())


def test_several_inputs_keep_their_places(tmp_path: Path) -> None:
    path = DATA / "two_by_two.tflite"
    graph = read_graphs(path)[0]
    noise = np.random.default_rng(0)
    pieces = Pieces(path, tmp_path, 1)
    feeds = {i: noise.normal(size=(3, *graph.tensors[i].shape[1:])).astype(np.float32) for i in pieces.inputs}
    named = {info.name: feeds[i] for info, i in zip(litert.describe(path)[0], pieces.inputs, strict=True)}
    wanted = answers.compute(path, named)
    values = chain(pieces, dict(feeds))
    found = sorted(float(values[i].sum()) for i in graph.outputs)
    assert found == pytest.approx(sorted(float(one.sum()) for one in wanted.values()), rel=1e-5)


def test_constants_are_replaced_and_a_fused_activation_is_left_out(
    conv_net: Reference, numbers: dict[str, int], tmp_path: Path
) -> None:
    pieces = Pieces(conv_net.path, tmp_path, 1)
    first = pieces.graph.ops[0]
    kernel, bias = pieces.inputs_of(0)[1:3]
    feeds = {pieces.inputs[0]: images(2)}
    assert pieces.compute(0, feeds)[first.outputs[0]].min() == 0
    zero = {kernel: np.zeros_like(pieces.constant(kernel)), bias: np.full_like(pieces.constant(bias), -2.0)}
    assert (pieces.compute(0, feeds, zero)[first.outputs[0]] == 0).all()
    assert (pieces.compute(0, feeds, zero, activated=False)[first.outputs[0]] == -2).all()


def test_what_depends_on_no_sample_is_computed_once(tmp_path: Path) -> None:
    path = DATA / "float16.tflite"  # whose weights go through a DEQUANTIZE
    pieces = Pieces(path, tmp_path, 1)
    feed = np.random.default_rng(0).normal(size=(4, *pieces.graph.tensors[pieces.inputs[0]].shape[1:]))
    values = chain(pieces, {pieces.inputs[0]: feed.astype(np.float32)})
    wanted = answers.compute(path, {"": feed.astype(np.float32)})
    output = next(iter(pieces.graph.outputs))
    np.testing.assert_allclose(values[output], next(iter(wanted.values())), atol=1e-6)


def test_an_op_that_cannot_stand_alone_is_named(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"must compute from its inputs alone .* Got .*LSTM: loops or state"):
        Pieces(DATA / "lstm_float32.tflite", tmp_path, 1)
