"""A `ModelT` for ai-edge-quantizer: marked before, so that each op can be told apart, and mended after."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tflite_pipeline.runtime.treatment import Treatment

Place = tuple[int, int]
"""Number of the subgraph, number of the op or tensor in it."""

_MARK = re.compile(r"\w+/(?P<graph>\d+)/(?P<tensor>\d+)(?P<rest>\w*)")


@dataclass(frozen=True)
class Original:
    """What the model had before it was marked: the names and outputs of each subgraph, and signatures."""

    names: list[list[bytes]]
    outputs: list[list[int]]
    signatures: Any

    def explain(self, text: str) -> str:
        """Replace the marks in a text by the names of the tensors."""

        def name(mark: re.Match[str]) -> str:
            return f"'{self.names[int(mark['graph'])][int(mark['tensor'])].decode()}'{mark['rest']}"

        return _MARK.sub(name, text)


def mark(model: Any, treatments: Mapping[Place, Treatment]) -> Original:
    """Name every tensor `label/subgraph/number`, with the label of the op that makes it.

    The library finds ops by the names of their outputs, and demands that no name occurs twice. Signatures are taken
    away: it loses outputs that have other readers, and fails where there are no signatures.
    """
    original = Original(
        [[tensor.name or b"" for tensor in graph.tensors] for graph in model.subgraphs],
        [list(graph.outputs) for graph in model.subgraphs],
        model.signatureDefs,
    )
    for number, graph in enumerate(model.subgraphs):
        labels = {}
        for index, op in enumerate(graph.operators):
            if (number, index) in treatments:
                labels.update(dict.fromkeys(op.outputs, treatments[number, index].label))
        for index, tensor in enumerate(graph.tensors):
            tensor.name = f"{labels.get(index, 'none')}/{number}/{index}".encode()
        graph.operators.append(_fence())
    model.signatureDefs = []
    return original


def _fence() -> Any:
    """Make an op that reads nothing, to be the last: the library changes that one when it means the graph's outputs."""
    from ai_edge_litert import schema_py_generated as schema

    fence = schema.OperatorT()
    fence.inputs, fence.outputs = [], []
    return fence


def mend(model: Any, original: Original, border: str) -> None:
    """Undo `mark`, and put right what the library leaves wrong; `border` is the dtype that the outputs are to have."""
    for number, graph in enumerate(model.subgraphs):
        names, outputs = original.names[number], original.outputs[number]
        graph.operators.pop()
        families = _unmark(graph, names)
        dtype = border if number == 0 else "float32"
        graph.outputs = [
            _choose(graph, families[before], after, dtype) for before, after in zip(outputs, graph.outputs, strict=True)
        ]
        for before, after in zip(outputs, graph.outputs, strict=True):
            # Files without a signature are known by the names of their outputs.
            if before != after:
                graph.tensors[before].name = names[before] + b"_inner"
                graph.tensors[after].name = names[before]
        _split_activations(model, graph)
    model.signatureDefs = original.signatures
    for signature in original.signatures or []:
        number = signature.subgraphIndex
        moved = dict(zip(original.outputs[number], model.subgraphs[number].outputs, strict=True))
        for entry in signature.outputs or []:
            entry.tensorIndex = moved.get(entry.tensorIndex, entry.tensorIndex)


def _unmark(graph: Any, names: list[bytes]) -> dict[int, list[int]]:
    """Name tensors as before, new ones after those that they were made of; by number of the old ones, list both."""
    families: dict[int, list[int]] = {}
    for index, tensor in enumerate(graph.tensors):
        found = _MARK.fullmatch(tensor.name.decode())
        if found is not None:
            families.setdefault(int(found["tensor"]), []).append(index)
            tensor.name = names[int(found["tensor"])] + found["rest"].encode()
    return families


def _choose(graph: Any, family: list[int], output: int, dtype: str) -> int:
    """Give the output, or a relative of the right dtype: the library may take one that was made for another reader."""
    from ai_edge_litert import schema_py_generated as schema

    wanted = getattr(schema.TensorType, dtype.upper())
    return next((index for index in (output, *family) if graph.tensors[index].type == wanted), output)


def _split_activations(model: Any, graph: Any) -> None:
    """Give dense layers with blocks their activation as an op of its own.

    The kernel that stands in where XNNPACK is not used leaves a fused one out, and says nothing.
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.ActivationFunctionType).items() if isinstance(value, int)}
    operators, graph.operators = graph.operators, []
    for op in operators:
        graph.operators.append(op)
        options = op.builtinOptions
        if not isinstance(options, schema.FullyConnectedOptionsT) or not options.fusedActivationFunction:
            continue
        weight, output = graph.tensors[op.inputs[1]], graph.tensors[op.outputs[0]]
        if weight.quantization is None or weight.quantization.details is None:
            continue
        inner = copy.copy(output)
        inner.name = output.name + b"_linear"
        activation = schema.OperatorT()
        activation.opcodeIndex = _code(model, names[options.fusedActivationFunction])
        activation.inputs, activation.outputs = [len(graph.tensors)], list(op.outputs)
        options.fusedActivationFunction = schema.ActivationFunctionType.NONE
        op.outputs = [len(graph.tensors)]
        graph.tensors.append(inner)
        graph.operators.append(activation)


def _code(model: Any, name: str) -> int:
    """Give the place of an op type in the model's list, where it is added if need be."""
    from ai_edge_litert import schema_py_generated as schema

    number = getattr(schema.BuiltinOperator, name)
    numbers = [code.builtinCode for code in model.operatorCodes]
    if number not in numbers:
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, number, 1
        model.operatorCodes.append(code)
        return len(numbers)
    return numbers.index(number)
