"""A `.tflite` in; by output the distance between neighbouring values out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tflite_pipeline.runtime import litert


def output_steps(path: Path) -> dict[str, float | None]:
    """Give by output the distance between two neighbouring values that it can take, its LSB in real numbers.

    A float output takes those of the integers that a DEQUANTIZE makes it of; None where the file computes it in float.
    """
    model = litert.read_model(path)
    graph = model.Subgraphs(0)
    makers = {}
    for number in range(graph.OperatorsLength()):
        op = graph.Operators(number)
        if litert.op_name(model, op) == "DEQUANTIZE":
            makers[op.Outputs(0)] = op.Inputs(0)
    names = [info.name for info in litert.describe(path)[1]]
    tensors = [graph.Outputs(number) for number in range(graph.OutputsLength())]
    return {
        name: _scale(graph.Tensors(makers.get(tensor, tensor))) for name, tensor in zip(names, tensors, strict=True)
    }


def _scale(tensor: Any) -> float | None:
    quantization = tensor.Quantization()
    scales = quantization.ScaleLength() if quantization is not None else 0
    return float(quantization.Scale(0)) or None if scales == 1 else None
