"""A sweep of eight schemes against the eight scripts that the documents lead to, side by side.

Both take a saved MobileNetV2 224 and 300 images; both write one file for each scheme, calibrated on 100 images where
the scheme is, and compute what each file answers on the other 200. Each script is a process of its own, as its document
shows it: TFLiteConverter (`from_keras_model`) for float32, float16, dynamic_int8 and full_int8, ai-edge-quantizer on
the converted float file for weight_int8, weight_int4, dynamic_int4 and int8x4; one interpreter in a loop, one image at
a time. With `--int16` int16x8 takes the place of weight_int8 on both sides.

    python benchmarks/sweep_time.py [--runs 1] [--int16]
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

CALIBRATION, EVALUATION = 100, 200

HEAD = f"""
import sys
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
data = np.load(f"{{folder}}/images.npz")
images, labels = data["x"], data["y"]
model = tf.keras.models.load_model(f"{{folder}}/model.keras", compile=False)
converter = tf.lite.TFLiteConverter.from_keras_model(model)

def representative_dataset():
    for image in images[:{CALIBRATION}]:
        yield [image[None].astype(np.float32)]
"""

CONVERTER = {
    "float32": "",
    "dynamic_int8": "converter.optimizations = [tf.lite.Optimize.DEFAULT]",
    "float16": """
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.target_spec.supported_types = [tf.float16]
""",
    "full_int8": """
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = representative_dataset
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
""",
    "int16x8": """
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = representative_dataset
converter.target_spec.supported_ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
""",
}

QUANTIZER = {
    "weight_int8": "recipe.weight_only_wi8_afp32()",
    "weight_int4": "recipe.weight_only_wi4_afp32()",
    "dynamic_int4": "recipe.dynamic_wi4_afp32()",
    "int8x4": "recipe.static_wi8_ai8()",
}

AI_EDGE = """
from ai_edge_quantizer import quantizer, recipe, recipe_manager, qtyping

open(f"{folder}/float.tflite", "wb").write(converter.convert())
qt = quantizer.Quantizer(f"{folder}/float.tflite")
qt.load_quantization_recipe(%s)
if %r == "int8x4":
    for op in (qtyping.TFLOperationName.CONV_2D, qtyping.TFLOperationName.FULLY_CONNECTED):
        qt.add_static_config(regex=".*", operation_name=op, activation_num_bits=8, weight_num_bits=4)
    name = list(tf.lite.Interpreter(f"{folder}/float.tflite").get_signature_list()["serving_default"]["inputs"])[0]
    data = {"serving_default": [{name: image[0]} for image in representative_dataset()]}
    content = qt.quantize(qt.calibrate(data)).quantized_model
else:
    content = qt.quantize().quantized_model
"""

TAIL = f"""
open(f"{{folder}}/{{sys.argv[2]}}.tflite", "wb").write(content)
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_content=bytes(content))
interpreter.allocate_tensors()
source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
right = 0
for image, label in zip(images[{CALIBRATION}:], labels[{CALIBRATION}:]):
    value = image[None].astype(np.float32)
    if source["dtype"] == np.int8:
        scale, zero_point = source["quantization"]
        value = np.clip(np.round(value / scale) + zero_point, -128, 127).astype(np.int8)
    interpreter.set_tensor(source["index"], value)
    interpreter.invoke()
    right += int(np.argmax(interpreter.get_tensor(target["index"])[0]) == label)
print(sys.argv[2], right / {EVALUATION})
"""


def script(scheme: str) -> str:
    """The documented script for a scheme."""
    if scheme in CONVERTER:
        return f"{HEAD}{CONVERTER[scheme]}\ncontent = converter.convert()\n{TAIL}"
    return HEAD + AI_EDGE % (QUANTIZER[scheme], scheme) + TAIL


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--int16", action="store_true")
    arguments = parser.parse_args()
    schemes = [
        "float32",
        "float16",
        "dynamic_int8",
        "weight_int8",
        "dynamic_int4",
        "weight_int4",
        "full_int8",
        "int8x4",
    ]
    if arguments.int16:
        schemes[schemes.index("weight_int8")] = "int16x8"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_task(folder, CALIBRATION, EVALUATION, "float32")
        for scheme in schemes:
            (folder / f"{scheme}.py").write_text(script(scheme))
        for _ in range(arguments.runs):
            shutil.rmtree(folder / "build", ignore_errors=True)
            ours = [sys.executable, "-m", "tflite_pipeline", "sweep", f"{name}/recipe.yaml", "--out", f"{name}/build"]
            mine = timed([*ours, "--schemes", ",".join(schemes)], folder)
            print((folder / "output.txt").read_text())
            each = {s: timed([sys.executable, str(folder / f"{s}.py"), name, s], folder, (0,)) for s in schemes}
            print("scripts: " + ", ".join(f"{scheme} {seconds:.1f} s" for scheme, seconds in each.items()))
            print(f"eight scripts {sum(each.values()):.1f} s, sweep {mine:.1f} s")
            ratios.append(sum(each.values()) / mine)
    print(f"ratio median {statistics.median(ratios):.1f}  (min {min(ratios):.1f}, max {max(ratios):.1f})")


if __name__ == "__main__":
    main()
