"""Networks that tests draw op by op, with weights of their own choice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tflite_pipeline.artifacts import Reference, file_digest
from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.draft import Draft

SAME, VALID = 0, 1


class Drawing:
    """A float graph that is being drawn; tensor 0, `image`, is its only input."""

    def __init__(self, folder: Path, shape: Sequence[int]) -> None:
        model, graph, image = schema.ModelT(), schema.SubGraphT(), schema.TensorT()
        model.version, model.subgraphs, model.operatorCodes, model.buffers = 3, [graph], [], [schema.BufferT()]
        image.name, image.type, image.buffer, image.shape = b"image", schema.TensorType.FLOAT32, 0, list(shape)
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [image], [], [0], []
        self._folder, self.draft = folder, Draft(flatbuffer.pack(model))

    def integers(self, values: Any) -> int:
        return self.draft.constant(np.asarray(values, np.int32))

    def floats(self, values: Any) -> int:
        index = self.draft.constant(np.asarray(values, np.float32).view(np.int32))
        self.draft.graph.tensors[index].type = schema.TensorType.FLOAT32
        return index

    def op(self, name: str, inputs: Sequence[int], shape: Sequence[int], options: str = "", **fields: Any) -> int:
        return self.draft.op(name, inputs, shape, options, **fields)

    def conv(self, read: int, kernel: Any, bias: Any, shape: Sequence[int], fused: int = 1, padding: int = SAME) -> int:
        """A convolution; `fused` is 0 for none, 1 for RELU, 3 for RELU6."""
        constants = self.floats(kernel), self.floats(bias)
        fields = {"strideH": 1, "strideW": 1, "padding": padding, "fusedActivationFunction": fused}
        return self.op("CONV_2D", (read, *constants), shape, "Conv2DOptions", **fields)

    def depthwise(self, read: int, kernel: Any, bias: Any, shape: Sequence[int], times: int = 1) -> int:
        constants = self.floats(kernel), self.floats(bias)
        fields = {"strideH": 1, "strideW": 1, "depthMultiplier": times, "fusedActivationFunction": 1}
        return self.op("DEPTHWISE_CONV_2D", (read, *constants), shape, "DepthwiseConv2DOptions", **fields)

    def dense(self, read: int, kernel: Any, bias: Any, fused: int = 0) -> int:
        constants = self.floats(kernel), self.floats(bias)
        fields = {"fusedActivationFunction": fused}
        return self.op("FULLY_CONNECTED", (read, *constants), (1, len(kernel)), "FullyConnectedOptions", **fields)

    def reference(self, *outputs: int) -> Reference:
        for index, tensor in enumerate(self.draft.graph.tensors):
            tensor.name = tensor.name or f"tensor{index}".encode()
        path = self._folder / "drawn.tflite"
        path.write_bytes(self.draft.finish(outputs))
        return Reference(path, file_digest(path), *litert.describe(path), None, None, "tflite")


@pytest.fixture
def drawing(tmp_path: Path) -> Any:
    """A function from the shape of the input to a new drawing."""
    return lambda shape: Drawing(tmp_path, shape)
