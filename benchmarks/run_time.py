"""A whole run against the script that TensorFlow's documentation leads to, side by side.

Both take a saved MobileNetV2 224 (random weights) and 600 images; both write a float and a full-int8 `.tflite`
calibrated on 100 images, and compute what both files answer on the other 500. The script converts with
`from_keras_model`, twice, and runs one interpreter in a loop, one image at a time. Whole processes are timed, imports
included, in turns.

    python benchmarks/run_time.py [--runs 3]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from side_by_side import timed, write_task

CALIBRATION, EVALUATION = 100, 500

SCRIPT = """
import sys
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
images = np.load(f"{folder}/images.npz")["x"]
labels = np.load(f"{folder}/images.npz")["y"]
model = tf.keras.models.load_model(f"{folder}/model.keras", compile=False)

def representative_dataset():
    for image in images[:%(calibration)d]:
        yield [image[None].astype(np.float32)]

float_model = tf.lite.TFLiteConverter.from_keras_model(model).convert()
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = representative_dataset
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = tf.int8
converter.inference_output_type = tf.int8
int8_model = converter.convert()

for name, content in (("float", float_model), ("int8", int8_model)):
    open(f"{folder}/{name}.tflite", "wb").write(content)
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = source["quantization"]
    right = 0
    for image, label in zip(images[%(calibration)d:], labels[%(calibration)d:]):
        value = image[None].astype(np.float32)
        if source["dtype"] == np.int8:
            value = np.clip(np.round(value / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], value)
        interpreter.invoke()
        right += int(np.argmax(interpreter.get_tensor(target["index"])[0]) == label)
    print(name, right / len(labels[%(calibration)d:]))
""" % {"calibration": CALIBRATION}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_task(folder, CALIBRATION, EVALUATION, "int8")
        (folder / "script.py").write_text(SCRIPT)
        script = [sys.executable, str(folder / "script.py"), name]
        ours = [sys.executable, "-m", "tflite_pipeline", "run", f"{name}/recipe.yaml", "--out", f"{name}/build"]
        pairs = []
        for _ in range(runs):
            shutil.rmtree(folder / "build", ignore_errors=True)
            pairs.append((timed(script, folder), timed(ours, folder)))
            if not (folder / "build" / "benchmark" / "report.json").exists():
                sys.exit((folder / "output.txt").read_text())
    for side, column in zip(("documented script", "tflite-pipeline run"), zip(*pairs, strict=True), strict=True):
        print(f"{side:20} median {statistics.median(column):6.2f} s  (min {min(column):.2f}, max {max(column):.2f})")
    ratios = [b / a for a, b in pairs]
    print(f"{'ratio':20} median {statistics.median(ratios):6.2f}    (min {min(ratios):.2f}, max {max(ratios):.2f})")


if __name__ == "__main__":
    main()
