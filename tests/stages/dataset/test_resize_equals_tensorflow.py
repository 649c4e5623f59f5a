"""Resizing in NumPy against `tf.image.resize`, over sizes up and down, and dtypes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.dataset.preprocessing import preprocess
from tflite_pipeline.dataset.steps import Resize, Step

METHODS: tuple[Any, ...] = ("bilinear", "nearest", "area")
SIZES = {
    (8, 8): (96, 96),
    (97, 61): (32, 45),
    (224, 180): (96, 96),
    (5, 7): (5, 14),
    (1, 1): (3, 2),
    (301, 4): (299, 3),
}
SIZES |= {(1200, 1600): (224, 224), (64, 64): (64, 64), (33, 50): (1, 1), (7, 11): (10, 13)}

CODE = """
import sys
import numpy as np
import tensorflow as tf
images = np.load(sys.argv[1])
wanted = {}
for key in images.files:
    height, width, method = key.split(",")[-3:]
    wanted[key] = tf.image.resize(images[key], (int(height), int(width)), method=method, antialias=False).numpy()
np.savez(sys.argv[2], **wanted)
"""


@pytest.mark.tf
def test_resize_equals_tensorflow(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = {}
    for (height, width), (new_height, new_width) in SIZES.items():
        for method in METHODS:
            image = generator.random((height, width, 3), dtype=np.float32)
            images[f"float,{height},{width},{new_height},{new_width},{method}"] = image
            images[f"byte,{height},{width},{new_height},{new_width},{method}"] = (image * 255).astype(np.uint8)
    np.savez(tmp_path / "images.npz", **images)
    command = [sys.executable, "-c", CODE, str(tmp_path / "images.npz"), str(tmp_path / "wanted.npz")]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(command, check=True, capture_output=True, env=quiet)
    wanted = np.load(tmp_path / "wanted.npz")
    for key, image in images.items():
        kind, _, _, height, width, method = key.split(",")
        found = preprocess(image, [Step(resize=Resize(height=int(height), width=int(width), method=method))])
        one = 1.0 if kind == "float" else 255.0
        np.testing.assert_allclose(found / one, wanted[key] / one, rtol=0, atol=1e-4, err_msg=key)
        if method == "nearest":
            np.testing.assert_array_equal(found, wanted[key], err_msg=key)
