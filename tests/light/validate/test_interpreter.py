from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import TensorInfo
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import flatbuffer, litert, progress
from tflite_pipeline.runtime.answers import compute
from tflite_pipeline.runtime.inference import BATCH
from tflite_pipeline.runtime.litert import dequantize, quantize
from tflite_pipeline.validate.interpreter import predict

DATA = Path(__file__).parents[2] / "data"


def one_by_one(path: Path, rows: np.ndarray) -> np.ndarray:
    """What a simple app computes."""
    interpreter = litert.open_interpreter(path)
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    results = []
    for row in rows:
        value = row[None]
        if scale := source["quantization"][0]:
            limits = np.iinfo(source["dtype"])
            value = np.clip(np.round(value / np.float32(scale)) + source["quantization"][1], limits.min, limits.max)
        interpreter.reset_all_variables()
        interpreter.set_tensor(source["index"], value.astype(source["dtype"]))
        interpreter.invoke()
        result = interpreter.get_tensor(sink["index"])[0].astype(np.float32)
        if scale := sink["quantization"][0]:
            result = (result - sink["quantization"][1]) * np.float32(scale)
        results.append(result)
    return np.array(results)


@pytest.mark.parametrize("name", ["full_int8_int8_io", "full_int8_uint8_io", "full_int8_float_io", "int16x8"])
def test_predictions_are_those_of_an_app_when_batched(tmp_path, make_samples, features, name) -> None:
    path = DATA / f"{name}.tflite"
    predictions = predict(path, make_samples({"": features}), 2, tmp_path)
    assert (predictions.count, predictions.batch) == (37, BATCH)
    found = np.load(predictions.outputs["scores"])
    assert (found.dtype, found.shape) == (np.float32, (37, 4))
    np.testing.assert_array_equal(found, one_by_one(path, features))


def test_predictions_of_a_float_file_are_those_of_an_app(tmp_path, make_samples, features) -> None:
    path = DATA / "float32_dynamic_batch.tflite"
    predictions = predict(path, make_samples({"features": features}), 2, tmp_path)
    np.testing.assert_allclose(np.load(predictions.outputs["scores"]), one_by_one(path, features), rtol=1e-5)


def test_a_file_with_a_batch_of_its_own_fills_up_the_last_inference(tmp_path, make_samples, features) -> None:
    few = features[:7]
    predictions = predict(DATA / "float32_batch4.tflite", make_samples({"": few}), 1, tmp_path)
    assert predictions.batch == 4
    expected = one_by_one(DATA / "float32.tflite", few)
    np.testing.assert_allclose(np.load(predictions.outputs["scores"]), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["lstm_float32", "lstm_full_int8"])
def test_state_is_forgotten_between_samples(tmp_path, make_samples, name) -> None:
    steps = np.random.default_rng(2).normal(size=(12, 5, 3)).astype(np.float32)
    predictions = predict(DATA / f"{name}.tflite", make_samples({"": steps}), 2, tmp_path)
    assert predictions.batch == 1
    found = np.load(predictions.outputs["scores"])
    np.testing.assert_array_equal(found, one_by_one(DATA / f"{name}.tflite", steps))
    (tmp_path / "again").mkdir()
    turned = predict(DATA / f"{name}.tflite", make_samples({"": steps[::-1]}), 1, tmp_path / "again")
    np.testing.assert_array_equal(found, np.load(turned.outputs["scores"])[::-1])


def test_inputs_are_matched_by_name(tmp_path, make_samples) -> None:
    rows = np.random.default_rng(3)
    zoom, angle = rows.normal(size=(9, 3)).astype("f4"), rows.normal(size=(9, 2)).astype("f4")
    predictions = predict(DATA / "two_by_two.tflite", make_samples({"angle": angle, "zoom": zoom}), 1, tmp_path)
    runner = litert.open_interpreter(DATA / "two_by_two.tflite").get_signature_runner()
    for name in ("width", "area"):
        found = np.load(predictions.outputs[name])
        for row in range(9):
            expected = runner(zoom=zoom[row : row + 1], angle=angle[row : row + 1])[name][0]
            np.testing.assert_allclose(found[row], expected, rtol=1e-5, atol=1e-6)


def test_all_wrong_inputs_are_told_at_once(tmp_path, make_samples) -> None:
    samples = make_samples({"zoom": np.zeros((4, 5), np.float32), "angel": np.zeros((4, 2), np.float32)})
    with pytest.raises(StageError) as caught:
        predict(DATA / "two_by_two.tflite", samples, 1, tmp_path)
    assert caught.value.what == (
        "the samples must fit the inputs of 'two_by_two.tflite', n samples each: "
        "'zoom' (n, 3) float32; 'angle' (n, 2) float32. Got 'zoom' (4, 5) float32; 'angel' (4, 2) float32."
    )


def test_no_samples_are_an_error(tmp_path, make_samples) -> None:
    with pytest.raises(StageError, match=r"Got 'features' \(0, 16\) float32"):
        predict(DATA / "float32.tflite", make_samples({"": np.zeros((0, 16), np.float32)}), 1, tmp_path)


def test_nan_is_an_error_that_names_the_first_row(tmp_path, make_samples, features) -> None:
    features[[20, 30]] = np.nan
    samples = make_samples({"": features}, rows=range(100, 137))
    with pytest.raises(StageError, match=r"output 'scores' .* Got NaN, first on row 120 of the dataset"):
        predict(DATA / "float32.tflite", samples, 2, tmp_path)


def test_progress_ends_at_the_count(tmp_path, make_samples, features) -> None:
    told: list[tuple[int, int, str]] = []
    progress.send_to(lambda *row: told.append(row))
    try:
        predict(DATA / "float32.tflite", make_samples({"": features}), 2, tmp_path)
    finally:
        progress._sinks.clear()
    assert told == [(done, 37, "predicting") for done in (8, 16, 24, 32, 37)]


def test_quantize_rounds_and_clips() -> None:
    info = TensorInfo("x", (1, 4), "int8", 0.5, -10)
    found = quantize(np.array([[0.0, 0.74, 1000.0, -1000.0]], np.float32), info)
    assert found.dtype == np.int8
    assert found.tolist() == [[-10, -9, 127, -128]]
    assert dequantize(found, info).tolist() == [[0.0, 0.5, 68.5, -59.0]]


def test_whole_numbers_without_a_scale_pass_as_they_are() -> None:
    info = TensorInfo("ids", (1,), "int32")
    assert quantize(np.array([3, 2**31 - 1], np.int64), info).tolist() == [3, 2147483647]


def test_whole_numbers_and_numbers_without_dimensions_go_in_and_out_as_they_are(tmp_path, make_samples) -> None:
    ids, gain = np.array([[0, 1, 4], [2, 2, 3]], np.int64), np.array([1.0, 10.0])
    predictions = predict(DATA / "lookup.tflite", make_samples({"ids": ids, "gain": gain}), 2, tmp_path)
    assert predictions.batch == 1
    rows = np.load(predictions.outputs["rows"])
    assert rows.tolist() == [[[0, 1], [2, 3], [8, 9]], [[40, 50], [40, 50], [60, 70]]]
    assert np.load(predictions.outputs["total"]).tolist() == [5, 7]


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        (np.array([[0.0, 1.0, 2.0]]), r"'ids' \(n, 3\) int32.* Got 'ids' \(1, 3\) float64"),
        (np.array([[0, 1, 2**40]]), "input 'ids' of 'lookup.tflite' must be int32. Got values from 0 to 1099511627776"),
    ],
)
def test_whole_number_inputs_are_never_cut_off(tmp_path, make_samples, ids, text) -> None:
    samples = make_samples({"ids": ids, "gain": np.ones(1, np.float32)})
    with pytest.raises(StageError, match=text):
        predict(DATA / "lookup.tflite", samples, 1, tmp_path)


def test_the_published_kws_file_is_as_accurate_as_published(shared_data, tmp_path, make_samples) -> None:
    data = np.load(shared_data / "keyword_spotting" / "kws01.npz")
    x = (data["x"].astype(np.float32) - 83) * np.float32(0.5847029)
    predictions = predict(
        shared_data / "keyword_spotting" / "published_int8.tflite", make_samples({"": x}), 2, tmp_path
    )
    hits = np.load(predictions.outputs["Identity"]).argmax(axis=1) == data["y"]
    assert hits.mean() == pytest.approx(0.902, abs=0.0006)


def test_compute_gives_the_outputs_in_memory(features) -> None:
    found = compute(DATA / "float32.tflite", {"": features[:3]})
    np.testing.assert_allclose(found["scores"], one_by_one(DATA / "float32.tflite", features[:3]), rtol=1e-5)


def test_outputs_whose_names_differ_by_a_slash_have_files_of_their_own(tmp_path, make_samples, features) -> None:
    model = flatbuffer.unpack(DATA / "float32.tflite")
    (graph,) = model.subgraphs
    graph.outputs, model.signatureDefs = [3, 5], None
    graph.tensors[3].name, graph.tensors[5].name = b"a/b", b"a_b"
    (tmp_path / "two.tflite").write_bytes(flatbuffer.pack(model))
    predictions = predict(tmp_path / "two.tflite", make_samples({"": features}), 1, tmp_path)
    assert [np.load(predictions.outputs[name]).shape for name in ("a/b", "a_b")] == [(37, 80), (37, 4)]
