"""Files, data and folders that are broken in ways that only show when they are read; no case waits for TensorFlow."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

TINY = Path(__file__).parent.parent / "data"
APPLICATION = {"source": "application", "name": "MobileNetV2", "input_shape": [32, 32, 3], "classes": 3}


def recipe(dataset: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"model": APPLICATION, "dataset": dataset, "quantization": {"scheme": "full_int8"}, **more}


def npz(place: Any, rows: int = 12, **arrays: Any) -> dict[str, Any]:
    """Write 12 sound images and labels, or what replaces them."""
    x = np.random.default_rng(0).random((rows, 32, 32, 3), np.float32)
    np.savez(place.folder / "data.npz", **{"x": x, "y": np.arange(rows) % 3, **arrays})
    return {"source": "npz", "path": "data.npz", "inputs": "x", "labels": "y", "calibration": few("train")}


def few(split: str, samples: int = 2) -> dict[str, Any]:
    return {"split": split, "samples": samples}


def images(place: Any, *steps: Any, size: int = 32) -> dict[str, Any]:
    """Draw four images in each of two class folders."""
    for name in ("cat", "dog"):
        (place.folder / "images" / name).mkdir(parents=True)
        for number in range(4):
            pixels = np.full((size, size, 3), 40 * number + len(name), np.uint8)
            Image.fromarray(pixels).save(place.folder / "images" / name / f"{number}.png")
    splits = {"train": 0.5, "test": 0.5}
    dataset = {"source": "image_folder", "path": "images", "splits": splits, "calibration": few("train")}
    return {**dataset, "preprocessing": list(steps)}


def factory(place: Any, body: str) -> dict[str, Any]:
    (place.folder / "my_data.py").write_text(f"import numpy as np\n\ndef load():\n    {body}\n")
    return {"source": "factory", "function": "my_data:load", "calibration": few("train")}


ALLOWED = {"flags": ["--allow-code"]}


def case_npz_cut_inside_an_array(place: Any) -> Any:
    dataset = npz(place)
    content = bytearray((place.folder / "data.npz").read_bytes())
    # The directory at the end stays whole, so that it still opens as a zip file.
    del content[2000:60_000]
    (place.folder / "data.npz").write_bytes(content)
    return recipe(dataset)


def case_npz_compressed_and_damaged(place: Any) -> Any:
    dataset = npz(place)
    np.savez_compressed(place.folder / "data.npz", x=np.random.default_rng(0).random((12, 32, 32, 3)), y=np.arange(12))
    content = bytearray((place.folder / "data.npz").read_bytes())
    content[5000:5100] = bytes(100)
    (place.folder / "data.npz").write_bytes(content)
    return recipe(dataset)


def case_npz_of_python_objects(place: Any) -> Any:
    return recipe(npz(place, x=np.array([{"pixels": 1}] * 12, dtype=object)))


def case_npz_lengths_differ(place: Any) -> Any:
    return recipe(npz(place, y=np.arange(11) % 3))


def case_npz_nan(place: Any) -> Any:
    x = np.random.default_rng(0).random((12, 32, 32, 3), np.float32)
    x[:, 3, 4, 0] = np.nan
    return recipe(npz(place, x=x))


def case_npz_infinity(place: Any) -> Any:
    x = np.random.default_rng(0).random((12, 32, 32, 3), np.float32)
    x[:, 0, 0, 0] = -np.inf
    return recipe(npz(place, x=x))


def case_npz_infinity_made_by_a_step(place: Any) -> Any:
    return recipe({**npz(place), "preprocessing": [{"scale": {"factor": 1e39}}]})


def case_npz_text_samples(place: Any) -> Any:
    return recipe(npz(place, x=np.array(["a"] * 12)))


def case_labels_negative(place: Any) -> Any:
    return recipe(npz(place, y=np.array([-1] * 12)))


def case_labels_text(place: Any) -> Any:
    return recipe(npz(place, y=np.array(["cat", "dog", "bird"] * 4)))


def case_labels_beyond_the_named_classes(place: Any) -> Any:
    return recipe({**npz(place, y=np.full(12, 3)), "classes": ["cat", "dog", "bird"]})


def case_calibration_of_more_rows_than_there_are(place: Any) -> Any:
    return recipe({**npz(place), "calibration": few("train", 100)})


def case_calibration_rows_equal_evaluation_rows(place: Any) -> Any:
    return recipe(npz(place, x=np.zeros((12, 32, 32, 3), np.float32)))


def case_calibration_rows_named_that_equal_evaluation_rows(place: Any) -> Any:
    x = np.zeros((12, 32, 32, 3), np.float32)
    splits = {"train": "0:6", "test": "6:12"}
    return recipe({**npz(place, x=x), "splits": splits, "calibration": {"split": "train", "rows": [1, 3]}})


def case_slice_past_the_end(place: Any) -> Any:
    return recipe({**npz(place), "splits": {"train": "0:6", "test": "6:40"}})


def case_steps_for_an_input_that_is_not_there(place: Any) -> Any:
    dataset = factory(place, "return {'left': np.zeros((9, 32, 32, 3)), 'right': np.zeros((9, 2))}, None")
    return recipe({**dataset, "preprocessing": {"lefft": [{"scale": {"factor": 2}}]}}, run=ALLOWED)


def case_image_folder_empty(place: Any) -> Any:
    dataset = images(place)
    shutil.rmtree(place.folder / "images")
    (place.folder / "images").mkdir()
    return recipe(dataset)


def case_image_class_folder_without_images(place: Any) -> Any:
    dataset = images(place)
    (place.folder / "images" / "empty").mkdir()
    return recipe(dataset)


def case_image_folder_of_unnamed_splits(place: Any) -> Any:
    dataset = images(place)
    for split in ("train", "test"):
        shutil.copytree(place.folder / "images" / "cat", place.folder / "images" / split / "cat")
    return recipe(dataset)


def case_image_jpeg_cut_short(place: Any) -> Any:
    dataset = images(place)
    for path in (place.folder / "images").rglob("*.png"):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.with_suffix(".jpg").write_bytes(path.with_suffix(".jpg").read_bytes()[:500])
        path.unlink()
    return recipe(dataset)


def case_image_that_is_text(place: Any) -> Any:
    dataset = images(place)
    for path in (place.folder / "images").rglob("*.png"):
        path.write_text("no picture")
    return recipe(dataset)


def case_image_of_16_bits(place: Any) -> Any:
    dataset = images(place)
    for path in (place.folder / "images").rglob("*.png"):
        Image.fromarray(np.full((32, 32), 1000, np.uint16)).save(path)
    return recipe(dataset)


def case_images_of_different_sizes(place: Any) -> Any:
    dataset = images(place)
    for number, path in enumerate(sorted((place.folder / "images").rglob("*.png"))):
        Image.new("RGB", (32 + number, 32)).save(path)
    return recipe(dataset)


def case_crop_larger_than_the_image(place: Any) -> Any:
    return recipe(images(place, {"crop": {"height": 32, "width": 32}}, size=24))


def case_grayscale_to_rgb_on_colour(place: Any) -> Any:
    return recipe({**npz(place), "preprocessing": ["grayscale_to_rgb"]})


def case_resize_of_an_image_without_channels(place: Any) -> Any:
    steps = [{"resize": {"height": 32, "width": 32}}, "grayscale_to_rgb"]
    return recipe({**npz(place, x=np.zeros((12, 8, 8))), "preprocessing": steps})


def case_dataset_module_not_found(place: Any) -> Any:
    return recipe({"source": "factory", "function": "no_such_data:load"}, run=ALLOWED)


def case_dataset_function_not_found(place: Any) -> Any:
    return recipe({**factory(place, "return 1"), "function": "my_data:laod"}, run=ALLOWED)


def case_dataset_function_raises(place: Any) -> Any:
    return recipe(factory(place, "return [][3]"), run=ALLOWED)


def case_dataset_function_leaves(place: Any) -> Any:
    return recipe(factory(place, "raise SystemExit('enough')"), run=ALLOWED)


def case_dataset_function_returns_nothing(place: Any) -> Any:
    return recipe(factory(place, "pass"), run=ALLOWED)


def case_dataset_function_returns_no_samples(place: Any) -> Any:
    return recipe(factory(place, "return [], []"), run=ALLOWED)


def case_dataset_function_returns_a_number(place: Any) -> Any:
    return recipe(factory(place, "return 3.5, None"), run=ALLOWED)


def case_dataset_function_returns_ragged_samples(place: Any) -> Any:
    return recipe(factory(place, "return [[[1, 2], [3]]] * 10, None"), run=ALLOWED)


def case_dataset_process_is_killed(place: Any) -> Any:
    return recipe(factory(place, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), run=ALLOWED)


def case_dataset_process_loses_its_disk(place: Any) -> Any:
    return recipe(factory(place, "import os, signal; os.kill(os.getpid(), signal.SIGBUS)"), run=ALLOWED)


def keras_file(place: Any, name: str) -> dict[str, Any]:
    return recipe(npz(place), model={"source": "keras_file", "path": name})


def case_keras_file_with_a_damaged_member(place: Any) -> Any:
    with zipfile.ZipFile(place.folder / "model.keras", "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.12.0"}')
        archive.writestr("config.json", '{"class_name": "Functional"}')
        archive.writestr("model.weights.h5", bytes(range(256)) * 40)
    content = bytearray((place.folder / "model.keras").read_bytes())
    content[2000:2010] = b"\xff" * 10
    (place.folder / "model.keras").write_bytes(content)
    return keras_file(place, "model.keras")


def case_keras_file_with_broken_json(place: Any) -> Any:
    with zipfile.ZipFile(place.folder / "model.keras", "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.12.0"}')
        archive.writestr("config.json", '{"class_name": "Funct')
    return keras_file(place, "model.keras")


def case_keras_file_whose_json_is_a_list(place: Any) -> Any:
    with zipfile.ZipFile(place.folder / "model.keras", "w") as archive:
        archive.writestr("metadata.json", "[]")
        archive.writestr("config.json", "[]")
    return keras_file(place, "model.keras")


def hdf5(place: Any, **attributes: str) -> None:
    with h5py.File(place.folder / "model.h5", "w") as file:
        file.attrs.update(attributes)
        file["dense/kernel"] = np.zeros((64, 64))


def case_h5_of_weights_only(place: Any) -> Any:
    hdf5(place, keras_version="2.15.0")
    return keras_file(place, "model.h5")


def case_h5_with_broken_json(place: Any) -> Any:
    hdf5(place, keras_version="2.15.0", model_config='{"class_name": ')
    return keras_file(place, "model.h5")


def case_h5_damaged_inside(place: Any) -> Any:
    hdf5(place, keras_version="2.15.0", model_config="{}")
    content = bytearray((place.folder / "model.h5").read_bytes())
    content[96:1500] = b"\xff" * 1404
    (place.folder / "model.h5").write_bytes(content)
    return keras_file(place, "model.h5")


def case_lambda_not_allowed(place: Any) -> Any:
    layers = [{"class_name": "Lambda", "config": {"name": name}} for name in ("double", "halve")]
    hdf5(place, keras_version="2.15.0", model_config=json.dumps({"config": {"layers": layers}}))
    return keras_file(place, "model.h5")


def tflite(place: Any, name: str, **dataset: Any) -> dict[str, Any]:
    shape = {"source": "synthetic", "shape": [16], "samples": 20, "evaluation": few("test"), **dataset}
    model = {"source": "tflite", "path": str(place.folder / name)}
    return {"model": model, "dataset": shape, "quantization": {"scheme": "float32"}}


def case_tflite_already_quantized(place: Any) -> Any:
    shutil.copy(TINY / "full_int8_int8_io.tflite", place.folder / "model.tflite")
    return tflite(place, "model.tflite")


def case_tflite_cut_short(place: Any) -> Any:
    content = (TINY / "float32.tflite").read_bytes()
    (place.folder / "model.tflite").write_bytes(content[: len(content) // 2])
    return tflite(place, "model.tflite")


def case_tflite_with_a_tensorflow_op(place: Any) -> Any:
    shutil.copy(TINY / "flex_op.tflite", place.folder / "model.tflite")
    return tflite(place, "model.tflite", shape=[2, 2])


def case_tflite_and_samples_of_another_shape(place: Any) -> Any:
    shutil.copy(TINY / "float32.tflite", place.folder / "model.tflite")
    return tflite(place, "model.tflite", shape=[15])


def case_labels_beyond_the_outputs(place: Any) -> Any:
    shutil.copy(TINY / "float32.tflite", place.folder / "model.tflite")
    return {**tflite(place, "model.tflite", classes=9), "validation": {"metrics": ["top1"]}}


def case_out_is_a_file(place: Any) -> Any:
    place.out.write_text("mine")
    return recipe(npz(place))


def case_result_folder_is_a_file(place: Any) -> Any:
    place.out.mkdir()
    (place.out / "demo").write_text("mine")
    return recipe(npz(place))


def case_result_folder_is_somebody_elses(place: Any) -> Any:
    (place.out / "demo").mkdir(parents=True)
    (place.out / "demo" / "thesis.tex").write_text("mine")
    return recipe(npz(place))


def case_log_is_a_folder(place: Any) -> Any:
    (place.out / "logs" / "demo.log").mkdir(parents=True)
    return recipe(npz(place))


def case_cache_is_a_file(place: Any) -> Any:
    place.out.mkdir()
    (place.out / ".cache").write_text("mine")
    return recipe(npz(place))


def case_disk_takes_no_samples(place: Any) -> Any:
    return recipe(npz(place, rows=40), run={"file_limit": 80_000})


def case_disk_takes_no_digests(place: Any) -> Any:
    hdf5(place, keras_version="2.15.0")
    return {**keras_file(place, "model.h5"), "run": {"file_limit": 100}}


CASES: dict[str, Callable[[Any], Any]] = {
    key.removeprefix("case_"): value for key, value in list(globals().items()) if key.startswith("case_")
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_broken_input_is_told(
    name: str, outcomes: dict[str, Future[Any]], golden: Any, assert_nothing_half_done: Callable[[Any], None]
) -> None:
    outcome = outcomes[name].result()
    golden.compare(name, outcome)
    assert_nothing_half_done(outcome)


def test_table_has_no_row_without_a_case(golden: Any) -> None:
    assert sorted(golden.rows()) == sorted(CASES)
