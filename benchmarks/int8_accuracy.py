"""Full int8 of three trained networks: this project against TFLiteConverter and ai-edge-quantizer by their documents.

All three quantize the same Keras file with the same calibration samples, drawn anew for each of four rounds; all files
run on the same other samples with the same interpreter. Agreement is the share of samples that get the float file's
class, SQNR the power of the float outputs over that of the difference. The networks are those of MLPerf Tiny; visual
wake words has no images of its own, so CIFAR-10 pictures, enlarged, take their place. Needs the folder that
TFLITE_PIPELINE_DATA names.

    python benchmarks/int8_accuracy.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DATA = Path(os.environ.get("TFLITE_PIPELINE_DATA", "../shared/data"))
CALIBRATION = 200

CONVERTER = """
import sys
import numpy as np
import tensorflow as tf

model_path, folder = sys.argv[1:]
samples = np.load(f"{folder}/samples.npz")["calibration"]
model = tf.keras.models.load_model(model_path, compile=False)

def representative_dataset():
    for sample in samples:
        yield [sample[None]]

open(f"{folder}/float.tflite", "wb").write(tf.lite.TFLiteConverter.from_keras_model(model).convert())

converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = representative_dataset
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
open(f"{folder}/converter.tflite", "wb").write(converter.convert())
"""
"""TFLiteConverter by its document: the float file and the one of full int8; arguments are the model and a folder."""

PEERS = (
    CONVERTER
    + """
from ai_edge_quantizer import quantizer, recipe

qt = quantizer.Quantizer(f"{folder}/float.tflite", recipe.static_wi8_ai8())
name = list(tf.lite.Interpreter(f"{folder}/float.tflite").get_signature_list()["serving_default"]["inputs"])[0]
result = qt.calibrate({"serving_default": [{name: sample[0]} for sample in representative_dataset()]})
open(f"{folder}/ai_edge.tflite", "wb").write(qt.quantize(result).quantized_model)
"""
)


@dataclass(frozen=True)
class Case:
    """A trained network and preprocessed samples, the first CALIBRATION of them for calibration."""

    name: str
    model: Path
    samples: np.ndarray


def cases() -> list[Case]:
    words = np.load(DATA / "keyword_spotting" / "kws01.npz")["x"]
    pictures = np.load(DATA / "image_classification" / "cifar10_4000.npz")["x"]
    large = pictures.repeat(3, axis=1).repeat(3, axis=2).astype(np.float32) / 255
    return [
        Case("kws", DATA / "keyword_spotting" / "kws.h5", ((words.astype(np.float32) - 83) * 0.5847029)),
        Case("resnet8", DATA / "image_classification" / "resnet8.h5", pictures.astype(np.float32)),
        Case("vww", DATA / "visual_wake_words" / "vww_96.h5", large),
    ]


def recipe(case: Case, method: str) -> str:
    return f"""
recipe: 1
name: ours_{method}
model: {{source: keras_file, path: {case.model.resolve()}}}
dataset:
  source: npz
  path: all.npz
  inputs: x
  splits: {{train: "0:{CALIBRATION}", test: "{CALIBRATION}:{len(case.samples)}"}}
  calibration: {{split: train}}
quantization: {{scheme: full_int8, io: int8, calibration: {{method: {method}}}}}
"""


def answers(path: Path, samples: np.ndarray) -> np.ndarray:
    """Run a file, one sample at a time, quantizing and dequantizing as an app would."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for sample in samples:
        value = sample[None]
        if source["dtype"] == np.int8:
            scale, zero_point = source["quantization"]
            value = np.clip(np.round(value / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], value)
        interpreter.invoke()
        result = interpreter.get_tensor(target["index"])[0].astype(np.float32)
        if target["dtype"] == np.int8:
            scale, zero_point = target["quantization"]
            result = (result - zero_point) * scale
        rows.append(result)
    return np.stack(rows)


def quiet(command: list[str], environment: dict[str, str], codes: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    if done.returncode not in codes:
        sys.exit(done.stdout + done.stderr)


METHODS = ("auto", "minmax", "moving_average", "percentile", "mse", "entropy")


def measure(case: Case, folder: Path, seed: int) -> dict[str, tuple[float, float, int]]:
    """Give agreement, SQNR in dB and size of every file."""
    shuffled = case.samples[np.random.default_rng(seed).permutation(len(case.samples))]
    np.savez(folder / "samples.npz", calibration=shuffled[:CALIBRATION])
    np.savez(folder / "all.npz", x=shuffled)
    (folder / "peers.py").write_text(PEERS)
    quiet([sys.executable, str(folder / "peers.py"), str(case.model), str(folder)], {"TF_USE_LEGACY_KERAS": "1"})
    files = {"TFLiteConverter": folder / "converter.tflite", "ai-edge-quantizer": folder / "ai_edge.tflite"}
    for method in METHODS:
        path = folder / f"{method}.yaml"
        path.write_text(recipe(case, method))
        quiet([sys.executable, "-m", "tflite_pipeline", "run", str(path), "--out", f"{folder}/build"], {})
        files[f"this project, {method}"] = folder / "build" / f"ours_{method}" / "model.tflite"
    samples = shuffled[CALIBRATION:]
    truth = answers(folder / "float.tflite", samples)
    table = {}
    for title, path in files.items():
        found = answers(path, samples)
        same = float((found.argmax(1) == truth.argmax(1)).mean())
        sqnr = 10 * np.log10(np.square(truth).sum() / np.square(truth - found).sum())
        table[title] = (same, float(sqnr), path.stat().st_size)
    return table


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=4)
    rounds = parser.parse_args().rounds
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if not DATA.is_dir():
        sys.exit(f"needs the published networks: set TFLITE_PIPELINE_DATA to their folder; {DATA} is none")
    for case in cases():
        tables = []
        for seed in range(rounds):
            with tempfile.TemporaryDirectory() as name:
                tables.append(measure(case, Path(name), seed))
        print(f"{case.name}: {len(case.samples) - CALIBRATION} samples, {rounds} rounds", flush=True)
        for title in tables[0]:
            same, sqnr, size = np.mean([table[title] for table in tables], axis=0)
            each = " ".join(f"{table[title][0]:.2%}" for table in tables)
            print(f"  {title:30} agreement {same:7.2%} ({each})   SQNR {sqnr:5.1f} dB   {size:8.0f} B", flush=True)


if __name__ == "__main__":
    main()
