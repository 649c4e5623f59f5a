from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import TensorInfo
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert

DATA = Path(__file__).parents[2] / "data"


def answers(path: Path) -> dict[str, np.ndarray]:
    runner = litert.open_interpreter(path).get_signature_runner()
    zoom, angle = np.array([[1, 2, 3]], np.float32), np.array([[-1, 5]], np.float32)
    return {name: value.copy() for name, value in runner(zoom=zoom, angle=angle).items()}


def test_describe_names_by_signature() -> None:
    inputs, outputs = litert.describe(DATA / "full_int8_int8_io.tflite")
    assert [info.name for info in (*inputs, *outputs)] == ["features", "scores"]
    assert (inputs[0].shape, inputs[0].dtype, inputs[0].zero_point) == ((1, 16), "int8", 15)
    assert outputs[0] == TensorInfo("scores", (1, 4), "int8", 1 / 256, -128)


def test_describe_gives_minus_one_for_a_dynamic_batch() -> None:
    inputs, outputs = litert.describe(DATA / "float32_dynamic_batch.tflite")
    assert (inputs[0].shape, outputs[0].shape) == ((-1, 16), (-1, 4))


def test_describe_falls_back_to_tensor_names_without_signature(shared_data: Path) -> None:
    inputs, outputs = litert.describe(shared_data / "keyword_spotting" / "published_int8.tflite")
    assert (inputs[0].name, outputs[0].name) == ("input_1", "Identity")
    assert inputs[0].scale == pytest.approx(0.5847029)


def test_reorder_changes_the_order_and_keeps_the_signature_true(tmp_path: Path) -> None:
    source = DATA / "two_by_two.tflite"
    assert [info.name for info in litert.describe(source)[1]] == ["area", "width"]
    turned = tmp_path / "turned.tflite"
    turned.write_bytes(litert.reorder(source, ["angle", "zoom"], ["width", "area"]))
    inputs, outputs = litert.describe(turned)
    assert [(info.name, info.shape) for info in inputs] == [("angle", (1, 2)), ("zoom", (1, 3))]
    assert [(info.name, info.shape) for info in outputs] == [("width", (1, 3)), ("area", (1, 2))]
    before, after = answers(source), answers(turned)
    for name in ("width", "area"):
        np.testing.assert_array_equal(before[name], after[name])
    interpreter = litert.open_interpreter(turned)
    for row, value in zip(interpreter.get_input_details(), ([[-1, 5]], [[1, 2, 3]]), strict=True):
        interpreter.set_tensor(row["index"], np.array(value, np.float32))
    interpreter.invoke()
    by_index = [interpreter.get_tensor(row["index"]) for row in interpreter.get_output_details()]
    np.testing.assert_array_equal(by_index[0], before["width"])
    np.testing.assert_array_equal(by_index[1], before["area"])
    assert len(turned.read_bytes()) == len(source.read_bytes())


def test_reorder_takes_bytes_and_restores_them() -> None:
    content = (DATA / "two_by_two.tflite").read_bytes()
    turned = litert.reorder(content, ["angle", "zoom"], ["width", "area"])
    assert turned != content
    assert litert.reorder(turned, ["zoom", "angle"], ["area", "width"]) == content


def test_reorder_refuses_other_names() -> None:
    with pytest.raises(StageError, match=r"outputs of the \.tflite must be 'width', 'depth'\. Got 'area', 'width'"):
        litert.reorder(DATA / "two_by_two.tflite", ["zoom", "angle"], ["width", "depth"])


@pytest.mark.parametrize("content", [b"", b"no flatbuffer at all", (DATA / "float32.tflite").read_bytes()[:3000]])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.tflite"
    path.write_bytes(content)
    for use in (litert.open_interpreter, litert.read_model, litert.describe):
        with pytest.raises(StageError, match=r"damaged\.tflite' is damaged, cut short or no \.tflite file"):
            use(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for use in (litert.open_interpreter, litert.read_model):
        with pytest.raises(StageError, match=r"nowhere\.tflite' does not exist"):
            use(tmp_path / "nowhere.tflite")


def test_an_unknown_op_version_is_told_apart_from_damage(tmp_path: Path) -> None:
    path = tmp_path / "newer.tflite"
    path.write_bytes(with_op_version(DATA / "full_int8_int8_io.tflite", 99))
    with pytest.raises(StageError, match="Didn't find op for builtin opcode") as caught:
        litert.open_interpreter(path)
    assert "newer LiteRT" in caught.value.remedy
    assert litert.describe(path)[0][0].name == "features"


def with_op_version(path: Path, version: int) -> bytes:
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import number_types

    content = bytearray(path.read_bytes())
    codes = schema.Model.GetRootAs(content, 0)
    table = next(
        code._tab for code in map(codes.OperatorCodes, range(codes.OperatorCodesLength())) if code.Version() > 1
    )
    position = table.Pos + table.Offset(8)
    number_types.Int32Flags.packer_type.pack_into(content, position, version)
    return bytes(content)


def test_batch_resizes_every_input() -> None:
    interpreter = litert.open_interpreter(DATA / "two_by_two.tflite", batch=5)
    assert [list(row["shape"]) for row in interpreter.get_input_details()] == [[5, 3], [5, 2]]


def test_a_graph_that_refuses_the_batch_is_an_error() -> None:
    with pytest.raises(StageError, match=r"LiteRT cannot run .*lstm_float32"):
        litert.open_interpreter(DATA / "lstm_float32.tflite", batch=8)


def test_other_kernels_agree_with_the_default() -> None:
    results = []
    for kernels in ("xnnpack", "builtin", "reference"):
        interpreter = litert.open_interpreter(DATA / "float32.tflite", kernels=kernels)
        litert.feed_noise(interpreter)
        interpreter.invoke()
        results.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    for other in results[1:]:
        np.testing.assert_allclose(results[0], other, rtol=1e-5)


def test_state_is_found_in_an_lstm_only() -> None:
    assert litert.has_state(DATA / "lstm_full_int8.tflite")
    assert not litert.has_state(DATA / "full_int8_int8_io.tflite")


@pytest.mark.parametrize(
    ("name", "cause", "remedy"),
    [
        ("flex_op", "Select TensorFlow op", "TensorFlow ops that LiteRT leaves out"),
        ("custom_op", "unresolved custom op: MatrixInverse", "the layer that brings the custom op"),
    ],
)
def test_an_op_that_litert_lacks_is_an_error_with_a_remedy(name: str, cause: str, remedy: str) -> None:
    with pytest.raises(StageError) as caught:
        litert.open_interpreter(DATA / f"{name}.tflite")
    assert cause in caught.value.what
    assert remedy in caught.value.remedy
