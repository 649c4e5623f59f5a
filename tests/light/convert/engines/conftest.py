"""A bench that quantizes tiny files with ai-edge-quantizer and runs what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tflite_pipeline.artifacts import Reference, file_digest
from tflite_pipeline.convert.engines import ai_edge
from tflite_pipeline.convert.engines.job import Job, Limits
from tflite_pipeline.convert.plan import make_plan
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.graph import read_graphs

DATA = Path(__file__).parents[3] / "data"
KERNELS = {
    "xnnpack": OpResolverType.AUTO,
    "plain": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}
OPTIONS = {"FULLY_CONNECTED": "FullyConnectedOptions", "BATCH_MATMUL": "BatchMatMulOptions", "PACK": "PackOptions"}
SAMPLES = 8


@dataclass
class Bench:
    """Files below `folder`; a file of `tests/data` goes by its name."""

    folder: Path

    def path(self, file: str | Path) -> Path:
        return DATA / f"{file}.tflite" if isinstance(file, str) else file

    def edit(self, file: str, change: Callable[[Any], None]) -> Path:
        """Store a changed copy of a file of `tests/data`; `change` gets the schema's objects."""
        model = flatbuffer.unpack(self.path(file))
        change(model)
        return self.store(model)

    def build(
        self, tensors: Sequence[tuple[str, Any]], ops: Sequence[tuple[str, list[int], int]], **lists: Any
    ) -> Path:
        """Store a file without a signature. A tensor is a constant, or dtype and shape; an op names its operands."""
        model, graph = schema.ModelT(), schema.SubGraphT()
        model.version, model.subgraphs, model.operatorCodes, model.buffers = 3, [graph], [], [schema.BufferT()]
        graph.tensors, graph.operators = [], []
        graph.inputs, graph.outputs = lists["inputs"], lists["outputs"]
        for name, what in tensors:
            tensor, constant = schema.TensorT(), isinstance(what, np.ndarray)
            dtype, shape = (str(what.dtype), what.shape) if constant else what
            tensor.name, tensor.shape = name.encode(), list(shape)
            tensor.type = getattr(schema.TensorType, dtype.upper())
            tensor.buffer = len(model.buffers) if constant else 0
            if constant:
                model.buffers.append(schema.BufferT())
                model.buffers[-1].data = np.frombuffer(what.tobytes(), np.uint8)
            graph.tensors.append(tensor)
        for name, inputs, output in ops:
            code, operator = schema.OperatorCodeT(), schema.OperatorT()
            code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
            operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes), inputs, [output]
            if name in OPTIONS:
                operator.builtinOptionsType = getattr(schema.BuiltinOptions, OPTIONS[name])
                operator.builtinOptions = getattr(schema, f"{OPTIONS[name]}T")()
                vars(operator.builtinOptions).update(valuesCount=len(inputs))
            model.operatorCodes.append(code)
            graph.operators.append(operator)
        return self.store(model)

    def store(self, model: Any) -> Path:
        path = self.folder / f"built{len(list(self.folder.iterdir()))}.tflite"
        path.write_bytes(flatbuffer.pack(model))
        return path

    def refusal(self, file: str | Path, **keys: Any) -> str:
        path = self.path(file)
        return ai_edge.refusal(Quantization(**keys), _reference(path), tuple(read_graphs(path)))

    def quantize(self, file: str | Path, limits: Limits | None = None, **keys: Any) -> Path:
        """Quantize with the ranges that an interpreter sees, which must not be refused."""
        path, spec = self.path(file), Quantization(**keys)
        reference, graphs = _reference(path), tuple(read_graphs(path))
        assert ai_edge.refusal(spec, reference, graphs) == ""
        if limits is None and spec.calibrated:
            limits = self.limits(path)
        content = ai_edge.quantize(Job(spec, reference, graphs, make_plan(spec, graphs, ()), limits, None))
        made = self.folder / f"{path.stem}_{'_'.join(map(str, [spec.scheme, spec.io]))}.tflite"
        made.write_bytes(content)
        return made

    def limits(self, file: str | Path) -> Limits:
        path, limits = self.path(file), {}
        interpreter = Interpreter(
            str(path), experimental_preserve_all_tensors=True, experimental_op_resolver_type=KERNELS["reference"]
        )
        for _ in _run(interpreter):
            for row in interpreter.get_tensor_details():
                if row["dtype"] == np.float32 and row["shape"].all():
                    values = interpreter.get_tensor(row["index"])
                    low, high = limits.get(row["index"], (0.0, 0.0))
                    limits[row["index"]] = min(low, float(values.min())), max(high, float(values.max()))
        return limits

    def answers(self, file: str | Path, kernels: str = "xnnpack") -> dict[str, np.ndarray]:
        """By name of the output: what a file computes on the samples, as real numbers, [samples, values]."""
        path = self.path(file)
        names = [info.name for info in litert.describe(path)[1]]
        interpreter = Interpreter(str(path), experimental_op_resolver_type=KERNELS[kernels])
        rows = [[_real(interpreter, row) for row in interpreter.get_output_details()] for _ in _run(interpreter)]
        return {name: np.stack([row[place] for row in rows]) for place, name in enumerate(names)}

    def decibels(self, reference: str | Path, file: Path, kernels: str = "xnnpack") -> float:
        """How far the answers of a file lie above their difference from the reference's; the least of all outputs."""
        right, found = self.answers(reference), self.answers(file, kernels)
        assert right.keys() == found.keys()
        noise = [(np.square(right[name] - found[name]).sum(), np.square(right[name]).sum()) for name in right]
        return min(99.0 if error == 0 else 10 * float(np.log10(signal / error)) for error, signal in noise)


def _reference(path: Path) -> Reference:
    return Reference(path, file_digest(path), *litert.describe(path), None, None, "tflite")


def _run(interpreter: Any) -> Any:
    """Yield after each of the samples; a quantized input gets them as an app would hand them in."""
    interpreter.allocate_tensors()
    noise = np.random.default_rng(0)
    for _ in range(SAMPLES):
        for row in interpreter.get_input_details():
            scale, zero_point = row["quantization"]
            ids = row["dtype"] == np.int32
            values = noise.integers(0, 10, row["shape"]) if ids else noise.uniform(-1, 1, row["shape"])
            if scale:
                ends = np.iinfo(row["dtype"])
                values = np.clip(np.rint(values / scale) + zero_point, ends.min, ends.max)
            interpreter.set_tensor(row["index"], values.astype(row["dtype"]))
        interpreter.invoke()
        yield


def _real(interpreter: Any, row: dict[str, Any]) -> np.ndarray:
    scale, zero_point = row["quantization"]
    values = interpreter.get_tensor(row["index"]).astype(np.float64).ravel()
    return (values - zero_point) * scale if scale else values


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
