"""Seconds and peak memory of the stages that need no TensorFlow, each in a fresh process, imports included (Linux).

MobileNetV2 224: `quantize` with ai-edge-quantizer under several schemes, `calibrate` with 100 and with 1000 samples.

    python benchmarks/stage_cost.py
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from calibrate_time import prepare

SCHEMES = ("float16", "dynamic_int8", "weight_int4", "full_int8", "int8x4")
COUNTS = (100, 1000)

CHILD = """
import sys
from pathlib import Path
from pydantic import TypeAdapter
from tflite_pipeline.artifacts import Engine, Ranges, Reference, Samples

what, folder, given = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
reference = TypeAdapter(Reference).validate_json((given / "reference.json").read_text())
if what == "calibrate":
    from tflite_pipeline.convert.calibrate import calibrate
    samples = TypeAdapter(Samples).validate_json((folder / "samples.json").read_text())
    ranges = calibrate(reference, samples, 2, folder)
    (folder / "ranges.json").write_bytes(TypeAdapter(Ranges).dump_json(ranges))
else:
    from tflite_pipeline.convert.quantize import quantize
    from tflite_pipeline.convert.spec import Quantization
    ranges = TypeAdapter(Ranges).validate_json((given / "100" / "ranges.json").read_text())
    spec = Quantization(scheme=what)
    quantize(spec, Engine("ai_edge", ""), reference, None, (ranges if spec.calibrated else None, None), folder)
assert "tensorflow" not in sys.modules
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1024)
"""


def cost(what: str, folder: Path, given: Path) -> tuple[float, float]:
    """Give seconds and MiB of a stage; the start of the interpreter counts too."""
    folder.mkdir(exist_ok=True)
    begin = time.perf_counter()
    command = [sys.executable, "-c", CHILD, what, str(folder), str(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - begin, float(done.stdout.split()[-1])


def plain(value: object) -> str:
    from tflite_pipeline.artifacts import to_json

    return json.dumps(to_json(value))


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    with tempfile.TemporaryDirectory() as name:
        given = Path(name)
        reference, samples, rows = prepare(given)
        (given / "reference.json").write_text(plain(reference))
        for count in COUNTS:
            folder = given / str(count)
            folder.mkdir()
            np.save(folder / "input.npy", np.resize(rows, (count, *rows.shape[1:])))
            more = dataclasses.replace(samples, inputs={"": folder / "input.npy"}, rows=tuple(range(count)))
            (folder / "samples.json").write_text(plain(more))
            print("calibrate, %4d samples  %5.2f s  %4.0f MiB" % (count, *cost("calibrate", folder, given)))
        for scheme in SCHEMES:
            print("quantize, %-13s  %5.2f s  %4.0f MiB" % (scheme, *cost(scheme, given / scheme, given)))


if __name__ == "__main__":
    main()
