"""Full int8 and weights of 4 bits with recovery, against TFLiteConverter and every algorithm of ai-edge-quantizer.

All quantize the same Keras file with the same 200 calibration samples, drawn anew for each round, without labels and
without training; all files run on the same other samples with the same interpreter. Two networks have labels and give
top-1; visual wake words has no images of its own, so enlarged CIFAR-10 pictures take their place and the class of the
float file is the truth. ai-edge-quantizer's GPTQ takes dense layers only; the others are rounded by its MSE there. The
difference of two files in top-1 comes with its paired 95 % interval over the samples of all rounds. Needs the folder
that TFLITE_PIPELINE_DATA names.

    python benchmarks/recovery_accuracy.py [--rounds 4] [--nets kws resnet8 vww]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from int8_accuracy import CALIBRATION, CONVERTER, DATA, Case, answers, cases, quiet

from tflite_pipeline.convert.spec import STRONG

PEERS = (
    CONVERTER
    + """
from ai_edge_quantizer import quantizer, recipe_manager
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.qtyping import TFLOperationName

name = list(tf.lite.Interpreter(f"{folder}/float.tflite").get_signature_list()["serving_default"]["inputs"])[0]
data = {"serving_default": [{name: sample[0]} for sample in representative_dataset()]}
DENSE, CONV = TFLOperationName.FULLY_CONNECTED, TFLOperationName.CONV_2D
for bits in (8, 4):
    for title, conv, dense in (
        ("min-max", "MIN_MAX_UNIFORM_QUANT", "MIN_MAX_UNIFORM_QUANT"),
        ("MSE", "MSE", "MSE"),
        ("OCTAV", "OCTAV", "OCTAV"),
        ("GPTQ", "MSE", "GPTQ"),
    ):
        rules = recipe_manager.RecipeManager()
        rules.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, 8, 8)
        for op, algorithm in ((CONV, conv), (DENSE, dense)):
            rules.add_static_config(".*", op, 8, bits, algorithm_key=AlgorithmName[algorithm])
        try:
            qt = quantizer.Quantizer(f"{folder}/float.tflite", rules.get_quantization_recipe())
            content = qt.quantize(qt.calibrate(data)).quantized_model
        except Exception as error:
            print(f"ai-edge-quantizer {title} {bits}: {error}", file=sys.stderr)
            continue
        open(f"{folder}/{title} {bits}.tflite", "wb").write(content)
"""
)

OURS = {
    "none": "[]",
    "bias_correction": "[bias_correction]",
    "adaround": "[weight_clipping, adaround, bias_correction]",
    "gptq": f"[{', '.join(STRONG)}]",
    "auto": "auto",
}
SCHEMES = {8: "full_int8", 4: "int8x4"}
Figures = tuple[np.ndarray, np.ndarray, int]
"""Which samples got the true class, which the float file's, and the size of the file."""


def recipe(case: Case, name: str, scheme: str, recovery: str) -> str:
    return f"""
recipe: 1
name: {name}
model: {{source: keras_file, path: {case.model.resolve()}}}
dataset:
  source: npz
  path: all.npz
  inputs: x
  splits: {{train: "0:{CALIBRATION}", test: "{CALIBRATION}:{CALIBRATION + 8}"}}
  calibration: {{split: train}}
quantization: {{scheme: {scheme}, io: int8, recovery: {recovery}}}
"""


def labels(case: Case) -> np.ndarray | None:
    """Give the classes where the samples have any."""
    files = {"kws": "keyword_spotting/kws01.npz", "resnet8": "image_classification/cifar10_4000.npz"}
    return np.load(DATA / files[case.name])["y"].reshape(-1) if case.name in files else None


def make_files(case: Case, folder: Path) -> dict[str, Path]:
    """Let everyone quantize; a peer that cannot is left out, and says so."""
    (folder / "peers.py").write_text(PEERS)
    quiet([sys.executable, str(folder / "peers.py"), str(case.model), str(folder)], {"TF_USE_LEGACY_KERAS": "1"})
    files = {}
    for bits, scheme in SCHEMES.items():
        if bits == 8:
            files["8 bits: TFLiteConverter"] = folder / "converter.tflite"
        for title in ("min-max", "MSE", "OCTAV", "GPTQ"):
            path = folder / f"{title} {bits}.tflite"
            if path.is_file():
                files[f"{bits} bits: ai-edge-quantizer, {title}"] = path
        for title, recovery in OURS.items():
            name = f"ours_{title}_{bits}"
            (folder / f"{name}.yaml").write_text(recipe(case, name, scheme, recovery))
            quiet(
                [sys.executable, "-m", "tflite_pipeline", "run", f"{folder}/{name}.yaml", "--out", f"{folder}/build"],
                {},
            )
            files[f"{bits} bits: this project, {title}"] = folder / "build" / name / "model.tflite"
    return files


def measure(case: Case, folder: Path, seed: int) -> dict[str, Figures]:
    order = np.random.default_rng(seed).permutation(len(case.samples))
    shuffled = case.samples[order]
    np.savez(folder / "samples.npz", calibration=shuffled[:CALIBRATION])
    np.savez(folder / "all.npz", x=shuffled)
    files = make_files(case, folder)
    rest = shuffled[CALIBRATION:]
    real = answers(folder / "float.tflite", rest).argmax(1)
    known = labels(case)
    truth = real if known is None else known[order][CALIBRATION:]
    table: dict[str, Figures] = {"float": (real == truth, real == real, (folder / "float.tflite").stat().st_size)}
    for title, path in files.items():
        found = answers(path, rest).argmax(1)
        table[title] = (found == truth, found == real, path.stat().st_size)
    return table


def lines(tables: list[dict[str, Figures]]) -> Iterator[str]:
    def right(title: str) -> np.ndarray:
        return np.concatenate([table[title][0] for table in tables]).astype(float)

    for title in tables[0]:
        rows = [table[title] for table in tables if title in table]
        if len(rows) < len(tables):
            continue
        drop = right("float") - right(title)
        wide = 1.96 * drop.std() / np.sqrt(len(drop))
        agreement = np.mean([row[1].mean() for row in rows])
        size = np.mean([row[2] for row in rows])
        yield (
            f"  {title:36} top-1 {right(title).mean():7.2%}  drop {drop.mean():+7.2%} ± {wide:.2%}  "
            f"same class {agreement:7.2%}  {size / 1024:6.1f} KiB"
        )
    gain = right("4 bits: this project, adaround") - right("4 bits: this project, none")
    yield f"  AdaRound above nearest, 4 bits: {gain.mean():+.2%} ± {1.96 * gain.std() / np.sqrt(len(gain)):.2%}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--nets", nargs="*", default=["kws", "resnet8", "vww"])
    asked = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if not DATA.is_dir():
        sys.exit(f"needs the published networks: set TFLITE_PIPELINE_DATA to their folder; {DATA} is none")
    for case in cases():
        if case.name not in asked.nets:
            continue
        tables = []
        for seed in range(asked.rounds):
            with tempfile.TemporaryDirectory() as name:
                tables.append(measure(case, Path(name), seed))
        print(f"{case.name}: {len(case.samples) - CALIBRATION} samples, {asked.rounds} rounds", flush=True)
        print("\n".join(lines(tables)), flush=True)


if __name__ == "__main__":
    main()
