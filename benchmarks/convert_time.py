"""Keras model to float `.tflite`: `TFLiteConverter.from_keras_model` against the export stage.

MobileNetV2 224 with random weights; each run is a fresh process, the two take turns, and the clock starts with the
model built.

    python benchmarks/convert_time.py [--runs 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = "MobileNetV2"


def peer() -> None:
    import keras
    import tensorflow as tf

    model = getattr(keras.applications, MODEL)(weights=None)
    begin = time.perf_counter()
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    print("seconds", time.perf_counter() - begin, len(content))


def ours() -> None:
    import keras

    from tflite_pipeline.convert.export import convert_float, keras_signature

    model = getattr(keras.applications, MODEL)(weights=None)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        content = convert_float(keras_signature(model, 1, None), Path(folder))
        print("seconds", time.perf_counter() - begin, len(content))


def measure(side: str) -> float:
    command = [sys.executable, __file__, "--side", side]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("seconds "))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--side", choices=["peer", "ours"])
    arguments = parser.parse_args()
    if arguments.side:
        {"peer": peer, "ours": ours}[arguments.side]()
        return
    pairs = [(measure("peer"), measure("ours")) for _ in range(arguments.runs)]
    for name, column in zip(("from_keras_model", "convert_float"), zip(*pairs, strict=True), strict=True):
        print(f"{name:20} median {statistics.median(column):6.2f} s  (min {min(column):.2f}, max {max(column):.2f})")
    ratios = [b / a for a, b in pairs]
    print(f"{'ratio':20} median {statistics.median(ratios):6.2f}    (min {min(ratios):.2f}, max {max(ratios):.2f})")


if __name__ == "__main__":
    main()
