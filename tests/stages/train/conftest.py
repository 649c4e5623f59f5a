"""Samples made on the spot for the tests of training."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import Samples


@pytest.fixture(scope="session")
def training():
    """The module `tests/factories/training.py`, whose functions the workers run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "factories")
        return importlib.import_module("training")


@pytest.fixture
def make_samples(tmp_path):
    """Write arrays by name as samples: `make_samples({"": x}, {"": y})`."""

    def make(inputs, labels=None):
        paths = []
        for kind, arrays in (("inputs", inputs), ("labels", labels or {})):
            (tmp_path / kind).mkdir(exist_ok=True)
            paths.append({name: tmp_path / kind / f"{name}.npy" for name in arrays})
            for name, array in arrays.items():
                np.save(paths[-1][name], array)
        count = len(next(iter(inputs.values())))
        return Samples("train", tmp_path, *paths, tuple(range(count)), (), (), False, "")

    return make
