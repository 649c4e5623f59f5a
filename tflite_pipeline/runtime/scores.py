"""A `.tflite` in; the same file that gives, in its outputs' places, the scores which a last SOFTMAX reads, out.

Shares of a sample that the network is sure of are 0 and 1 to all digits, and tell nothing of how far a file is off.
"""

from __future__ import annotations

from pathlib import Path

from tflite_pipeline.runtime.draft import Draft
from tflite_pipeline.runtime.graph import BORDER, Graph, read_graphs
from tflite_pipeline.runtime.values import as_outputs

_SQUASHING = frozenset({"LOGISTIC", "SOFTMAX"})
_PASS_ON = BORDER | {"RESHAPE", "SQUEEZE"}


def with_scores(path: Path) -> bytes:
    """Give the file with outputs of float32, named `0`, `1`, … in the order of the file's own."""
    graph, draft = read_graphs(path)[0], Draft(path)
    own = [int(i) for i in draft.graph.outputs]
    outputs = as_outputs(draft, [_scores(graph, i) for i in own], 1)
    for place, index in enumerate(outputs):
        draft.rename(index, str(place))
    return draft.finish(outputs)


def _scores(graph: Graph, output: int) -> int:
    """Go back from an output, past ops that pass values on, to what is squashed; else give the output itself."""
    makers = {i: op for op in graph.ops for i in op.outputs}
    tensor = output
    while tensor in makers and makers[tensor].name in _PASS_ON:
        tensor = makers[tensor].inputs[0]
    if tensor in makers and makers[tensor].name in _SQUASHING:
        return makers[tensor].inputs[0]
    return output
