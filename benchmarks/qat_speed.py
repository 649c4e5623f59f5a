"""Quantization-aware training of MobileNetV2: a training step and the time until the first, against float and TFMOT.

MobileNetV2 96 of Keras 2, which TFMOT accepts, batches of 16. Three sides take turns, each in a process of its own:
`model.fit` of the float model, `quantize_model` and `fit` as TFMOT's document shows it, and stage `tune` on the files
that the stages before it made. The clock starts with TensorFlow imported and the model in memory, or the files there.

    python benchmarks/qat_speed.py [--runs 3] [--steps 30] [--size 96] [--batch 16]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from networks import classifier, scenes

CLASSES, CALIBRATION, SKIPPED, RATE = 10, 100, 5, 1e-5
SIDES = ("float", "tfmot", "ours")


def prepare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write the model and the images; run the stages before training and time them."""
    import tf_keras
    from pydantic import TypeAdapter

    from tflite_pipeline.artifacts import Samples, to_json
    from tflite_pipeline.convert.calibrate import calibrate
    from tflite_pipeline.convert.export import export
    from tflite_pipeline.convert.quantize import choose_engine, quantize
    from tflite_pipeline.convert.spec import Quantization
    from tflite_pipeline.model.identify import identify
    from tflite_pipeline.model.spec import KerasFile

    classifier(tf_keras, "MobileNetV2", options.size, CLASSES).save(folder / "model.h5")
    rows, labels = scenes(max(CALIBRATION, options.steps * options.batch), options.size, CLASSES, seed=2)
    files = {"x": folder / "x.npy", "y": folder / "y.npy"}
    np.save(files["x"], rows)
    np.save(files["y"], labels)

    def samples(count: int) -> Samples:
        inputs, answers = {"": files["x"]}, {"": files["y"]}
        return Samples("train", folder, inputs, answers, tuple(range(count)), (), (), False, str(count))

    clock = Clock()
    spec = TypeAdapter(KerasFile).validate_python({"source": "keras_file", "path": folder / "model.h5"})
    reference = export(identify(spec, 0, "", False, fresh(folder / "model")), 1, None, 0, fresh(folder / "export"))
    clock.note("export")
    ranges = calibrate(reference, samples(CALIBRATION), 2, fresh(folder / "calibrate"))
    clock.note("calibrate")
    asked = Quantization(scheme="full_int8", io="int8")
    engine = choose_engine(asked, reference, folder)
    draft = quantize(asked, engine, reference, None, (ranges, None), fresh(folder / "quantize"))
    clock.note("draft")
    made = {"reference": reference, "draft": draft, "ranges": ranges, "samples": samples(options.steps * options.batch)}
    for name, artifact in made.items():
        (folder / f"{name}.json").write_text(json.dumps(to_json(artifact)))
    return clock.seconds


def ours(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    import tf_keras
    from pydantic import TypeAdapter

    from tflite_pipeline.artifacts import QuantizedModel, Ranges, Reference, Samples
    from tflite_pipeline.runtime import progress
    from tflite_pipeline.train.spec import Qat
    from tflite_pipeline.train.tune.tune import tune

    def artifact(name: str, kind: Any) -> Any:
        return TypeAdapter(kind).validate_json((folder / f"{name}.json").read_text())

    reference, samples = artifact("reference", Reference), artifact("samples", Samples)
    draft = artifact("draft", QuantizedModel), artifact("ranges", Ranges), False
    spec = Qat(method="qat", epochs=1, batch=options.batch, steps=options.steps, validation=None, learning_rate=RATE)
    warm(tf_keras)
    ends: list[float] = []
    progress.send_to(lambda done, total, what: ends.append(time.perf_counter()) if done and "epoch" in what else None)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        tune(spec, (reference,), draft, samples, 0, Path(out))
    return told(begin, ends)


def keras(options: argparse.Namespace, folder: Path, change: Callable[[Any], Any]) -> dict[str, Any]:
    """Train the Keras model, changed or not."""
    import tf_keras

    model = tf_keras.models.load_model(folder / "model.h5", compile=False)
    count = options.steps * options.batch
    rows, labels = (np.load(folder / f"{name}.npy")[:count] for name in "xy")
    ends: list[float] = []

    class Watch(tf_keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            ends.append(time.perf_counter())

    warm(tf_keras)
    begin = time.perf_counter()
    model = change(model)
    model.compile(tf_keras.optimizers.Adam(RATE), "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(rows, labels, options.batch, epochs=1, verbose=0, callbacks=[Watch()])
    return told(begin, ends)


def tfmot(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    import tensorflow_model_optimization

    return keras(options, folder, tensorflow_model_optimization.quantization.keras.quantize_model)


def warm(library: Any) -> None:
    """Let TensorFlow start its threads and find its kernels, which is neither side's work."""
    model = library.Sequential([library.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.zeros((8, 4), np.float32), np.zeros((8, 1), np.float32), verbose=0)


def told(begin: float, ends: list[float]) -> dict[str, Any]:
    steps = np.diff(ends)[SKIPPED:]
    return {"start": ends[0] - begin, "step": float(np.median(steps))}


class Clock:
    """Seconds since the last note, by title."""

    def __init__(self) -> None:
        """Start the clock."""
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def note(self, title: str) -> None:
        """Note the seconds since the note before."""
        now = time.perf_counter()
        self.seconds[title], self._last = now - self._last, now


def fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


PARTS: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {
    "prepare": prepare,
    "float": lambda options, folder: keras(options, folder, lambda model: model),
    "tfmot": tfmot,
    "ours": ours,
}


def child(part: str, options: argparse.Namespace, folder: Path) -> dict[str, float]:
    words = [f"--{name}={getattr(options, name)}" for name in ("steps", "size", "batch")]
    command = [sys.executable, __file__, *words, "--part", part, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def compare(options: argparse.Namespace) -> None:
    table: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as name:
        before = child("prepare", options, Path(name))
        print("before training: " + ", ".join(f"{title} {seconds:.1f} s" for title, seconds in before.items()))
        for _ in range(options.runs):
            for side in SIDES:
                table[side].append(child(side, options, Path(name)))
    for side, rows in table.items():
        step, start = (statistics.median(row[key] for row in rows) for key in ("step", "start"))
        print(f"{side:6} step {step * 1000:6.0f} ms, first step ended after {start:5.1f} s")
    for mine, other, key in (
        ("tfmot", "float", "step"),
        ("ours", "float", "step"),
        ("ours", "tfmot", "step"),
        ("ours", "tfmot", "start"),
    ):
        ratios = [a[key] / b[key] for a, b in zip(table[mine], table[other], strict=True)]
        spread = f"(min {min(ratios):.2f}, max {max(ratios):.2f})"
        print(f"{key:5} {mine} / {other:5} median {statistics.median(ratios):5.2f}  {spread}")
    whole = [
        (sum(before.values()) + a["start"]) / b["start"] for a, b in zip(table["ours"], table["tfmot"], strict=True)
    ]
    print(f"start ours / tfmot, with all stages before training: {statistics.median(whole):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}
    if options.part:
        print(json.dumps(PARTS[options.part](options, options.folder)))
    else:
        compare(options)


if __name__ == "__main__":
    main()
