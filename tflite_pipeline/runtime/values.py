"""A draft and numbers of its tensors in; tensors that can be the outputs of the file, one row a sample, out."""

from __future__ import annotations

from collections.abc import Sequence

from tflite_pipeline.runtime.draft import Draft


def as_outputs(draft: Draft, tensors: Sequence[int], batch: int) -> list[int]:
    """Give float32 tensors with the values of these, in their order; the first axis of each is the batch.

    Integers with a scale are turned to real numbers. A tensor that does not belong to the rows of the batch is repeated
    for each, where there is more than one.
    """
    from ai_edge_litert import schema_py_generated as schema

    outputs = []
    for index in tensors:
        tensor, shape = draft.graph.tensors[index], [int(size) for size in draft.graph.tensors[index].shape]
        whole = batch > 1 and not is_led(draft, index, batch)
        real = index if tensor.type == schema.TensorType.FLOAT32 else draft.op("DEQUANTIZE", [index], shape)
        outputs.append(repeated(draft, real, shape, batch) if whole else real)
    return outputs


def is_led(draft: Draft, index: int, batch: int) -> bool:
    """Tell whether the first dimension of a tensor is the batch; with one row an inference it does not matter."""
    tensor = draft.graph.tensors[index]
    sizes = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    return batch > 1 and sizes is not None and len(sizes) > 0 and int(sizes[0]) == batch


def repeated(draft: Draft, index: int, shape: Sequence[int], times: int) -> int:
    """Put copies of a float32 tensor along a new first axis, and give the number of the result."""
    return draft.op("PACK", [index] * times, [times, *shape], "PackOptions", valuesCount=times, axis=0)
