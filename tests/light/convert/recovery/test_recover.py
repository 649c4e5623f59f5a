"""Recovery of a small network: the file holds what was chosen, and computes nearer to the float network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import QuantizedModel, Ranges, Recovered, Reference, Samples, file_digest
from tflite_pipeline.convert.recovery import recover as module
from tflite_pipeline.convert.recovery.choose import choose_recovery
from tflite_pipeline.convert.recovery.moments import Seen, moments
from tflite_pipeline.convert.recovery.recover import recover
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import answers, flatbuffer
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.runtime.pieces import Pieces
from tflite_pipeline.runtime.revision import Revision
from tflite_pipeline.runtime.sums import SUMS

pytestmark = pytest.mark.slow

COUNT = 64
ALL = ("weight_clipping", "gptq", "depthwise_search", "bias_correction")
Quantize = Callable[..., QuantizedModel]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    folder = tmp_path_factory.mktemp("samples")
    np.save(folder / "x.npy", np.random.default_rng(3).uniform(-1, 1, (COUNT, 8, 8, 1)).astype(np.float32))
    return Samples("train", folder, {"": folder / "x.npy"}, {}, tuple(range(COUNT)), (), (), False, "d")


@pytest.fixture(scope="module")
def others() -> np.ndarray:
    return np.random.default_rng(4).uniform(-1, 1, (200, 8, 8, 1)).astype(np.float32)


@pytest.fixture
def recovered(
    conv_net: Reference, ranges: Ranges, quantized: Quantize, samples: Samples, tmp_path: Path
) -> Callable[..., tuple[Recovered, QuantizedModel]]:
    def make(passes: tuple[str, ...], **section: Any) -> tuple[Recovered, QuantizedModel]:
        draft = quantized(**section)
        known = ranges if section["scheme"] in ("full_int8", "int8x4", "int16x8") else None
        out = tmp_path / "_".join(("with", *passes))
        out.mkdir()
        made = recover(passes, conv_net, (draft, known, False), (samples, 0), 1, out)
        again = {"calibration": {"method": "minmax"}} if known else {}
        return made, quantized(made.reference, made.ranges or ranges, **section, **again)

    return make


def distance(file: Path, reference: Path, inputs: np.ndarray) -> float:
    found, wanted = (next(iter(answers.compute(path, {"": inputs}).values())) for path in (file, reference))
    return float(np.square(found - wanted).mean())


def kernels(path: Path) -> dict[str, np.ndarray]:
    """The real numbers that the kernels of a file stand for, by the name of what they make."""
    graph, model = read_graphs(path)[0], flatbuffer.unpack(path)
    found = {}
    for op in graph.ops:
        if op.name in SUMS:
            number = SUMS[op.name].inputs_of(model.subgraphs[0].operators[op.index].inputs)[1]
            source = graph.origins[number][0]  # before a DEQUANTIZE
            found[graph.tensors[op.outputs[0]].name] = _real(model, source, graph.tensors[source].shape)
    return found


def _real(model: Any, number: int, shape: tuple[int, ...]) -> np.ndarray:
    tensor = model.subgraphs[0].tensors[number]
    data, stored = model.buffers[tensor.buffer].data, tensor.quantization
    if stored is None or stored.scale is None or not len(stored.scale):
        return np.asarray(data.view(np.float32).reshape(shape))
    values = data.view(np.int8)
    if values.size * 2 == np.prod(shape):
        low, high = (values << 4) >> 4, values >> 4
        values = np.stack([low, high], 1).reshape(-1)
    scales = np.asarray(stored.scale, np.float64)
    axis = [1] * len(shape)
    axis[stored.quantizedDimension] = len(scales)
    return values.reshape(shape) * scales.reshape(axis)


SLOW = ("full_int8", "dynamic_int4", "weight_int4", "int16x8")


@pytest.mark.parametrize("scheme", ["int8x4", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_the_file_holds_the_chosen_kernels_to_the_last_integer(recovered: Any, scheme: str) -> None:
    made, file = recovered(ALL, scheme=scheme)
    chosen, stored = kernels(made.reference.path), kernels(file.path)
    assert chosen.keys() == stored.keys()
    for name, values in chosen.items():
        np.testing.assert_allclose(stored[name], values, rtol=1e-5, atol=1e-7)
    assert made.samples == COUNT


@pytest.mark.parametrize("scheme", ["full_int8", "int8x4", "dynamic_int4"])
@pytest.mark.parametrize("passes", [("bias_correction",), ALL, ("adaround", "bias_correction")])
def test_outputs_are_nearer_to_the_float_network_on_other_samples(
    recovered: Any, quantized: Quantize, conv_net: Reference, others: np.ndarray, passes: Any, scheme: str
) -> None:
    plain = distance(quantized(scheme=scheme).path, conv_net.path, others)
    _, file = recovered(passes, scheme=scheme)
    assert distance(file.path, conv_net.path, others) < plain


def test_no_pass_changes_nothing_but_the_grid(recovered: Any, quantized: Quantize) -> None:
    _, file = recovered((), scheme="full_int8")
    plain = kernels(quantized(scheme="full_int8").path)
    for name, values in kernels(file.path).items():
        np.testing.assert_allclose(values, plain[name], rtol=1e-5)


def test_moments_of_sums_are_those_of_the_kernel(conv_net: Reference, samples: Samples, tmp_path: Path) -> None:
    pieces = Pieces(conv_net.path, tmp_path, 1)
    values = {pieces.inputs[0]: np.load(samples.inputs[""])}
    seen = set()
    for op in pieces.graph.ops:
        made = pieces.compute(op.index, values, activated=op.name not in SUMS)
        if op.name in SUMS:
            read, kernel, _ = SUMS[op.name].inputs_of(pieces.inputs_of(op.index))
            weights = pieces.constant(kernel)
            seen_here = Seen(values[read], values[read], made[op.outputs[0]])
            found = moments(op.name, pieces.options_of(op.index), weights.shape, seen_here)
            assert found is not None
            rows = np.moveaxis(weights, SUMS[op.name].channels, 0).reshape(weights.shape[SUMS[op.name].channels], -1)
            path = "cij,cj->ci" if found.by_channel else "ij,cj->ci"
            wanted = np.einsum(path, found.inputs, rows.astype(float))
            np.testing.assert_allclose(found.sums, wanted, atol=1e-4 * np.abs(wanted).max())
            seen.add(op.name)
        values |= made
    assert seen == {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}


def test_fewer_samples_are_used_where_memory_would_not_bear_all(
    conv_net: Reference, ranges: Ranges, quantized: Quantize, samples: Samples, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 200_000)
    draft = quantized(scheme="full_int8")
    made = recover(("bias_correction",), conv_net, (draft, ranges, False), (samples, 0), 1, tmp_path)
    assert module.LEAST_SAMPLES <= made.samples < COUNT


def test_one_sample_in_four_is_left_out_to_judge_by(
    conv_net: Reference, ranges: Ranges, quantized: Quantize, samples: Samples, tmp_path: Path
) -> None:
    draft = quantized(scheme="full_int8")
    made = recover(("bias_correction",), conv_net, (draft, ranges, False), (samples, 4), 1, tmp_path)
    assert made.samples == COUNT * 3 // 4


def test_layers_without_a_bias_get_one_to_correct(
    conv_net: Reference, ranges: Ranges, quantized: Quantize, samples: Samples, tmp_path: Path
) -> None:
    bare = tmp_path / "bare.tflite"
    revision = Revision(conv_net.path)
    for op in revision.ops():
        if revision.name(op) == "FULLY_CONNECTED":
            op.inputs = list(op.inputs)[:2]
        revision.keep(op)
    bare.write_bytes(revision.content())
    reference = replace(conv_net, path=bare, sha256=file_digest(bare))
    limits = replace(ranges, reference=reference.sha256)
    draft = quantized(reference, limits, scheme="int8x4")
    made = recover(("bias_correction",), reference, (draft, limits, False), (samples, 0), 1, tmp_path)
    pieces = Pieces(made.reference.path, tmp_path, 1)
    biases = [call.inputs[2] for call in pieces.calls if call.name == "FULLY_CONNECTED"]
    assert all(pieces.constant(bias).any() for bias in biases)
    file = quantized(made.reference, made.ranges, scheme="int8x4", calibration={"method": "minmax"})
    inputs = np.load(samples.inputs[""])
    assert distance(file.path, bare, inputs) < distance(draft.path, bare, inputs)


def test_a_draft_of_another_network_is_refused(
    conv_net: Reference, ranges: Ranges, quantized: Quantize, samples: Samples, tmp_path: Path
) -> None:
    draft = quantized(scheme="full_int8")
    stranger = replace(conv_net, path=Path(__file__).parents[3] / "data" / "float32.tflite")
    with pytest.raises(StageError, match="must have the ops of its reference"):
        recover(("bias_correction",), stranger, (draft, ranges, False), (samples, 0), 1, tmp_path)


def test_the_simplest_of_equal_files_is_kept_and_a_nearer_one_preferred(
    conv_net: Reference, quantized: Quantize, recovered: Any, samples: Samples, tmp_path: Path
) -> None:
    plain, same = quantized(scheme="int8x4"), quantized(scheme="int8x4")
    _, better = recovered(ALL, scheme="int8x4")
    tried = (((), plain), (("bias_correction",), same), (ALL, better))
    choice = choose_recovery(conv_net, tried, samples, 1, tmp_path)
    assert choice.passes == ALL
    assert choice.samples == COUNT // 4
    assert choice.rows[0]["sqnr_db"] == choice.rows[1]["sqnr_db"] < choice.rows[2]["sqnr_db"]
    assert choose_recovery(conv_net, tried[:2], samples, 1, tmp_path).passes == ()
