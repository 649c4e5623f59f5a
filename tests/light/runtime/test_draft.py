"""What is added to a file is computed beside what it computed before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.draft import Draft

DATA = Path(__file__).parents[2] / "data"


def answers(content: bytes, folder: Path, value: np.ndarray) -> list[np.ndarray]:
    path = folder / "draft.tflite"
    path.write_bytes(content)
    interpreter = litert.open_interpreter(path)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(row["index"]) for row in interpreter.get_output_details()]


def test_added_ops_compute_beside_those_of_the_file(tmp_path: Path, features: np.ndarray) -> None:
    source, value = DATA / "float32.tflite", features[:1]
    (scores,) = answers(source.read_bytes(), tmp_path, value)
    draft = Draft(source)
    axis, output = draft.constant(np.array([1], np.int32)), draft.graph.outputs[0]
    least = draft.op("REDUCE_MIN", [output, axis], [1], "ReducerOptions", keepDims=False)
    sums = draft.op("SUM", [output, axis], [1, 1], "ReducerOptions", keepDims=True)
    found = answers(draft.finish([output, least, sums]), tmp_path, value)
    np.testing.assert_array_equal(found[0], scores)
    np.testing.assert_array_equal(found[1], scores.min(axis=1))
    np.testing.assert_allclose(found[2], scores.sum(axis=1, keepdims=True), rtol=1e-6)


def test_an_op_type_is_listed_once_when_it_is_added_twice() -> None:
    draft = Draft(DATA / "float32.tflite")
    before = len(flatbuffer.unpack(DATA / "float32.tflite").operatorCodes)
    draft.op("RELU", [draft.op("RELU", [0], [1, 16])], [1, 16])
    made = flatbuffer.unpack(draft.finish([draft.graph.outputs[0]]))
    assert len(made.operatorCodes) == before + 1
    assert [op.opcodeIndex for op in made.subgraphs[0].operators[-2:]] == [before, before]


def test_outputs_go_by_the_names_of_their_tensors(tmp_path: Path) -> None:
    draft = Draft((DATA / "two_by_two.tflite").read_bytes())
    draft.rename(draft.graph.outputs[1], "second")
    (tmp_path / "one.tflite").write_bytes(draft.finish([draft.graph.outputs[1]]))
    _, outputs = litert.describe(tmp_path / "one.tflite")
    assert [info.name for info in outputs] == ["second"]


@pytest.mark.parametrize(("name", "old"), [("RELU", 19), ("GELU", flatbuffer.OLD_CODES)])
def test_op_types_are_readable_for_old_and_new_readers(name: str, old: int) -> None:
    from ai_edge_litert import schema_py_generated as schema

    draft = Draft(DATA / "float32.tflite")
    made = schema.Model.GetRootAs(draft.finish([draft.op(name, [0], [1, 16])]), 0)
    code = made.OperatorCodes(made.OperatorCodesLength() - 1)
    assert (code.BuiltinCode(), code.DeprecatedBuiltinCode()) == (getattr(schema.BuiltinOperator, name), old)
