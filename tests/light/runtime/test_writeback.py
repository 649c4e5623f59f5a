"""Trained values go into the reference, and nothing else of it changes."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import Ranges, Reference, file_digest
from tflite_pipeline.convert.calibrate import check_ranges
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.runtime.grids import Range
from tflite_pipeline.runtime.writeback import as_ranges, write_back

CONV_BIAS, HIDDEN_BIAS, SCORES = 8, 1, 4


def constants(path: Path) -> dict[int, np.ndarray]:
    model, graph = flatbuffer.unpack(path), read_graphs(path)[0]
    tensors = {i: tensor for i, tensor in enumerate(graph.tensors) if tensor.stored and tensor.dtype == "float32"}
    buffers = [tensor.buffer for tensor in model.subgraphs[0].tensors]
    return {i: model.buffers[buffers[i]].data.view(np.float32).reshape(one.shape) for i, one in tensors.items()}


def answers(path: Path) -> np.ndarray:
    interpreter = litert.open_interpreter(path)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ones((1, 8, 8, 1), np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_new_values_are_in_the_file_and_the_others_stay(conv_net: Reference, tmp_path: Path) -> None:
    before = constants(conv_net.path)
    kernel = np.random.default_rng(0).normal(size=before[SCORES].shape).astype(np.float32)
    written = write_back(conv_net, {SCORES: kernel}, tmp_path)
    after = constants(written.path)
    assert np.array_equal(after.pop(SCORES), kernel)
    assert set(after) | {SCORES} == set(before)
    assert all(np.array_equal(values, before[number]) for number, values in after.items())
    assert not np.allclose(answers(written.path), answers(conv_net.path))
    assert [op for graph in read_graphs(written.path) for op in graph.ops] == list(read_graphs(conv_net.path)[0].ops)


def test_label_has_the_new_digest_and_no_original(conv_net: Reference, tmp_path: Path) -> None:
    start = dataclasses.replace(conv_net, saved_model=tmp_path / "saved_model", probe=tmp_path / "probe.npz")
    written = write_back(start, {CONV_BIAS: np.zeros(8, np.float32)}, tmp_path)
    assert written.path == tmp_path / "reference.tflite"
    assert written.sha256 == file_digest(written.path) != conv_net.sha256
    assert (written.saved_model, written.probe) == (None, None)
    assert (written.inputs, written.outputs, written.layers) == (start.inputs, start.outputs, start.layers)


def test_same_values_give_the_same_answers_and_no_larger_file(conv_net: Reference, tmp_path: Path) -> None:
    written = write_back(conv_net, constants(conv_net.path), tmp_path)
    assert np.array_equal(answers(written.path), answers(conv_net.path))
    assert written.path.stat().st_size <= conv_net.path.stat().st_size + 1024


def test_tensors_that_share_a_buffer_part_when_only_one_is_written(conv_net: Reference, tmp_path: Path) -> None:
    model = flatbuffer.unpack(conv_net.path)
    tensors = model.subgraphs[0].tensors
    tensors.append(copy.copy(tensors[HIDDEN_BIAS]))
    twin = len(tensors) - 1
    (tmp_path / "shared.tflite").write_bytes(flatbuffer.pack(model))
    start = dataclasses.replace(conv_net, path=tmp_path / "shared.tflite")
    fresh = np.arange(12, dtype=np.float32)
    after = constants(write_back(start, {HIDDEN_BIAS: fresh}, tmp_path).path)
    assert np.array_equal(after[HIDDEN_BIAS], fresh)
    assert np.array_equal(after[twin], constants(conv_net.path)[HIDDEN_BIAS])


def test_trained_ranges_are_one_row_and_the_others_are_what_was_calibrated(
    conv_net: Reference, ranges: Ranges, tmp_path: Path
) -> None:
    written = write_back(conv_net, {}, tmp_path)
    first = ranges.tensors[0]
    trained = {first: Range(8, -0.25, 0.5, False, first, True)}
    made = as_ranges(written, ranges, trained, tmp_path)
    low, high = np.load(made.low), np.load(made.high)
    assert (low.dtype, low.shape, made.count) == (np.float32, (1, len(ranges.tensors)), 1)
    assert (low[0, 0], high[0, 0]) == (-0.25, 0.5)
    assert np.array_equal(low[0, 1:], np.load(ranges.low)[:, 1:].min(axis=0))
    assert np.array_equal(high[0, 1:], np.load(ranges.high)[:, 1:].max(axis=0))
    assert made.reference == written.sha256
    assert (made.tensors, made.names) == (ranges.tensors, ranges.names)


def test_ranges_of_another_reference_do_not_pass(conv_net: Reference, ranges: Ranges, tmp_path: Path) -> None:
    written = write_back(conv_net, {CONV_BIAS: np.ones(8, np.float32)}, tmp_path)
    with pytest.raises(StageError):
        check_ranges(ranges, written)
    check_ranges(as_ranges(written, ranges, {}, tmp_path), written)
