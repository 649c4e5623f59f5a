from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import Engine, QuantizedModel, TensorInfo, file_digest
from tflite_pipeline.handoff.border import class_output, labels_text, layout, normalization
from tflite_pipeline.handoff.metadata import describe
from tflite_pipeline.runtime import census, flatbuffer, litert
from tflite_pipeline.runtime.census import TFLITE_METADATA
from tflite_pipeline.runtime.fingerprint import take_fingerprint

DATA = Path(__file__).parents[2] / "data"
CLASSES = ("ant", "bee", "cat", "dog")
IMAGE = TensorInfo("image", (1, 8, 8, 3), "float32")
RESIZE = {"resize": {"height": 8, "width": 8, "method": "bilinear"}}
BY_CHANNEL = {"normalize": {"mean": [1.0, 2.0, 3.0], "std": [2.0, 4.0, 5.0]}}
SCALE = {"scale": {"factor": 0.125, "offset": -1.0}}
BGR = {"channel_order": {"order": "bgr"}}


def described(name: str, out: Path, classes: tuple[str, ...] = CLASSES) -> QuantizedModel:
    path = DATA / f"{name}.tflite"
    out.mkdir()
    return describe(
        QuantizedModel(path, file_digest(path), "full_int8", "int8", Engine("mlir", "")), "demo", {}, classes, out
    )


@pytest.mark.parametrize("name", ["full_int8_int8_io", "conv_net", "lookup", "float32_dynamic_batch", "flex_op"])
def test_the_graph_is_untouched(name, tmp_path):
    before, after = DATA / f"{name}.tflite", described(name, tmp_path / "out").path
    assert take_fingerprint(after) == take_fingerprint(before)
    assert litert.describe(after) == litert.describe(before)
    assert after.stat().st_size < before.stat().st_size + 1300


def test_the_file_computes_the_same(tmp_path):
    files = DATA / "conv_net.tflite", described("conv_net", tmp_path / "out").path
    answers = []
    for kernels in ("xnnpack", "builtin", "reference"):
        for file in files:
            interpreter = litert.open_interpreter(file, kernels=kernels)
            litert.feed_noise(interpreter)
            interpreter.invoke()
            answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    for before, after in zip(answers[::2], answers[1::2], strict=True):
        assert np.array_equal(before, after)


def test_the_labels_are_behind_the_file(tmp_path):
    with zipfile.ZipFile(described("conv_net", tmp_path / "out").path) as archive:
        assert archive.read("labels.txt") == b"ant\nbee\ncat\ndog\n"
        assert archive.getinfo("labels.txt").compress_type == zipfile.ZIP_STORED


def test_there_are_no_labels_when_no_output_has_the_classes(tmp_path):
    assert not zipfile.is_zipfile(described("conv_net", tmp_path / "out", ("ant", "bee")).path)


def test_equal_files_are_made_of_equal_files(tmp_path):
    first, second = (described("conv_net", tmp_path / name) for name in "ab")
    assert first.sha256 == second.sha256 == file_digest(first.path)


def test_metadata_that_came_with_a_file_are_replaced(tmp_path):
    once = described("conv_net", tmp_path / "once", ())
    (tmp_path / "twice").mkdir()
    twice = describe(once, "another", {}, (), tmp_path / "twice")
    rows = [row for row in census.metadata(litert.read_model(twice.path)) if row["name"] == TFLITE_METADATA]
    assert len(rows) == 1
    assert b"another" in twice.path.read_bytes()
    assert b"demo" not in twice.path.read_bytes()


def test_data_of_buffers_is_aligned_as_the_schema_wants_it(tmp_path):
    content = described("conv_net", tmp_path / "out").path.read_bytes()
    model = litert.read_model(tmp_path / "out" / "model.tflite")
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    stored = [buffer.DataAsNumpy().tobytes() for buffer in buffers if buffer.DataLength() > 16]
    assert all(content.index(data) % 16 == 0 for data in stored)
    assert len(flatbuffer.unpack(content).buffers) == len(buffers)


@pytest.mark.parametrize(
    ("steps", "mean", "std"),
    [
        ([RESIZE, SCALE], (8.0,), (8.0,)),
        ([SCALE, RESIZE], (8.0,), (8.0,)),
        ([RESIZE, BY_CHANNEL], (1.0, 2.0, 3.0), (2.0, 4.0, 5.0)),
        ([RESIZE, BY_CHANNEL, BGR], (3.0, 2.0, 1.0), (5.0, 4.0, 2.0)),
        ([RESIZE], (0.0,), (1.0,)),
        ([{"cast": {"dtype": "uint8"}}, SCALE], (8.0,), (8.0,)),
    ],
    ids=["scale", "scaled before", "by channel", "mirrored", "nothing", "rounded before"],
)
def test_steps_are_one_normalization(steps, mean, std):
    found = normalization(IMAGE, {"": steps})
    assert found is not None
    assert (found.mean, found.std) == (pytest.approx(mean), pytest.approx(std))


@pytest.mark.parametrize(
    "steps",
    [[SCALE, {"cast": {"dtype": "int8"}}], [SCALE, {"pad": {"height": 9, "width": 9, "value": 0.0}}]],
    ids=["rounded after", "padded after"],
)
def test_steps_are_no_normalization(steps):
    assert normalization(IMAGE, {"image": steps}) is None


@pytest.mark.parametrize(
    ("shape", "steps", "told"),
    [
        ((1, 8, 8, 3), [RESIZE], {"layout": "NHWC", "colors": "RGB"}),
        ((1, 8, 8, 3), [RESIZE, BGR], {"layout": "NHWC", "colors": "BGR"}),
        ((1, 8, 8, 3), [RESIZE, BGR, BGR], {"layout": "NHWC", "colors": "RGB"}),
        ((1, 8, 8, 1), [RESIZE], {"layout": "NHWC"}),
        ((1, 8, 8, 3), [SCALE], {}),
        ((1, 490), [SCALE], {"layout": "NC"}),
        ((1, 490), [], {}),
    ],
    ids=["rgb", "bgr", "mirrored twice", "gray", "four dimensions of anything", "sound", "unknown"],
)
def test_the_layout_is_told_as_far_as_the_steps_tell(shape, steps, told):
    assert layout(TensorInfo("x", shape, "int8"), {"": steps}) == told


def test_the_class_output_is_the_only_one_that_fits():
    scores, other = TensorInfo("scores", (1, 4), "int8"), TensorInfo("other", (1, 3), "int8")
    assert class_output((other, scores), CLASSES) == 1
    assert class_output((scores, scores), CLASSES) is None
    assert class_output((other,), CLASSES) is None
    assert class_output((scores,), ()) is None


def test_a_label_is_one_line_whatever_it_holds():
    assert labels_text(("a\nb", "c")) == "a b\nc\n"
