"""Ranges and histograms of activations are those of a plain interpreter that keeps every tensor."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tflite_pipeline.artifacts import Ranges, Reference, Samples, file_digest
from tflite_pipeline.convert import observe
from tflite_pipeline.convert.calibrate import BINS, calibrate, check_ranges, spread
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import flatbuffer, litert, progress
from tflite_pipeline.runtime.draft import Draft
from tflite_pipeline.runtime.graph import Graph, Op, Tensor, read_graphs

DATA = Path(__file__).parents[2] / "data"
ROOT = DATA.parents[1]

Calibrate = Callable[..., Ranges]


def reference_of(path: Path) -> Reference:
    return Reference(path, file_digest(path), *litert.describe(path), None, None, "a file")


def bare(*shapes: tuple[int, ...]) -> Draft:
    """A file with inputs a, b, … of these shapes, -1 for what is open, and nothing else."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.operatorCodes, model.buffers = 3, [graph], [], [schema.BufferT()]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], list(range(len(shapes))), []
    for name, shape in zip("abcd", shapes, strict=False):
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = name.encode(), schema.TensorType.FLOAT32, 0
        tensor.shape = [abs(size) for size in shape]
        tensor.shapeSignature = list(shape) if -1 in shape else None
        graph.tensors.append(tensor)
    return Draft(flatbuffer.pack(model))


def stored(draft: Draft, path: Path, *outputs: int) -> Path:
    for index, tensor in enumerate(draft.graph.tensors):
        tensor.name = tensor.name or f"tensor{index}".encode()
    path.write_bytes(draft.finish(outputs))
    return path


def add(draft: Draft, left: int, right: int, shape: list[int]) -> int:
    return draft.op("ADD", [left, right], shape, "AddOptions", fusedActivationFunction=0)


def every_tensor(path: Path, tensors: tuple[int, ...], samples: Samples) -> Iterator[list[np.ndarray]]:
    """What an interpreter with the plain kernels computes, inference by inference: the values of these tensors."""
    kernels = OpResolverType.BUILTIN_REF
    keeping = Interpreter(str(path), experimental_preserve_all_tensors=True, experimental_op_resolver_type=kernels)
    infos, details = litert.describe(path)[0], keeping.get_input_details()
    arrays = [np.load(samples.inputs.get(info.name) or samples.inputs[""]) for info in infos]
    batch = abs(infos[0].shape[0]) if infos[0].shape and arrays[0].ndim == len(infos[0].shape) else 1
    for start in range(0, samples.count, batch):
        rows = np.minimum(np.arange(start, start + batch), samples.count - 1)
        values = [array[rows].astype(info.dtype) for array, info in zip(arrays, infos, strict=True)]
        shapes = [v.shape if len(i.shape) == v.ndim else v.shape[1:] for v, i in zip(values, infos, strict=True)]
        for row, shape in zip(details, shapes, strict=True):
            keeping.resize_tensor_input(row["index"], shape)
        keeping.allocate_tensors()
        for row, value, shape in zip(details, values, shapes, strict=True):
            keeping.set_tensor(row["index"], value.reshape(shape))
        keeping.invoke()
        kept = min(batch, samples.count - start)
        yield [
            found[:kept] if batch > 1 and len(found) == batch else found for found in map(keeping.get_tensor, tensors)
        ]


def plain_ranges(path: Path, tensors: tuple[int, ...], samples: Samples, batch: int = 1) -> tuple[Any, Any]:
    low, high = [], []
    for values in every_tensor(path, tensors, samples):
        rows = len(values[0]) if batch > 1 else 1
        by_row = [found.reshape(rows, -1) for found in values]
        low += np.stack([found.min(axis=1) for found in by_row], axis=1).tolist()
        high += np.stack([found.max(axis=1) for found in by_row], axis=1).tolist()
    return np.array(low), np.array(high)


def assert_ranges_are_plain(path: Path, ranges: Ranges, samples: Samples, batch: int = 1) -> None:
    low, high = plain_ranges(path, ranges.tensors, samples, batch)
    scale = np.maximum(np.abs(low), np.abs(high)).max(axis=0) + 1e-30
    for file, expected in ((ranges.low, low), (ranges.high, high)):
        found = np.load(file)
        assert (found.dtype, found.shape) == (np.float32, (samples.count, len(ranges.tensors)))
        np.testing.assert_allclose(found / scale, expected / scale, atol=1e-6)


@pytest.fixture
def calibrated(tmp_path: Path) -> Calibrate:
    """Calibrate a file in a folder of its own."""

    def run(path: Path, samples: Samples, threads: int = 2) -> Ranges:
        out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        out.mkdir()
        ranges = calibrate(reference_of(path), samples, threads, out)
        assert sorted(file.name for file in out.iterdir()) == ["high.npy", "low.npy"]
        return ranges

    return run


@pytest.mark.parametrize("name", ["float32", "float32_dynamic_batch", "float16"])
def test_ranges_are_those_of_a_plain_interpreter(calibrated, make_samples, features, name) -> None:
    path, samples = DATA / f"{name}.tflite", make_samples({"": features})
    ranges = calibrated(path, samples)
    assert_ranges_are_plain(path, ranges, samples)
    graph = read_graphs(path)[0]
    assert ranges.names == tuple(graph.tensors[index].name for index in ranges.tensors)
    assert len(ranges.tensors) == 4  # input, hidden, logits, scores: no weights, also where they are float16
    assert (ranges.reference, ranges.samples, ranges.count) == (file_digest(path), "d", 37)


def test_ranges_are_by_row_when_the_file_has_a_batch_of_its_own(calibrated, make_samples, features) -> None:
    path, samples = DATA / "float32_batch4.tflite", make_samples({"": features})
    assert_ranges_are_plain(path, calibrated(path, samples), samples, batch=4)


def test_several_inputs_are_matched_by_name(calibrated, make_samples) -> None:
    rng = np.random.default_rng(3)
    samples = make_samples(
        {"angle": rng.normal(size=(9, 2)).astype("f4"), "zoom": rng.normal(size=(9, 3)).astype("f4")}
    )
    ranges = calibrated(DATA / "two_by_two.tflite", samples)
    assert_ranges_are_plain(DATA / "two_by_two.tflite", ranges, samples)


def test_whole_numbers_are_left_out_and_numbers_without_dimensions_are_not(calibrated, make_samples) -> None:
    samples = make_samples({"ids": np.array([[0, 1, 4], [2, 2, 3]]), "gain": np.array([1, -10.0], np.float32)})
    ranges = calibrated(DATA / "lookup.tflite", samples)
    assert_ranges_are_plain(DATA / "lookup.tflite", ranges, samples)
    assert {read_graphs(DATA / "lookup.tflite")[0].tensors[index].dtype for index in ranges.tensors} == {"float32"}
    assert np.load(ranges.low)[:, 0].tolist() == [1, -10]


def residual(path: Path) -> Path:
    """Two sums that may overwrite what they read, since nobody reads it later."""
    draft, shape = bare((1, 16, 16, 8)), [1, 16, 16, 8]
    doubled = add(draft, 0, 0, shape)
    left = draft.op("NEG", [doubled], shape)
    joined = add(draft, left, doubled, shape)
    shifted = add(draft, joined, 0, shape)
    return stored(draft, path, draft.op("RELU", [shifted], shape))


def test_ranges_are_those_before_an_op_overwrites_them(tmp_path, calibrated, make_samples) -> None:
    path = residual(tmp_path / "residual.tflite")
    samples = make_samples({"a": np.random.default_rng(0).normal(3, 1, (5, 16, 16, 8)).astype("f4")})
    ranges = calibrated(path, samples)
    low, high = plain_ranges(path, ranges.tensors, samples)
    np.testing.assert_array_equal(np.load(ranges.low), low.astype("f4"))
    np.testing.assert_array_equal(np.load(ranges.high), high.astype("f4"))


def test_open_dimensions_are_taken_from_the_samples(tmp_path, calibrated, make_samples) -> None:
    draft = bare((1, -1, 4))
    path = stored(draft, tmp_path / "open.tflite", draft.op("RELU", [add(draft, 0, 0, [1, 1, 4])], [1, 1, 4]))
    samples = make_samples({"": np.random.default_rng(0).normal(size=(5, 7, 4)).astype("f4")})
    assert_ranges_are_plain(path, calibrated(path, samples), samples)


def test_a_value_of_no_row_counts_for_every_row_when_the_batch_is_larger(tmp_path, calibrated, make_samples) -> None:
    draft = bare((4, 3), (4,))
    whole = draft.op(
        "REDUCE_MAX", [0, draft.constant(np.array([0, 1], np.int32))], [], "ReducerOptions", keepDims=False
    )
    total = draft.op("SUM", [0, draft.constant(np.array([0], np.int32))], [3], "ReducerOptions", keepDims=False)
    path = stored(draft, tmp_path / "whole.tflite", add(draft, add(draft, 0, total, [4, 3]), whole, [4, 3]))
    a, b = np.arange(15, dtype="f4").reshape(5, 3), np.arange(5, dtype="f4")
    samples = make_samples({"a": a, "b": b})
    ranges = calibrated(path, samples)
    low, high = (dict(zip(ranges.tensors, np.load(side).T.tolist(), strict=True)) for side in (ranges.low, ranges.high))
    assert (low[0], high[0]) == ([0, 3, 6, 9, 12], [2, 5, 8, 11, 14])
    assert low[1] == high[1] == [0, 1, 2, 3, 4]
    assert low[whole] == high[whole] == [11, 11, 11, 11, 14]
    # The last row stands for those that the last inference lacks.
    assert (low[total], high[total]) == ([18, 18, 18, 18, 48], [26, 26, 26, 26, 56])
    (tmp_path / "spread").mkdir()
    counts = np.load(spread(reference_of(path), samples, ranges, 2, tmp_path / "spread").counts)
    assert counts.sum(axis=1)[[ranges.tensors.index(i) for i in (0, 1, whole, total)]].tolist() == [15, 5, 5, 15]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_ranges_are_the_same_for_any_number_of_threads_and_samples(calibrated, make_samples, features, count) -> None:
    path = DATA / "float32.tflite"
    all_rows = calibrated(path, make_samples({"": features}), 2)
    for threads in (1, 2, 3):
        some = calibrated(path, make_samples({"": features[:count]}), threads)
        assert np.load(some.low).tobytes() == np.load(all_rows.low)[:count].tobytes()
        assert np.load(some.high).tobytes() == np.load(all_rows.high)[:count].tobytes()


def test_progress_is_told_as_calibrating(calibrated, make_samples, features) -> None:
    told: list[tuple[int, int, str]] = []
    progress.send_to(lambda *row: told.append(row))
    try:
        calibrated(DATA / "float32.tflite", make_samples({"": features[:3]}))
    finally:
        progress._sinks.clear()
    assert told == [(1, 3, "calibrating"), (2, 3, "calibrating"), (3, 3, "calibrating")]


def test_the_observed_file_takes_the_inputs_of_the_reference_by_their_names(tmp_path) -> None:
    reference = reference_of(DATA / "two_by_two.tflite")
    path = tmp_path / "observed.tflite"
    path.write_bytes(observe.with_ranges(reference, read_graphs(reference.path)[0], 1))
    inputs, outputs = litert.describe(path)
    assert inputs == reference.inputs
    assert [(info.name, info.shape) for info in outputs] == [("low", (1, 5)), ("high", (1, 5)), ("sum", (1, 5))]


def test_nan_is_told_where_it_comes_first_when_later_ops_hide_it(tmp_path, calibrated, make_samples) -> None:
    draft = bare((1, 64))
    root = draft.op("SQRT", [0], [1, 64])
    path = stored(draft, tmp_path / "root.tflite", draft.op("RELU", [root], [1, 64]))
    values = np.ones((6, 64), np.float32)
    values[3:, 1] = -1
    with pytest.raises(StageError) as caught:
        calibrated(path, make_samples({"": values}, rows=range(100, 106)))
    text = f"tensor 'tensor{root}' must hold finite numbers. Got NaN or infinity, first on row 103 of the dataset."
    assert caught.value.what == text
    assert caught.value.remedy == "Look for NaN or huge values in that row and in the model's weights."


def test_infinity_is_told_with_row_and_tensor_when_the_batch_is_larger(calibrated, make_samples, features) -> None:
    features[6, 2] = -np.inf
    with pytest.raises(StageError, match=r"tensor 'serving_default_features:0' .* first on row 6 of the dataset"):
        calibrated(DATA / "float32_batch4.tflite", make_samples({"": features}))


def test_samples_that_do_not_fit_are_told_by_the_name_of_the_reference(tmp_path, make_samples) -> None:
    with pytest.raises(
        StageError, match=r"must fit the inputs of 'float32.tflite', .* Got 'features' \(3, 5\) float32"
    ):
        calibrate(reference_of(DATA / "float32.tflite"), make_samples({"": np.zeros((3, 5), "f4")}), 1, tmp_path)


def test_an_op_that_does_not_run_is_told_by_the_file_of_the_reference(tmp_path, make_samples) -> None:
    reference = reference_of(DATA / "custom_op.tflite")
    with pytest.raises(StageError) as caught:
        calibrate(reference, make_samples({"": np.zeros((2, 2, 2), "f4")}), 1, tmp_path)
    assert caught.value.what.startswith(f"LiteRT cannot run '{reference.path}': ")


REFUSED = {
    "full_int8_int8_io": (
        "the model cannot be calibrated: a quantized file is given as reference "
        "(tensor 'serving_default_features:0' is int8 with a scale).",
        "Give the float file that it was made from.",
    ),
    "lstm_float32": (
        "the model cannot be calibrated: the ranges inside UNIDIRECTIONAL_SEQUENCE_LSTM "
        "'tfl.unidirectional_sequence_lstm' cannot be seen: it keeps state.",
        "Quantize the Keras model or SavedModel with engine: converter, which calibrates such an op by itself, "
        "or use scheme: dynamic_int8.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_calibrated_is_refused(tmp_path, make_samples, name) -> None:
    with pytest.raises(StageError) as caught:
        calibrate(reference_of(DATA / f"{name}.tflite"), make_samples({"": np.zeros((2, 16), "f4")}), 1, tmp_path)
    assert (caught.value.what, caught.value.remedy) == REFUSED[name]
    assert not list(tmp_path.glob("*.npy"))


def graph_with(*ops: tuple[str, str], index: int = 0, dtype: str = "float32") -> Graph:
    """A graph of ops by name, each with an output of this name, one reading the other."""
    tensors = [
        Tensor(name, dtype, (1, 4), "", stored=False, state=False) for name in ("input", *(out for _, out in ops))
    ]
    made = [Op(i, name, False, (i,), (i + 1,) if out else ()) for i, (name, out) in enumerate(ops)]
    return Graph(index, tuple(tensors), tuple(made), frozenset({0}), frozenset({len(ops)}))


BODY = graph_with(("ADD", "sum"), index=1)


@pytest.mark.parametrize(
    ("graphs", "reason"),
    [
        ([graph_with(("ADD", "sum"))], ""),
        (
            [graph_with(("ADD", "x"), ("WHILE", "lstm/while")), BODY],
            "inside WHILE 'lstm/while' cannot be seen: another",
        ),
        (
            [graph_with(("CALL_ONCE", ""), ("IF", "either")), BODY],
            "inside CALL_ONCE, IF 'either' cannot be seen: another",
        ),
        (
            [graph_with(*((("WHILE", f"w{i}")) for i in range(5))), BODY],
            "inside WHILE 'w0', WHILE 'w1', WHILE 'w2' and 2",
        ),
        ([graph_with(("READ_VARIABLE", "cell"))], "inside READ_VARIABLE 'cell' cannot be seen: it keeps state"),
        ([graph_with(("ADD", "sum")), BODY], "it holds 2 signatures"),
        ([graph_with(("ADD", "sum"), dtype="int32")], "it computes nothing in float32"),
    ],
)
def test_the_reason_names_ops_and_places(graphs, reason) -> None:
    assert reason in observe.uncalibratable(graphs)
    assert bool(reason) == bool(observe.uncalibratable(graphs))


def test_a_loop_is_refused_with_the_way_to_unroll_it() -> None:
    with pytest.raises(StageError) as caught:
        observe.refuse_uncalibratable([graph_with(("WHILE", "lstm/while")), BODY])
    assert caught.value.remedy == "Unroll the layer, e.g. LSTM(unroll=True), or use scheme: dynamic_int8."


@pytest.mark.parametrize("threads", [1, 2])
def test_histograms_count_every_value_between_smallest_and_largest(tmp_path, calibrated, make_samples, threads) -> None:
    path = residual(tmp_path / "residual.tflite")
    samples = make_samples({"a": np.random.default_rng(0).normal(3, 1, (5, 16, 16, 8)).astype("f4")})
    ranges = calibrated(path, samples)
    (tmp_path / "spread").mkdir()
    histograms = spread(reference_of(path), samples, ranges, threads, tmp_path / "spread")
    assert [file.name for file in (tmp_path / "spread").iterdir()] == ["counts.npy"]
    counts = np.load(histograms.counts)
    assert (counts.dtype, counts.shape) == (np.int64, (len(ranges.tensors), BINS))
    assert (counts.sum(axis=1) == 5 * 16 * 16 * 8).all()
    columns = zip(*every_tensor(path, ranges.tensors, samples), strict=True)
    for row, low, high, values in zip(counts, histograms.low, histograms.high, columns, strict=True):
        together = np.concatenate([found.ravel() for found in values])
        assert (low, high) == (together.min(), together.max())
        expected = np.histogram(together.astype(np.float64), BINS, (low, high if high > low else low + 1))[0]
        # A value on an edge may fall to either side of it.
        assert np.abs(np.cumsum(row) - np.cumsum(expected)).max() <= 3


def test_histograms_leave_out_the_rows_that_fill_up_a_batch(tmp_path, calibrated, make_samples, features) -> None:
    path, samples = DATA / "float32_batch4.tflite", make_samples({"": features})
    ranges = calibrated(path, samples)
    (tmp_path / "spread").mkdir()
    counts = np.load(spread(reference_of(path), samples, ranges, 2, tmp_path / "spread").counts)
    assert counts.sum(axis=1).tolist() == [37 * 16, 37 * 80, 37 * 4, 37 * 4]


def test_a_constant_activation_falls_into_one_bin(tmp_path, calibrated, make_samples) -> None:
    draft = bare((1, 8))
    path = stored(draft, tmp_path / "still.tflite", draft.op("SUB", [0, 0], [1, 8], "SubOptions"))
    samples = make_samples({"": np.random.default_rng(0).normal(size=(3, 8)).astype("f4")})
    (tmp_path / "spread").mkdir()
    histograms = spread(reference_of(path), samples, calibrated(path, samples), 1, tmp_path / "spread")
    assert np.load(histograms.counts)[1].tolist() == [24, *[0] * (BINS - 1)]


def test_ranges_of_another_model_are_refused(calibrated, make_samples, features) -> None:
    ranges = calibrated(DATA / "float32.tflite", make_samples({"": features}))
    check_ranges(ranges, reference_of(DATA / "float32.tflite"))
    with pytest.raises(StageError, match=r"the ranges must be those of 'float16.tflite' .* Got those of a file"):
        check_ranges(ranges, reference_of(DATA / "float16.tflite"))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def overwritten(path: Path) -> None:
    path.write_text("a report")


def doubled(path: Path) -> None:
    np.save(path, np.load(path).astype(np.float64))


def narrowed(path: Path) -> None:
    np.save(path, np.load(path)[:, 1:])


@pytest.mark.parametrize("harm", [cut_short, emptied, overwritten, Path.unlink, doubled, narrowed])
@pytest.mark.parametrize("side", ["low", "high"])
def test_ranges_whose_files_are_not_whole_are_refused(calibrated, make_samples, features, harm, side) -> None:
    ranges = calibrated(DATA / "float32.tflite", make_samples({"": features}))
    harm(getattr(ranges, side))
    with pytest.raises(StageError, match=rf"{side}.npy' must hold 37 x 4 numbers, float32\. (It cannot|Got)") as caught:
        check_ranges(ranges, reference_of(DATA / "float32.tflite"))
    assert caught.value.remedy == "Calibrate again: run with --force."


def test_histograms_of_other_samples_are_refused(tmp_path, calibrated, make_samples, features) -> None:
    samples = make_samples({"": features})
    ranges = dataclasses.replace(calibrated(DATA / "float32.tflite", samples), samples="others")
    with pytest.raises(StageError, match=r"the ranges must be those of the 37 samples"):
        spread(reference_of(DATA / "float32.tflite"), samples, ranges, 1, tmp_path)


MEASURE = """
import sys
from pathlib import Path
from tflite_pipeline.artifacts import Reference, Samples, file_digest
from tflite_pipeline.convert.calibrate import calibrate, spread
from tflite_pipeline.profile.memory import peak_memory
from tflite_pipeline.runtime import litert
file, values, count, out = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
reference = Reference(file, file_digest(file), *litert.describe(file), None, None, "")
samples = Samples("train", out, {"": values}, {}, tuple(range(count)), ("",) * count, (), False, "d")
ranges = calibrate(reference, samples, 2, out)
spread(reference, samples, ranges, 2, out)
print(peak_memory())
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_samples(tmp_path) -> None:
    path, peaks = residual(tmp_path / "residual.tflite"), []
    for count in (100, 4000):
        np.save(tmp_path / "x.npy", np.random.default_rng(0).random((count, 16, 16, 8), np.float32))
        command = [sys.executable, "-c", MEASURE, path, tmp_path / "x.npy", str(count), tmp_path]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        peaks.append(int(done.stdout.split()[-1]))
    # The samples themselves are 33 MB.
    assert peaks[1] - peaks[0] < 2 << 20
