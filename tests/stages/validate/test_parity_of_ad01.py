from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tflite_pipeline.artifacts import Reference
from tflite_pipeline.runtime import litert
from tflite_pipeline.validate.parity import check_parity

# The second probe is of the model with the fault of the conversion built in: without its hidden biases.
PROBES = """
import sys
import numpy as np
import tf_keras
model = tf_keras.models.load_model(sys.argv[1], compile=False)
x = np.random.default_rng(0).normal(size=(8, 640)).astype(np.float32)
np.savez(sys.argv[2], **{"input/input_1": x, "output/dense_9": model.predict(x, verbose=0)})
for layer in model.layers[:-1]:
    if isinstance(layer, tf_keras.layers.Dense):
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel, 0 * bias])
np.savez(sys.argv[3], **{"input/input_1": x, "output/dense_9": model.predict(x, verbose=0)})
"""


@pytest.mark.tf
def test_a_published_conversion_without_its_biases_fails_parity(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "anomaly_detection"
    probes = [tmp_path / "probe.npz", tmp_path / "probe_without_biases.npz"]
    command = [sys.executable, "-c", PROBES, str(folder / "ad01.h5"), *map(str, probes)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    path = folder / "ad01_fp32.tflite"
    inputs, outputs = litert.describe(path)
    original, faulty = (
        check_parity(Reference(path, "0", inputs, outputs, None, p, "tflite"), 1e-3, Path()).found for p in probes
    )
    assert (original["checked"], original["passed"], original["samples"]) == (True, False, 8)
    # 0.66 of outputs up to 42.3.
    assert original["difference"] == pytest.approx(0.01565, rel=0.01)
    assert faulty["passed"]
    assert faulty["difference"] < 1e-5
