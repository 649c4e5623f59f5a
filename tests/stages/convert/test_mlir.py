"""TensorFlow's quantizers on the float reference: the public converter's files, and what it gets wrong mended."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import KerasModel, Reference, Samples, file_digest
from tflite_pipeline.convert.calibrate import calibrate
from tflite_pipeline.convert.engines import mlir
from tflite_pipeline.convert.engines.job import Job, Limits
from tflite_pipeline.convert.export import export
from tflite_pipeline.convert.methods import choose_limits
from tflite_pipeline.convert.observe import activations
from tflite_pipeline.convert.plan import make_plan
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.answers import compute
from tflite_pipeline.runtime.graph import Graph, Op, Tensor, read_graphs

pytestmark = pytest.mark.tf

TESTS = Path(__file__).parents[2]
COUNT = 8
NOWHERE = Reference(Path("reference.tflite"), "", (), (), None, None, "tflite")
NETS = ["mobilenet_v2", "resnet8", "ds_cnn", "efficientnet_b0", "two_inputs"]
IO = {"full_int8": "int8", "int16x8": "int16"}


@dataclass(frozen=True)
class Net:
    """A reference, samples for it, the converter's files of the same SavedModel, and the ranges that it found."""

    reference: Reference
    samples: Samples
    arrays: dict[str, np.ndarray]
    folder: Path
    limits: Limits


@pytest.fixture(scope="module")
def architectures():
    """The module that workers import by its bare name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TESTS / "factories")
        yield importlib.import_module("architectures")


@pytest.fixture(scope="module")
def nets(workers, architectures, tmp_path_factory):
    made: dict[str, Net] = {}

    def make(name: str) -> Net:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            reference = exported(workers, name, folder)
            arrays = noise(reference)
            workers.run("keras3", architectures.convert_publicly, reference.saved_model, arrays, folder)
            limits = converter_limits(folder / "calibrated.tflite", reference)
            made[name] = Net(reference, stored(folder, arrays), arrays, folder, limits)
        return made[name]

    return make


def exported(workers, name: str, folder: Path) -> Reference:
    model = KerasModel("factory", {"function": f"architectures:{name}", "arguments": {}}, 3, name, 0)
    return workers.run("keras3", export, model, 1, None, 0, folder)


def noise(reference: Reference) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(99)
    shapes = {info.name: (COUNT, *info.shape[1:]) for info in reference.inputs}
    return {name: generator.uniform(-1, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def stored(folder: Path, arrays: dict[str, np.ndarray]) -> Samples:
    paths = {name: folder / f"{name}.npy" for name in arrays}
    for name, path in paths.items():
        np.save(path, arrays[name])
    return Samples("train", folder, paths, {}, tuple(range(COUNT)), ("",) * COUNT, (), False, "")


def found(path: Path, limits: Limits | None = None, **settings: Any) -> Job:
    """What the engine is given for a file that is there."""
    spec = Quantization(**settings)
    graphs = tuple(read_graphs(path))
    reference = Reference(path, file_digest(path), *litert.describe(path), None, None, "tflite")
    if limits is None:
        limits = {index: (-1.0, 1.0) for index in activations(graphs[0])}
    return Job(spec, reference, graphs, make_plan(spec, graphs, ()), limits, None)


def quantized(workers, out: Path, job: Job) -> Path:
    path = out / "model.tflite"
    path.write_bytes(workers.run("keras3", mlir.quantize, job))
    return path


def refusal(path: Path, **settings: Any) -> str:
    job = found(path, **settings)
    return mlir.refusal(job.spec, job.reference, job.graphs)


def converter_limits(calibrated: Path, reference: Reference) -> Limits:
    """The converter's ranges by number of the tensor in the reference, which is the same graph in the same order."""
    theirs, ours = read_graphs(calibrated)[0], read_graphs(reference.path)[0]
    assert [op.name for op in theirs.ops] == [op.name for op in ours.ops]
    limits = {}
    values = flatbuffer.unpack(calibrated).subgraphs[0].tensors
    for index, number in zip(activations(theirs), activations(ours), strict=True):
        assert theirs.tensors[index].name == ours.tensors[number].name
        limits[number] = float(values[index].quantization.min[0]), float(values[index].quantization.max[0])
    return limits


def tensors(path: Path) -> list[tuple[str, Any, Any]]:
    """Op by op: its name, one of its tensors, and the constant data of that tensor."""
    model, graph = flatbuffer.unpack(path), read_graphs(path)[0]
    return [
        (op.name, tensor, model.buffers[tensor.buffer].data)
        for op in graph.ops
        for tensor in (model.subgraphs[0].tensors[index] for index in (*op.inputs, *op.outputs))
    ]


def numbers(values: Any) -> np.ndarray:
    return np.asarray([] if values is None else values)


def weight_scales(path: Path, op: str) -> int:
    """How many scales the weights of the first op of a type have."""
    index = next(found.inputs[1] for found in read_graphs(path)[0].ops if found.name == op)
    return len(flatbuffer.unpack(path).subgraphs[0].tensors[index].quantization.scale)


def drawn(*ops: tuple[str, tuple[int, ...], int]) -> tuple[Graph, ...]:
    """A float graph of ops with their inputs and output; tensor 0 is its input."""
    tensors = tuple(Tensor(f"t{i}", "float32", (1, 4), False, False, False) for i in range(len(ops) + 1))
    rows = tuple(Op(i, name, False, inputs, (output,)) for i, (name, inputs, output) in enumerate(ops))
    return (Graph(0, tensors, rows, frozenset({0}), frozenset({len(ops)})),)


def answers(path: Path, arrays: dict[str, np.ndarray], kernels: str = "xnnpack") -> dict[str, np.ndarray]:
    """What the file puts out, as it stands there: integers of int8 files."""
    runner = litert.open_interpreter(path, kernels=kernels).get_signature_runner()
    infos = {info.name: info for info in litert.describe(path)[0]}
    rows = [
        runner(**{name: litert.quantize(values[i : i + 1], infos[name]) for name, values in arrays.items()})
        for i in range(COUNT)
    ]
    return {name: np.concatenate([row[name].copy() for row in rows]) for name in rows[0]}


@pytest.mark.parametrize("scheme", IO)
@pytest.mark.parametrize("name", NETS)
def test_the_file_is_the_public_converters_when_the_ranges_are(name, scheme, nets, workers, tmp_path):
    net = nets(name)
    path = quantized(workers, tmp_path, found(net.reference.path, net.limits, scheme=scheme, io=IO[scheme]))
    ours, theirs = tensors(path), tensors(net.folder / f"{scheme}.tflite")
    assert [op for op, _, _ in ours] == [op for op, _, _ in theirs]
    for (op, mine, my_data), (_, other, other_data) in zip(ours, theirs, strict=True):
        assert (mine.type, list(numbers(mine.shape))) == (other.type, list(numbers(other.shape))), op
        assert np.array_equal(numbers(my_data), numbers(other_data)), (op, mine.name)
        scale, expected = (numbers(tensor.quantization and tensor.quantization.scale) for tensor in (mine, other))
        assert scale == pytest.approx(expected, rel=1e-6), (op, mine.name)
        zero, expected = (numbers(tensor.quantization and tensor.quantization.zeroPoint) for tensor in (mine, other))
        assert np.array_equal(zero, expected), (op, mine.name)
    computed, expected = answers(path, net.arrays), answers(net.folder / f"{scheme}.tflite", net.arrays)
    for output in expected:
        assert computed[output].dtype == IO[scheme]
        assert np.array_equal(computed[output], expected[output])


@pytest.mark.parametrize("kernels", ["xnnpack", "reference"])
@pytest.mark.parametrize("name", NETS)
def test_int16x8_runs_close_to_float(name, kernels, nets, workers, tmp_path):
    net = nets(name)
    path = quantized(workers, tmp_path, found(net.reference.path, net.limits, scheme="int16x8"))
    expected, computed = compute(net.reference.path, net.arrays), answers(path, net.arrays, kernels)
    for output, values in expected.items():
        assert np.linalg.norm(computed[output] - values) < 0.05 * np.linalg.norm(values)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet8"])
def test_converter_still_widens_what_a_residual_addition_overwrites(name, nets, tmp_path):
    """Where this fails, TensorFlow has mended its calibration, and docs that warn of engine: converter are out of date.

    The ADD writes its result over the tensor that was made last, and only then the converter looks at that tensor.
    """
    net = nets(name)
    graph = read_graphs(net.reference.path)[0]
    ranges = calibrate(net.reference, net.samples, 1, tmp_path)
    low, high = np.load(ranges.low).min(axis=0).tolist(), np.load(ranges.high).max(axis=0).tolist()
    ours = dict(zip(ranges.tensors, zip(low, high, strict=True), strict=True))
    for index, limits in seen(net).items():
        assert ours[index] == pytest.approx(limits, abs=1e-4 * max(map(abs, limits)))
    widened = []
    for op in graph.ops:
        low, high = ours[op.outputs[0]]
        theirs, slack = net.limits[op.outputs[0]], 1e-4 * max(-low, high)
        assert theirs[0] <= low + slack
        assert theirs[1] >= high - slack
        if theirs != pytest.approx((low, high), abs=slack):
            widened.append(op.index)
    assert {op.index - 1 for op in graph.ops if op.name == "ADD"} & set(widened)


def seen(net: Net) -> Limits:
    """The ranges of an interpreter that keeps every tensor, by its number."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(net.reference.path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    low: dict[int, float] = {}
    high: dict[int, float] = {}
    (values,) = net.arrays.values()
    for row in range(COUNT):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values[row : row + 1])
        interpreter.invoke()
        for index in net.limits:
            value = interpreter.get_tensor(index)
            low[index] = min(low.get(index, np.inf), float(value.min()))
            high[index] = max(high.get(index, -np.inf), float(value.max()))
    return {index: (low[index], high[index]) for index in net.limits}


@pytest.mark.parametrize(
    ("scheme", "io"), [("full_int8", "float32"), ("full_int8", "uint8"), ("int16x8", "float32"), ("int16x8", "int16")]
)
def test_border_has_the_dtype_asked_for(scheme, io, nets, workers, tmp_path):
    net = nets("two_inputs")
    path = quantized(workers, tmp_path, found(net.reference.path, net.limits, scheme=scheme, io=io))
    inputs, outputs = litert.describe(path)
    assert {info.dtype for info in (*inputs, *outputs)} == {io}
    for output, values in compute(net.reference.path, net.arrays).items():
        assert compute(path, net.arrays)[output] == pytest.approx(values, abs=0.03)


@pytest.mark.parametrize("scheme", IO)
def test_dense_weights_have_one_scale_when_asked(scheme, nets, workers, tmp_path):
    net = nets("ds_cnn")
    counts = []
    for per_channel in (True, False):
        job = found(net.reference.path, net.limits, scheme=scheme, per_channel_dense=per_channel)
        path = quantized(workers, tmp_path, job)
        counts.append((weight_scales(path, "FULLY_CONNECTED"), weight_scales(path, "CONV_2D")))
    assert counts == [(12, 64), (1, 64)]


def test_zero_points_are_zero_when_activations_are_symmetric(workers, tmp_path):
    reference = exported(workers, "rescaled", tmp_path)
    arrays = noise(reference)
    (tmp_path / "ranges").mkdir()
    ranges = calibrate(reference, stored(tmp_path, arrays), 1, tmp_path / "ranges")
    spec = Quantization(scheme="full_int8", io="int8", symmetric_activations=True)
    graphs = tuple(read_graphs(reference.path))
    plan = make_plan(spec, graphs, reference.layers)
    job = Job(spec, reference, graphs, plan, choose_limits(spec, reference, plan, ranges, None), None)
    path = quantized(workers, tmp_path, job)
    points = {(op, *numbers(tensor.quantization.zeroPoint)) for op, tensor, _ in tensors(path)}
    assert {point for _, *points_of_one in points for point in points_of_one} == {0, -128}
    assert {op for op, *points_of_one in points if any(points_of_one)} == {"SOFTMAX"}
    (output,) = compute(reference.path, arrays)
    assert compute(path, arrays)[output] == pytest.approx(compute(reference.path, arrays)[output], abs=0.03)


def test_op_without_int16_stays_float_when_allowed(workers, tmp_path):
    reference = exported(workers, "rescaled", tmp_path)
    text = "HARD_SWISH would compute in float; quantization.allow_float makes that acceptable"
    assert refusal(reference.path, scheme="int16x8") == text
    assert refusal(reference.path, scheme="int16x8", allow_float=["SOFTMAX"]) == text
    assert refusal(reference.path, scheme="full_int8") == ""
    allowed = {"scheme": "int16x8", "allow_float": ["HARD_SWISH"]}
    assert refusal(reference.path, **allowed) == ""
    arrays = noise(reference)
    (tmp_path / "ranges").mkdir()
    ranges = calibrate(reference, stored(tmp_path, arrays), 1, tmp_path / "ranges")
    limits = choose_limits(Quantization(**allowed), reference, found(reference.path, **allowed).plan, ranges, None)
    path = quantized(workers, tmp_path, found(reference.path, limits, **allowed))
    graph = read_graphs(path)[0]
    floating = {op.name for op in graph.ops if any(graph.tensors[i].dtype == "float32" for i in op.outputs)}
    assert floating == {"HARD_SWISH", "DEQUANTIZE"}
    (expected,) = compute(reference.path, arrays).values()
    (computed,) = compute(path, arrays).values()
    assert computed == pytest.approx(expected, abs=0.01)


def test_float_op_before_int16_ops_on_one_input_is_refused():
    """The quantizer would make the input int16 behind the back of the op that stays float: the file would not load."""
    settings = {"scheme": "int16x8", "allow_float": ["SQUARE"]}
    text = "SQUARE would read the input 't0' as float while other ops read it as int16"
    for graphs, expected in (
        (drawn(("SQUARE", (0,), 1), ("ADD", (0, 1), 2)), text),
        (drawn(("RELU", (0,), 1), ("SQUARE", (0,), 2), ("ADD", (1, 2), 3)), ""),
        (drawn(("SQUARE", (0,), 1), ("RELU", (1,), 2)), ""),
    ):
        assert mlir.refusal(Quantization(**settings), NOWHERE, graphs) == expected


@pytest.mark.parametrize("op", ["PADV2", "SELECT", "SUM"])
def test_op_that_int16x8_spoils_is_refused(op):
    graphs = drawn((op, (0,), 1))
    text = f"it makes no {op} of int16 that LiteRT runs and computes right"
    assert mlir.refusal(Quantization(scheme="int16x8"), NOWHERE, graphs) == text
    assert mlir.refusal(Quantization(scheme="int16x8", allow_float=[op]), NOWHERE, graphs) == text
    assert mlir.refusal(Quantization(scheme="full_int8"), NOWHERE, graphs) == ""


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("lstm_float32", "the ranges inside UNIDIRECTIONAL_SEQUENCE_LSTM '.*' cannot be seen: it keeps state"),
        ("float16", "the weights of the reference must be float32, and '.*' is float16"),
        ("dynamic_int8", "a quantized file is given as reference"),
    ],
)
def test_file_that_cannot_be_quantized_is_refused(file, text):
    assert re.match(text, refusal(TESTS / "data" / f"{file}.tflite", scheme="full_int8"))


def test_loop_of_an_lstm_is_refused(workers, tmp_path):
    """The public converter ends in a segmentation fault when it calibrates this one."""
    reference = exported(workers, "lstm", tmp_path)
    assert re.match("the ranges inside WHILE '.*' cannot be seen: another", refusal(reference.path, scheme="full_int8"))


def test_missing_range_is_an_error(workers):
    job = found(TESTS / "data" / "float32.tflite", {0: (0.0, 1.0)}, scheme="full_int8")
    with pytest.raises(StageError, match="must give the range of every activation"):
        workers.run("keras3", mlir.quantize, job)


def test_error_of_the_quantizer_is_told(workers):
    job = found(TESTS / "data" / "dynamic_int8.tflite", scheme="int16x8")
    with pytest.raises(StageError, match="refused int16x8: Scale and zero points should not be recorded"):
        workers.run("keras3", mlir.quantize, job)


def test_changed_tensorflow_is_told(workers, architectures):
    job = found(TESTS / "data" / "float32.tflite", scheme="full_int8")
    with pytest.raises(
        StageError, match=r"inside TensorFlow 2\.\d+\.\d+ is not the one of 2\.21: cannot import"
    ) as told:
        workers.run("keras3", architectures.quantize_with_another_tensorflow, job)
    assert "engine: converter" in told.value.remedy
