"""What training on the exported graph gains: float, post-training and trained files of the same networks, as tables.

Every row of this project is `tflite-pipeline run --json` on a recipe. The converter's script quantizes with the same
calibration samples; TFMOT's script trains as many epochs on the same images. ResNet8's images are training images of
the net, so its float figure is that of pictures it has seen, and only differences count. Spoken digits are trained
here from nothing. Needs the folder that TFLITE_PIPELINE_DATA names.

    python benchmarks/qat_accuracy.py [--seeds 5] [--only int8 int4 seeds compress]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from int8_accuracy import CALIBRATION, DATA, answers, quiet

RECIPES = Path(__file__).resolve().parent.parent / "recipes" / "shared_data"
TRAINED, EVALUATED = 3000, 1000
PEERS = """
import sys
import numpy as np
import tensorflow as tf
import tf_keras
import tensorflow_model_optimization as tfmot

model_path, data_path, folder = sys.argv[1:]
with np.load(data_path) as arrays:
    x, y = arrays["x"][:%d].astype(np.float32), arrays["y"][:%d]

def representative_dataset():
    for sample in x[:%d]:
        yield [sample[None]]

model = tf_keras.models.load_model(model_path, compile=False)
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = representative_dataset
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
open(f"{folder}/converter.tflite", "wb").write(converter.convert())

for rate in (1e-3, 1e-4):
    tf_keras.utils.set_random_seed(0)
    q_aware_model = tfmot.quantization.keras.quantize_model(tf_keras.models.load_model(model_path, compile=False))
    loss = tf_keras.losses.SparseCategoricalCrossentropy()
    q_aware_model.compile(optimizer=tf_keras.optimizers.Adam(rate), loss=loss, metrics=["accuracy"])
    q_aware_model.fit(x, y, batch_size=32, epochs=3, validation_split=0.1, verbose=0)
    np.save(f"{folder}/tfmot_{rate}.npy", q_aware_model.predict(np.load(data_path)["x"][%d:].astype(np.float32)))
    converter = tf.lite.TFLiteConverter.from_keras_model(q_aware_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    open(f"{folder}/tfmot_{rate}.tflite", "wb").write(converter.convert())
""" % (TRAINED, TRAINED, CALIBRATION, TRAINED)

PRUNE = {"method": "prune", "ramp": "constant", "epochs": 12, "learning_rate": 0.002}
CLUSTER, QAT = {"method": "cluster"}, {"method": "qat"}
INT4 = {"method": "qat", "weight_bits": 4, "epochs": 5}
COMPRESSED = {
    "nothing": [QAT],
    "prune 0.5, then post-training": [PRUNE],
    "prune 0.5 and QAT (PQAT)": [PRUNE, QAT],
    "prune 0.7 and QAT": [PRUNE | {"sparsity": 0.7}, QAT],
    "prune 2:4 and QAT": [PRUNE | {"pattern": "2:4"}, QAT],
    "cluster 16, then post-training": [CLUSTER],
    "cluster 16 and QAT (CQAT)": [CLUSTER, QAT],
    "prune 0.5, cluster 16 and QAT (PCQAT)": [PRUNE, CLUSTER, QAT],
}


class Bench:
    """Runs variants of the recipes into one folder, so that they share what they have in common."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which exists."""
        self.folder = folder

    def run(self, recipe: str, changes: dict[str, Any], seed: int = 0) -> dict[str, Any]:
        """Give the report of a recipe with some sections replaced."""
        path = self.folder / "variant.yaml"
        base = {"extends": str(RECIPES / recipe), "name": "variant", "seed": seed}
        path.write_text(json.dumps(base | changes))
        command = [sys.executable, "-m", "tflite_pipeline", "run", str(path), "--out", str(self.folder / "build")]
        done = subprocess.run([*command, "--json", "--allow-code"], capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            sys.exit(done.stderr)
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def resnet8(self, training: Any = None, scheme: str = "full_int8", seed: int = 0) -> dict[str, Any]:
        """Give the report of ResNet8 on 3000 images to train and 1000 others to evaluate."""
        splits = {"train": f"0:{TRAINED}", "test": f"{TRAINED}:{TRAINED + EVALUATED}"}
        rows = {"split": "train", "samples": None, "rows": list(range(CALIBRATION))}
        changes = {
            "dataset": {"splits": splits, "calibration": rows},
            "quantization": {"scheme": scheme, "io": "float32" if scheme == "float32" else "int8"},
        }
        return self.run("resnet8.yaml", changes | ({"training": training} if training else {}), seed)

    def compressed_bytes(self, report: dict[str, Any]) -> int:
        """Give the size of the file of the last run as a zip would hold it."""
        return len(zlib.compress((self.folder / "build" / "variant" / report["model"]["file"]).read_bytes(), 9))


def figures(report: dict[str, Any]) -> str:
    """Give the cells: float, fake-quantized network, file, drop from float, drop in conversion, within 2 LSB, bytes."""
    top1, fidelity = report["metrics"]["top1"], report["training"].get("fidelity") if report["training"] else None
    if not fidelity:
        return f"{top1['reference']:.1%} | | {top1['quantized']:.1%} | {points(top1['drop'])} | | | {size(report)}"
    (output,) = fidelity["outputs"].values()
    trained = fidelity["metrics"]["top1"]
    lost = points(trained["conversion_drop"]["drop"])
    cells = f"{top1['reference']:.1%} | {trained['fake_quant']:.1%} | {top1['quantized']:.1%} | {points(top1['drop'])}"
    return f"{cells} | {lost} | {output['within_2_lsb']:.1%} | {size(report)}"


def points(drop: float) -> str:
    return f"{round(-drop * 100, 1) + 0.0:+.1f}"


def size(report: dict[str, Any]) -> str:
    return f"{report['model']['bytes'] / 1024:.0f} KiB"


HEAD = """
| | float | fake-quantized | `.tflite` | points from float | points in conversion | within 2 LSB | size |
|---|---|---|---|---|---|---|---|"""


def int8(bench: Bench) -> Iterator[str]:
    yield HEAD
    yield f"| ResNet8, post-training | {figures(bench.resnet8())} |"
    yield from peers(bench.folder)
    tuned = bench.resnet8({"method": "fit", "epochs": 3, "learning_rate": 1e-4, "validation": 0.1}, "float32")
    yield f"| ResNet8, float fine-tuned for 3 epochs, no rounding | {figures(tuned)} |"
    yield f"| **ResNet8, QAT** | {figures(bench.resnet8(QAT))} |"
    yield f"| ResNet8, QAT with `teacher: float` | {figures(bench.resnet8(QAT | {'teacher': 'float'}))} |"
    halves = {"dataset": {"splits": {"train": 0.5, "test": 0.5}}}
    yield f"| keyword spotting, post-training | {figures(bench.run('kws.yaml', halves))} |"
    yield f"| **keyword spotting, QAT** | {figures(bench.run('kws.yaml', halves | {'training': QAT}))} |"
    taught = {"training": QAT | {"teacher": "float"}}
    yield f"| keyword spotting, QAT with `teacher: float` | {figures(bench.run('kws.yaml', halves | taught))} |"
    yield f"| **spoken digits, trained from nothing, then QAT** | {figures(bench.run('spoken_digits.yaml', {}))} |"


def peers(folder: Path) -> Iterator[str]:
    """Give the rows of the documented scripts."""
    script, images = folder / "peers.py", DATA / "image_classification" / "cifar10_4000.npz"
    script.write_text(PEERS)
    network = DATA / "image_classification" / "resnet8.h5"
    command = [sys.executable, str(script), str(network), str(images), str(folder)]
    quiet(command, {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"})
    with np.load(images) as arrays:
        x, y = arrays["x"][TRAINED:].astype(np.float32), arrays["y"][TRAINED:].reshape(-1)
    right = answers(folder / "converter.tflite", x).argmax(1) == y
    yield f"| ResNet8, TFLiteConverter's script | | | {right.mean():.1%} | | | | {kib(folder / 'converter.tflite')} |"
    for rate in (1e-3, 1e-4):
        before, path = np.load(folder / f"tfmot_{rate}.npy"), folder / f"tfmot_{rate}.tflite"
        after = answers(path, x)
        trained, made = ((values.argmax(1) == y).mean() for values in (before, after))
        near = (np.abs(after - before) <= 2.5 / 256).mean()  # the softmax has steps of 1/256
        cells = f"{trained:.1%} | {made:.1%} | | {points(trained - made)} | {near:.1%} | {kib(path)}"
        yield f"| ResNet8, TFMOT's script, Adam at {rate:g} | | {cells} |"


def kib(path: Path) -> str:
    return f"{path.stat().st_size / 1024:.0f} KiB"


def int4(bench: Bench) -> Iterator[str]:
    yield HEAD
    yield f"| ResNet8, post-training | {figures(bench.resnet8(None, 'int8x4'))} |"
    yield f"| **ResNet8, QAT, 5 epochs** | {figures(bench.resnet8(INT4, 'int8x4'))} |"
    taught = INT4 | {"teacher": "float"}
    yield f"| **ResNet8, QAT with `teacher: float`, 5 epochs** | {figures(bench.resnet8(taught, 'int8x4'))} |"


def seeds(bench: Bench, count: int) -> Iterator[str]:
    yield "\n| ResNet8, `.tflite` by seed | " + " | ".join(map(str, range(count))) + " | mean | spread |"
    yield "|---" * (count + 3) + "|"
    for title, training, scheme in (("QAT, int8", QAT, "full_int8"), ("QAT, int4", INT4, "int8x4")):
        found = [bench.resnet8(training, scheme, seed)["metrics"]["top1"]["quantized"] for seed in range(count)]
        each = " | ".join(f"{value:.1%}" for value in found)
        yield f"| {title} | {each} | {np.mean(found):.2%} | {100 * np.std(found):.2f} points |"


def compress(bench: Bench) -> Iterator[str]:
    yield "\n| ResNet8, int8 | `.tflite` | zeros | most values in a channel | file | compressed | of the plain |"
    yield "|---|---|---|---|---|---|---|"
    plain = 0
    for title, steps in COMPRESSED.items():
        report = bench.resnet8(steps)
        found = bench.compressed_bytes(report)
        plain = plain or found
        weights = (report["training"]["compression"] or {}).get("weights", [])
        elements = sum(row["elements"] for row in weights)
        zeros = f"{sum(row['zeros'] * row['elements'] for row in weights) / elements:.1%}" if weights else ""
        values = max(row["distinct_in_channel"] for row in weights) if weights else ""
        cells = f"{report['metrics']['top1']['quantized']:.1%} | {zeros} | {values} | {size(report)}"
        yield f"| {title} | {cells} | {found / 1024:.0f} KiB | {found / plain:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=["int8", "int4", "seeds", "compress"])
    asked = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"needs the published networks: set TFLITE_PIPELINE_DATA to their folder; {DATA} is none")
    os.environ |= {"TFLITE_PIPELINE_DATA": str(DATA.resolve()), "PYTHONPATH": str(RECIPES)}  # spoken_digits.py is there
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        tables = {
            "int8": int8(bench),
            "int4": int4(bench),
            "seeds": seeds(bench, asked.seeds),
            "compress": compress(bench),
        }
        for title in asked.only:
            for line in tables[title]:
                print(line, flush=True)


if __name__ == "__main__":
    main()
