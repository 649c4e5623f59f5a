"""A `.tflite` in; what it asks of its runtime out: ops with their versions, clipping, and what it says itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.census import MIN_RUNTIME, metadata


@dataclass(frozen=True)
class OpCode:
    """An entry of the file's list of ops; of a custom op `name` is its own name."""

    name: str
    version: int
    custom: bool

    def __str__(self) -> str:
        """Name it for a message."""
        return self.name if self.custom else f"{self.name} version {self.version}"


def read_op_codes(path: Path) -> list[OpCode]:
    """List what runtimes look up when they load the file, in its order; ops that no graph uses are looked up too."""
    model = litert.read_model(path)
    codes = (model.OperatorCodes(i) for i in range(model.OperatorCodesLength()))
    return [OpCode(litert.code_name(code), code.Version(), litert.is_custom_code(code)) for code in codes]


def claimed_runtime(path: Path) -> str:
    """Give the release that the file's own metadata names as the oldest that runs it; "" where it names none."""
    rows = metadata(litert.read_model(path))
    return next((row["text"] for row in rows if row["name"] == MIN_RUNTIME and "text" in row), "")


def widest_clips(path: Path) -> dict[tuple[int, int], float]:
    """Give, by graph and op, the largest number of steps at which a fused activation clips an integer output.

    Only where an op clips elsewhere than at zero: at 6 (RELU6) or at -1 and 1.
    """
    model = litert.read_model(path)
    found = {}
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        for index in range(graph.OperatorsLength()):
            op = graph.Operators(index)
            limit, scale = _clip(op), _scale(graph, op)
            if limit and scale:
                found[number, index] = limit / scale
    return found


def _clip(op: Any) -> float:
    from ai_edge_litert import schema_py_generated as schema

    kinds = {number: name for name, number in vars(schema.BuiltinOptions).items() if isinstance(number, int)}
    options = getattr(schema, kinds.get(op.BuiltinOptionsType(), ""), None)
    if options is None or op.BuiltinOptions() is None or not hasattr(options, "FusedActivationFunction"):
        return 0.0
    table, fused = options(), schema.ActivationFunctionType
    table.Init(op.BuiltinOptions().Bytes, op.BuiltinOptions().Pos)
    return {fused.RELU6: 6.0, fused.RELU_N1_TO_1: 1.0}.get(table.FusedActivationFunction(), 0.0)


def _scale(graph: Any, op: Any) -> float:
    if not op.OutputsLength() or op.Outputs(0) < 0:
        return 0.0
    quantization = graph.Tensors(op.Outputs(0)).Quantization()
    return float(quantization.Scale(0)) if quantization is not None and quantization.ScaleLength() else 0.0
