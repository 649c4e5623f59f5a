"""Samples and references made from arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import Samples

MakeSamples = Callable[..., Samples]


@pytest.fixture
def make_samples(tmp_path: Path) -> MakeSamples:
    """A function from arrays by name to stored samples."""

    def make(
        inputs: dict[str, Any], labels: dict[str, Any] | None = None, rows: Sequence[int] = (), classes: Any = ()
    ) -> Samples:
        stored: dict[str, dict[str, Path]] = {"inputs": {}, "labels": {}}
        for kind, arrays in (("inputs", inputs), ("labels", labels or {})):
            (tmp_path / kind).mkdir(exist_ok=True)
            for name, array in arrays.items():
                stored[kind][name] = tmp_path / kind / f"{name or 'only'}.npy"
                np.save(stored[kind][name], array)
        count = len(next(iter(inputs.values())))
        return Samples(
            split="test",
            folder=tmp_path,
            inputs=stored["inputs"],
            labels=stored["labels"],
            rows=tuple(rows) or tuple(range(count)),
            digests=("0" * 16,) * count,
            classes=tuple(classes),
            synthetic=False,
            digest="d",
        )

    return make


@pytest.fixture
def features() -> np.ndarray:
    """37 samples for the tiny classifiers: no multiple of any batch."""
    return np.random.default_rng(1).normal(size=(37, 16)).astype(np.float32)
