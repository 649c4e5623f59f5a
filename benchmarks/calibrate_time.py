"""Calibration against the TFLite converter's own, and against plain float inference of the same samples.

All three work in this process on the same float MobileNetV2 224 `.tflite`, 100 samples and two cores, in turns:
the converter's calibrator (what `TFLiteConverter.convert` does with a representative dataset, and nothing else of it),
float inference (the faster of one interpreter with two threads and two interpreters with one each), and the stage
`calibrate`, from opening the file to the written ranges.

    python benchmarks/calibrate_time.py [--runs 5]
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from networks import images, save_mobilenet_v2

SAMPLES = 100


def converters_own(content: bytes, rows: np.ndarray) -> None:
    from tensorflow.lite.python.optimize.calibrator import Calibrator, add_intermediate_tensors

    calibrator = Calibrator(add_intermediate_tensors(content), [], [])
    calibrator.calibrate(lambda: ([row[None]] for row in rows))


def inference(path: Path, rows: np.ndarray, interpreters: int, threads: int) -> None:
    from tflite_pipeline.runtime.litert import open_interpreter

    opened = [open_interpreter(path, threads) for _ in range(interpreters)]

    def work(number: int) -> None:
        interpreter = opened[number]
        index = interpreter.get_input_details()[0]["index"]
        for row in rows[number::interpreters]:
            interpreter.set_tensor(index, row[None])
            interpreter.invoke()

    with ThreadPoolExecutor(interpreters) as pool:
        list(pool.map(work, range(interpreters)))


def ours(reference: object, samples: object, folder: Path, numbers: itertools.count[int]) -> None:
    from tflite_pipeline.convert.calibrate import calibrate

    out = folder / f"ranges{next(numbers)}"
    out.mkdir()
    calibrate(reference, samples, 2, out)


def seconds(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference, samples, rows = prepare(folder)
        path, content, numbers = reference.path, reference.path.read_bytes(), itertools.count()
        contenders: dict[str, Callable[[], None]] = {
            "converter's own": lambda: converters_own(content, rows),
            "inference 1x2": lambda: inference(path, rows, 1, 2),
            "inference 2x1": lambda: inference(path, rows, 2, 1),
            "stage calibrate": lambda: ours(reference, samples, folder, numbers),
        }
        table: dict[str, list[float]] = {title: [] for title in contenders}
        for _ in range(runs):
            for title, work in contenders.items():
                table[title].append(seconds(work))
    table["inference"] = [min(pair) for pair in zip(table["inference 1x2"], table["inference 2x1"], strict=True)]
    for title, column in table.items():
        print(f"{title:16} median {statistics.median(column) * 1000 / SAMPLES:7.2f} ms a sample")
    for title, bottom in (("converter's own / calibrate", "converter's own"), ("calibrate / inference", "inference")):
        pairs = zip(table["stage calibrate"], table[bottom], strict=True)
        ratios = [mine / other if bottom == "inference" else other / mine for mine, other in pairs]
        print(f"{title:28} median {statistics.median(ratios):5.2f}  (min {min(ratios):.2f}, max {max(ratios):.2f})")


def prepare(folder: Path) -> tuple[object, object, np.ndarray]:
    """Make the float reference and the stored samples."""
    import keras

    from tflite_pipeline.artifacts import Reference, Samples, file_digest
    from tflite_pipeline.convert.export import convert_float, keras_signature
    from tflite_pipeline.runtime import litert

    save_mobilenet_v2(folder / "model.keras")
    model = keras.models.load_model(folder / "model.keras", compile=False)
    path = folder / "reference.tflite"
    path.write_bytes(convert_float(keras_signature(model, 1, None), folder / "saved_model"))
    rows = images(SAMPLES)
    np.save(folder / "input.npy", rows)
    inputs, outputs = litert.describe(path)
    reference = Reference(path, file_digest(path), inputs, outputs, folder / "saved_model", None, "keras_file")
    samples = Samples(
        split="train",
        folder=folder,
        inputs={"": folder / "input.npy"},
        labels={},
        rows=tuple(range(SAMPLES)),
        digests=(),
        classes=(),
        synthetic=False,
        digest="",
    )
    return reference, samples, rows


if __name__ == "__main__":
    main()
