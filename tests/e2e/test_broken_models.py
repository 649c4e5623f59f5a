"""Models, trainings and conversions that cannot work, and odd ones that must; every case starts TensorFlow."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

ALLOWED = {"flags": ["--allow-code"]}
OFFLINE = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}


def recipe(place: Any, model: Any, **more: Any) -> dict[str, Any]:
    """Write 40 sound rows of 4 features and 3 classes, or what replaces them; `model` is a section or a file's name."""
    arrays = {"x": np.random.default_rng(0).random((40, 4), np.float32), "y": np.arange(40) % 3}
    np.savez(place.folder / "data.npz", **arrays | more.pop("arrays", {}))
    dataset = {"source": "npz", "path": "data.npz", "inputs": "x", "labels": "y"} | more.pop("dataset", {})
    rows = {"calibration": {"split": "train", "samples": 10}, "evaluation": {"split": "test"}}
    section = {"source": "keras_file", "path": str(place.models / model)} if isinstance(model, str) else model
    return {
        "model": section,
        "dataset": rows | dataset,
        "quantization": {"scheme": "full_int8"},
        "profile": {"runs": 5, "warmup": 1},
        **more,
    }


def factory(place: Any, body: str, **keys: Any) -> dict[str, Any]:
    """A recipe whose model is the result of a function with this body."""
    head = "import os\nimport keras\nimport tensorflow as tf\nimport tf_keras\n\n"
    (place.folder / "my_models.py").write_text(f"{head}def build(units=3):\n    {body}\n")
    model = {"source": "factory", "function": "my_models:build"} | keys.pop("model", {})
    return recipe(place, model, **{"run": ALLOWED, **keys})


def case_works_keras3_h5(place: Any) -> Any:
    return recipe(place, "keras3.h5", validation={"metrics": ["top1"]})


def case_works_keras2_zip(place: Any) -> Any:
    return recipe(place, "keras2.keras", validation={"metrics": ["top1"]})


def case_works_lambda_when_allowed(place: Any) -> Any:
    return recipe(place, "lambda.keras", run=ALLOWED)


def case_works_sequential_of_a_factory(place: Any) -> Any:
    return factory(place, "return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])")


def case_works_two_inputs(place: Any) -> Any:
    arrays = {"a": np.random.default_rng(0).random((40, 3)), "b": np.random.default_rng(1).random((40, 2))}
    return recipe(place, "two_inputs.keras", arrays=arrays, dataset={"inputs": {"zoom": "a", "angle": "b"}})


def case_custom_layer(place: Any) -> Any:
    return recipe(place, "custom.keras")


def case_samples_of_another_shape(place: Any) -> Any:
    return recipe(place, "keras3.keras", arrays={"x": np.random.default_rng(0).random((40, 5), np.float32)})


def case_samples_of_another_rank(place: Any) -> Any:
    return recipe(place, "keras2.h5", arrays={"x": np.random.default_rng(0).random((40, 2, 2, 1), np.float32)})


def case_two_inputs_from_one_array(place: Any) -> Any:
    return recipe(place, "two_inputs.keras")


def case_two_inputs_by_wrong_names(place: Any) -> Any:
    arrays = {"a": np.random.default_rng(0).random((40, 3)), "b": np.random.default_rng(1).random((40, 2))}
    return recipe(place, "two_inputs.keras", arrays=arrays, dataset={"inputs": {"zoom": "a", "angel": "b"}})


def case_keras_file_without_weights(place: Any) -> Any:
    with (
        zipfile.ZipFile(place.models / "keras3.keras") as whole,
        zipfile.ZipFile(place.folder / "model.keras", "w") as cut,
    ):
        for name in ("metadata.json", "config.json"):
            cut.writestr(name, whole.read(name))
    return recipe(place, {"source": "keras_file", "path": "model.keras"})


def case_factory_module_not_found(place: Any) -> Any:
    return recipe(place, {"source": "factory", "function": "no_such_module:build"}, run=ALLOWED)


def case_factory_function_not_found(place: Any) -> Any:
    return factory(place, "return None", model={"function": "my_models:biuld"})


def case_factory_with_an_unknown_argument(place: Any) -> Any:
    return factory(place, "return None", model={"arguments": {"colour": 4}})


def case_factory_returns_nothing(place: Any) -> Any:
    return factory(place, "keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])")


def case_factory_returns_the_older_keras(place: Any) -> Any:
    return factory(place, "return tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(units)])")


def case_factory_returns_the_newer_keras(place: Any) -> Any:
    body = "return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])"
    return factory(place, body, model={"keras": 2})


def case_factory_raises(place: Any) -> Any:
    return factory(place, "raise ValueError('units must be positive')")


def case_factory_without_inputs(place: Any) -> Any:
    return factory(place, "return keras.Sequential([keras.layers.Dense(units)])")


def case_factory_aborts(place: Any) -> Any:
    return factory(place, "os.write(2, b'my library: last words\\n'); os.abort()")


def application(place: Any, **keys: Any) -> dict[str, Any]:
    section = {"source": "application", "name": "MobileNetV2", "input_shape": [32, 32, 3], "classes": 3} | keys
    return {"model": section, "quantization": {"scheme": "float16"}}


def case_application_too_small(place: Any) -> Any:
    return application(place, input_shape=[8, 8, 3])


def case_application_with_an_unknown_argument(place: Any) -> Any:
    return application(place, arguments={"alhpa": 0.35, "weights": "imagenet"})


def case_application_without_a_network(place: Any) -> Any:
    offline = {"environment": {**OFFLINE, "KERAS_HOME": str(place.folder)}}
    return {**application(place, weights="imagenet", input_shape=None, classes=1000), "run": offline}


def case_application_weights_of_another_model(place: Any) -> Any:
    return application(place, weights=str(place.models / "only.weights.h5"))


def case_application_weights_that_are_none(place: Any) -> Any:
    (place.folder / "my.weights.h5").write_text("no weights")
    return application(place, weights="my.weights.h5")


def saved_model(place: Any, **keys: Any) -> dict[str, Any]:
    shutil.copytree(place.models / "saved_model", place.folder / "saved")
    return recipe(place, {"source": "saved_model", "path": "saved", **keys})


def case_saved_model_without_the_signature(place: Any) -> Any:
    return saved_model(place, signature="predict")


def case_saved_model_cut_short(place: Any) -> Any:
    found = saved_model(place)
    path = place.folder / "saved" / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:500])
    return found


def case_saved_model_without_variables(place: Any) -> Any:
    found = saved_model(place)
    shutil.rmtree(place.folder / "saved" / "variables")
    return found


def case_op_that_tflite_lacks(place: Any) -> Any:
    lines = (
        "inputs = keras.Input((4,))",
        "texts = keras.layers.Lambda(lambda x: tf.raw_ops.AsString(input=x), output_shape=(4,))",
        "numbers = keras.layers.Lambda(lambda x: tf.strings.to_number(x), output_shape=(4,))",
        "return keras.Model(inputs, numbers(texts(inputs)))",
    )
    return factory(place, "\n    ".join(lines))


def float_file(place: Any, name: str, *shape: int, **quantization: Any) -> dict[str, Any]:
    """A recipe whose model is a finished float file with one input of this shape."""
    arrays = {"x": np.random.default_rng(0).random((40, *shape), np.float32)}
    return recipe(
        place, {"source": "tflite", "path": str(place.models / name)}, arrays=arrays, quantization=quantization
    )


def case_int4_of_a_depthwise_layer(place: Any) -> Any:
    rules = [{"op": "DEPTHWISE_CONV_2D", "scheme": "int8x4"}, {"tensor": "*", "scheme": "full_int8"}]
    return float_file(place, "convolutions.tflite", 8, 8, 3, scheme="mixed", rules=rules)


def case_rules_that_mean_no_op(place: Any) -> Any:
    named = {"layer": "conv", "op": "CONV2D", "tensor": "conv*"}
    rules = [{key: name, "scheme": "full_int8"} for key, name in named.items()]
    return float_file(place, "convolutions.tflite", 8, 8, 3, scheme="mixed", rules=rules)


def case_signatures_in_integers(place: Any) -> Any:
    return float_file(place, "two_signatures.tflite", 4, scheme="full_int8")


def case_loop_too_long_for_integers(place: Any) -> Any:
    arrays = {"x": np.random.default_rng(0).random((40, 200, 4), np.float32)}
    return recipe(place, "long.keras", arrays=arrays, quantization={"scheme": "int16x8"})


def training(place: Any, model: str = "keras3.keras", **keys: Any) -> dict[str, Any]:
    more = {key: keys.pop(key) for key in ("arrays", "dataset") if key in keys}
    return recipe(place, model, training={"method": "fit", "epochs": 2, "batch": 8, **keys}, **more)


def case_training_diverges(place: Any) -> Any:
    return training(place, learning_rate=1e30, loss="mse", arrays={"y": np.eye(3, dtype=np.float32)[np.arange(40) % 3]})


def case_training_batch_larger_than_the_samples(place: Any) -> Any:
    return training(place, batch=64)


def case_training_without_labels(place: Any) -> Any:
    (place.folder / "my_data.py").write_text(
        "import numpy as np\ndef load(): return np.eye(40, 4) + np.arange(40)[:, None], None\n"
    )
    data = {"source": "factory", "function": "my_data:load"}
    return {**training(place), "dataset": data, "quantization": {"scheme": "float16"}, "run": ALLOWED}


def case_training_one_hot_loss_on_class_numbers(place: Any) -> Any:
    return training(place, loss="categorical_crossentropy")


def case_training_class_loss_on_one_hot_rows(place: Any) -> Any:
    return training(place, arrays={"y": np.eye(3, dtype=np.float32)[np.arange(40) % 3]})


def case_training_labels_beyond_the_outputs(place: Any) -> Any:
    return training(place, arrays={"y": np.arange(40) % 4})


def case_training_samples_of_another_shape(place: Any) -> Any:
    return training(place, "keras2.h5", arrays={"x": np.random.default_rng(0).random((40, 5), np.float32)})


def case_training_labels_of_another_shape(place: Any) -> Any:
    return training(place, loss="mse", arrays={"y": np.zeros((40, 2), np.float32)})


CASES: dict[str, Callable[[Any], Any]] = {
    key.removeprefix("case_"): value for key, value in list(globals().items()) if key.startswith("case_")
}


@pytest.mark.tf
@pytest.mark.parametrize("name", sorted(CASES))
def test_model_is_told_or_works(
    name: str, outcomes: dict[str, Future[Any]], golden: Any, assert_nothing_half_done: Callable[[Any], None]
) -> None:
    outcome = outcomes[name].result()
    golden.compare(name, outcome)
    if name.startswith("works_"):
        assert outcome.code == 0
        assert (outcome.place.out / "demo" / "model.tflite").is_file()
    else:
        assert_nothing_half_done(outcome)


def test_table_has_no_row_without_a_case(golden: Any) -> None:
    assert sorted(golden.rows()) == sorted(CASES)
