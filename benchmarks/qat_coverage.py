"""Quantization-aware training of 19 network families from Keras 3 and Keras 2, by this project and by TFMOT.

Each network is built with random weights that behave like trained ones, saved, and given to `tflite-pipeline run` with
two steps of training for full int8. Then the graph that was trained is compared with the Keras model, and TFMOT is
asked to quantize the saved model. Every part is a process of its own.

    python benchmarks/qat_coverage.py [MobileNetV2 …] [--keras 2|3|both] [--size 96] [--json coverage.json]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from networks import classifier, inputs, scenes

FAMILIES = {
    "MobileNet": 64,
    "MobileNetV2": 64,
    "MobileNetV3Small": 64,
    "MobileNetV3Large": 64,
    "EfficientNetB0": 64,
    "EfficientNetV2B0": 64,
    "EfficientNetV2S": 64,
    "ResNet50": 64,
    "ResNet50V2": 64,
    "ResNetRS50": 64,
    "RegNetX002": 64,
    "RegNetY002": 64,
    "DenseNet121": 64,
    "InceptionV3": 75,
    "InceptionResNetV2": 75,
    "Xception": 71,
    "NASNetMobile": 64,
    "VGG16": 64,
    "ConvNeXtTiny": 64,
}
"""Height and width of the images, at least the family's smallest."""
CLASSES, TRAIN, TEST, COMPARED = 10, 32, 64, 8
LIMIT = 1e-4
"""Largest difference of the training graph from the Keras model, relative to the largest output."""
SECONDS = 900
"""What one process may take."""
COLUMNS = ("family", "Keras", "transfer", "QAT", "int8 file", "float ops", "islands", "agree", "2 LSB", "s", "TFMOT")

RECIPE = """
recipe: 1
name: net
model: {%(source)s}
dataset:
  source: npz
  path: images.npz
  inputs: x
  labels: y
  splits: {train: "0:%(train)d", test: "%(train)d:%(all)d"}
  calibration: {split: train, samples: %(train)d}
  training: {split: train}
  evaluation: {split: test}
training: {method: qat, epochs: 1, steps: 2, batch: 8, validation: null, learning_rate: 5.0e-5, from_logits: %(logits)s}
quantization: {scheme: full_int8, io: int8}
validation: {metrics: [top1]}
"""


def library_of(keras: int) -> Any:
    if keras == 2:
        import tf_keras

        return tf_keras
    import keras as library

    return library


def make(keras: int, name: str, size: int, folder: Path) -> dict[str, Any]:
    """Write the model, images with their classes and its answers to them, and the recipe."""
    library = library_of(keras)
    if not hasattr(library.applications, name):
        return {"absent": True}
    model = classifier(library, name, size, CLASSES)
    source = save(library, model, folder)
    rows, labels = scenes(TRAIN + TEST, size, CLASSES, seed=2)
    rows = inputs(model, rows)
    answers = model.predict(rows, batch_size=8, verbose=0)
    np.savez(folder / "images.npz", x=rows, y=labels, answers=answers)
    logits = bool(np.abs(answers.sum(axis=1) - 1).max() > 1e-3)  # a few families end without softmax
    blanks = {"source": source, "train": TRAIN, "all": TRAIN + TEST, "logits": str(logits).lower()}
    (folder / "recipe.yaml").write_text(RECIPE % blanks)
    return {"right": float((answers.argmax(axis=1) == labels).mean())}


def save(library: Any, model: Any, folder: Path) -> str:
    """Save a model as Keras does, or as a SavedModel where Keras cannot open again what it saves."""
    model.save(folder / "model.keras")
    try:
        library.models.load_model(folder / "model.keras", compile=False)
    except Exception:
        (folder / "model.keras").unlink()
        model.save(folder / "model")
        return "source: saved_model, path: model"
    return "source: keras_file, path: model.keras"


def transfer(keras: int, folder: Path) -> dict[str, Any]:
    """Compare what the graph for training computes with what the Keras model computed."""
    from tflite_pipeline.train.tune.graph import read_float_graph

    given = np.load(folder / "images.npz")
    file = next((folder / "build" / ".cache" / "export").glob("*/reference.tflite"))
    (values,) = read_float_graph(file)([given["x"][:COMPARED]])
    expected = given["answers"][:COMPARED]
    return {"difference": float(np.abs(np.asarray(values) - expected).max() / np.abs(expected).max())}


def tfmot(keras: int, folder: Path) -> dict[str, Any]:
    """Ask TFMOT to quantize the saved model, as its document says."""
    saved = next(folder.glob("model*"))
    model = library_of(keras).models.load_model(saved, compile=False)
    from tensorflow_model_optimization.python.core.quantization.keras.quantize import quantize_model

    try:
        quantize_model(model)
    except Exception as error:
        text = " ".join(
            re.sub(r"Exception encountered when calling layer.*?\)\.\s", "", str(error), flags=re.S).split()
        )
        layer = re.search(r"Layer \S*?:?<class '[\w.]*?(\w+)'> is not supported", text)
        return {"tfmot": f"no: {layer[1]} not supported" if layer else f"no: {text[:80]}"}
    return {"tfmot": "yes"}


def child(work: str, keras: int, *words: str) -> dict[str, Any]:
    """Run a part in a process of its own; a failure is told under `failed`."""
    command = [sys.executable, __file__, "--part", work, "--keras", str(keras), *words]
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1" if keras == 2 or work != "make" else "0"}
    if work == "tfmot" and keras == 3:
        environment["TF_USE_LEGACY_KERAS"] = "0"
    return finished(command, environment, f"{work}: ")


def finished(command: list[str], environment: dict[str, str], title: str) -> dict[str, Any]:
    """Run a command whose last line is JSON."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"{title}more than {SECONDS} s"}
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        return {"failed": title + (done.stderr.strip() or done.stdout.strip())[-1500:]}


def row_of(keras: int, name: str, size: int, folder: Path) -> dict[str, Any] | None:
    """Measure one network; None where this Keras does not have it."""
    row: dict[str, Any] = {"family": name, "keras": keras, "size": size, "failed": []}
    made = child("make", keras, name, "--size", str(size), "--folder", str(folder))
    if "absent" in made:
        return None
    row["right"] = made.get("right")
    begin = time.perf_counter()
    report = made
    if "failed" not in made:
        words = ["run", str(folder / "recipe.yaml"), "--out", str(folder / "build"), "--json"]
        report = finished([sys.executable, "-m", "tflite_pipeline", *words], dict(os.environ), "run: ")
    row["seconds"] = time.perf_counter() - begin
    if "audit" not in report:
        row["failed"].append(report.get("failed") or json.dumps(report))
    else:
        row |= figures(report)
    for work in ("transfer", "tfmot") if "failed" not in made else ():
        part = child(work, keras, "--folder", str(folder))
        row["failed"] += [part.pop("failed")] if "failed" in part else []
        row |= part
    return row | {"passed": passed(row)}


def figures(report: dict[str, Any]) -> dict[str, Any]:
    """Take what the table shows from the report of a run."""
    audit, fidelity = report["audit"], report["training"]["fidelity"]
    output = next(iter(fidelity["outputs"].values()))
    return {
        "loss": report["training"]["steps"][0]["history"][-1]["loss"],
        "scheme": audit["found"],
        "io": audit["io_found"],
        "float_ops": audit["float_ops"],
        "islands": audit["quantize_ops"] + audit["dequantize_ops"],
        "agreement": output["agreement"],
        "within_2_lsb": output["within_2_lsb"],
        "largest_lsb": output["largest_lsb"],
        "agreement_with_float": next(iter(report["agreement"].values()))["value"],
        "stages": report["seconds"],
    }


def passed(row: dict[str, Any]) -> bool:
    whole = row.get("scheme") == "full_int8" and row.get("io") == "int8"
    return whole and row.get("difference", 1.0) <= LIMIT and not row["float_ops"] and not row["islands"]


def cells(row: dict[str, Any]) -> list[str]:
    """Write a row of the table; what is missing failed."""

    def cell(name: str, form: str) -> str:
        return format(row[name], form) if name in row else "no"

    ops = row.get("float_ops")
    return [
        row["family"],
        str(row["keras"]),
        cell("difference", ".0e"),
        f"loss {row['loss']:.2f}" if "loss" in row else "no",
        "yes" if row.get("scheme") == "full_int8" and row.get("io") == "int8" else row.get("scheme", "no"),
        "no" if ops is None else str(len(ops)),
        cell("islands", "d"),
        cell("agreement", ".1%"),
        cell("within_2_lsb", ".1%"),
        cell("seconds", ".0f"),
        row.get("tfmot", "not asked"),
    ]


def line(texts: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(texts)} |"


def measure(names: list[str], generations: tuple[int, ...], size: int | None) -> list[dict[str, Any]]:
    print(line(COLUMNS), "|".join(["", *("---" for _ in COLUMNS), ""]), sep="\n", flush=True)
    rows = []
    for keras in generations:
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                row = row_of(keras, name, max(size or 0, FAMILIES[name]), Path(folder))
            if row is None:
                continue
            rows.append(row)
            print(line(cells(row)), flush=True)
            for text in row["failed"]:
                print(f"    {text}", file=sys.stderr, flush=True)
    return rows


def total(rows: list[dict[str, Any]], names: list[str]) -> None:
    """Print how many families pass with every Keras that has them, and how many TFMOT accepts."""
    for keras in sorted({row["keras"] for row in rows}):
        mine = [row for row in rows if row["keras"] == keras]
        taken = sum(row.get("tfmot") == "yes" for row in mine)
        print(f"Keras {keras}: {sum(row['passed'] for row in mine)} of {len(mine)}, TFMOT {taken} of {len(mine)}")
    broken = {row["family"] for row in rows if not row["passed"]}
    print(f"families {len([name for name in names if name not in broken])} of {len(names)}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", choices=[*FAMILIES, []], metavar="name")
    parser.add_argument("--keras", choices=["2", "3", "both"], default="both")
    parser.add_argument("--size", type=int, help="of the images, where the family takes it")
    parser.add_argument("--json", type=Path, default=Path("coverage.json"), help="file for all figures")
    parser.add_argument("--part", choices=["make", "transfer", "tfmot"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if arguments.part == "make":
        print(json.dumps(make(int(arguments.keras), arguments.names[0], arguments.size, arguments.folder)))
    elif arguments.part:
        print(
            json.dumps({"transfer": transfer, "tfmot": tfmot}[arguments.part](int(arguments.keras), arguments.folder))
        )
    else:
        names = arguments.names or list(FAMILIES)
        rows = measure(names, (3, 2) if arguments.keras == "both" else (int(arguments.keras),), arguments.size)
        arguments.json.write_text(json.dumps(rows, indent=1))
        total(rows, names)
        sys.exit(not all(row["passed"] for row in rows))


if __name__ == "__main__":
    main()
