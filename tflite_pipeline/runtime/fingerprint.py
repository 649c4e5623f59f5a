"""A `.tflite` in; a digest of what it computes out, whatever its tensors are called and however it is laid out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.runtime import flatbuffer


@dataclass(frozen=True)
class Fingerprint:
    """`digest` is that of the whole file; `constants` are those of its constant tensors, in no order."""

    digest: str
    constants: tuple[str, ...]


def take_fingerprint(path: Path) -> Fingerprint:
    """Digest the ops with their options, and shapes, dtypes, scales, zero points and constants of their tensors.

    Every op is digested with the digests of its inputs (a Merkle graph), so that numbers of tensors and names take no
    part; nor do metadata, recorded ranges, versions of ops, signatures, or options that are written out though they
    are the default ones. The file must be sound (`soundness`).
    """
    model = flatbuffer.unpack(path)
    graphs = [_Graph(model, graph) for graph in model.subgraphs]
    constants = sorted(digest for graph in graphs for digest in graph.constants.values())
    return Fingerprint(_digest([graph.digest for graph in graphs]), tuple(constants))


class _Graph:
    """One subgraph under digestion; `known` are the digests of the tensors that have a value so far."""

    def __init__(self, model: Any, graph: Any) -> None:
        self._model, self._graph = model, graph
        self._tensors = _list(graph.tensors)
        self._contents: dict[int, str] = {}
        self.known: dict[int, str] = dict(self.constants)
        states = (i for op in _list(graph.operators) for i in _list(op.inputs) if i >= 0)
        for number, index in enumerate(dict.fromkeys(i for i in states if self._tensors[i].isVariable)):
            self.known[index] = _digest(["state", number, self._own(index)])
        for number, index in enumerate(_list(graph.inputs)):
            self.known[index] = _digest(["input", number, self._own(index)])

    @cached_property
    def constants(self) -> dict[int, str]:
        """Digests of the tensors that have their values in the file."""
        found = {}
        for index, tensor in enumerate(self._tensors):
            content = self._content(index)
            if tensor.externalBuffer or content:
                found[index] = _digest(["constant", content, tensor.externalBuffer, self._own(index)])
        return found

    @cached_property
    def digest(self) -> str:
        """The digest of the graph: of its outputs, and of all ops."""
        ops = [self._op(op) for op in _list(self._graph.operators)]
        if not self._in_sequence():
            ops.sort()
        inputs = [self.known[i] for i in _list(self._graph.inputs)]
        return _digest([inputs, [self._value(i) for i in _list(self._graph.outputs)], ops])

    def _in_sequence(self) -> bool:
        """Tell whether ops may act on each other by other ways than their tensors, so that their order counts."""
        from ai_edge_litert import schema_py_generated as schema

        kinds = (schema.TensorType.RESOURCE, schema.TensorType.VARIANT)
        custom = any(code.builtinCode == schema.BuiltinOperator.CUSTOM for code in self._model.operatorCodes)
        return custom or any(tensor.isVariable or tensor.type in kinds for tensor in self._tensors)

    def _op(self, op: Any) -> str:
        code = self._model.operatorCodes[op.opcodeIndex]
        outputs = _list(op.outputs)
        digest = _digest(
            [
                [code.builtinCode, _plain(code.customCode)],
                [_plain(op.builtinOptions), _plain(op.builtinOptions2), _plain(op.customOptions)],
                [self._value(i) for i in _list(op.inputs)],
                [self._own(i) for i in outputs],
                [self._own(i) for i in _list(op.intermediates) if i >= 0],
                _plain(op.mutatingVariableInputs),
            ]
        )
        self.known.update({index: _digest([digest, number]) for number, index in enumerate(outputs)})
        return digest

    def _value(self, index: int) -> str:
        """Give the digest of a tensor's value, "" of an input that is left out."""
        if index < 0:
            return ""
        return self.known.get(index) or _digest(["void", self._own(index)])

    def _own(self, index: int) -> list[Any]:
        tensor = self._tensors[index]
        signature = _plain(tensor.shapeSignature)
        return [tensor.type, signature or _plain(tensor.shape), self._grid(tensor), _plain(tensor.sparsity)]

    def _grid(self, tensor: Any) -> Any:
        """Give scales and zero points; recorded ranges are none of them, and one scale has no axis."""
        quantization = tensor.quantization
        if quantization is None:
            return None
        scales, zero_points = _list(quantization.scale), _list(quantization.zeroPoint)
        shared = sorted(set(zero_points)) or [0]
        found = [scales, shared if len(shared) == 1 else zero_points] if scales else []
        axis = quantization.quantizedDimension if len(scales) > 1 else 0
        return [*found, axis, self._details(quantization.details)]

    def _details(self, details: Any) -> Any:
        """Give what else there is to a grid; the scales of blocks lie in a tensor that it names."""
        if not hasattr(details, "blockSize"):
            return _plain(details)
        # The first tensor stands for none.
        lists = [i if 0 < i < len(self._tensors) else None for i in (details.scales, details.zeroPoints)]
        return [details.blockSize, *("" if i is None else self._content(i) for i in lists)]

    def _content(self, index: int) -> str:
        """Give the digest of what the file stores of a tensor, "" where that is nothing; tensors may share it."""
        number = self._tensors[index].buffer
        if number not in self._contents:
            data = self._model.buffers[number].data
            self._contents[number] = "" if data is None or not len(data) else hashlib.sha256(data).hexdigest()
        return self._contents[number]


def _list(vector: Any) -> list[Any]:
    if vector is None:
        return []
    return vector.tolist() if isinstance(vector, np.ndarray) else list(vector)


def _plain(value: Any) -> Any:
    """Turn an object of the schema into lists and dicts; what is empty or as by default is None."""
    if isinstance(value, bytes):
        return value.hex() or None
    if isinstance(value, np.ndarray) and value.itemsize == 1:
        return value.tobytes().hex() or None
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in _list(value)] or None
    if hasattr(value, "__dict__"):
        usual = {name: _plain(item) for name, item in vars(type(value)()).items()}
        own = {name: _plain(item) for name, item in sorted(vars(value).items())}
        return {name: item for name, item in own.items() if item != usual[name]} or None
    return value


def _digest(value: Sequence[Any]) -> str:
    # The text of a float in Python is exact, and that of lists and sorted dicts has one form.
    return hashlib.sha256(repr(value).encode()).hexdigest()
