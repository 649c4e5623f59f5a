"""Seeded uniform noise of a given shape, made sample by sample; labels are random classes where asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tflite_pipeline.dataset.spec import Synthetic
from tflite_pipeline.dataset.table import Array, Table


@dataclass(frozen=True)
class _Noise:
    spec: Synthetic
    shape: tuple[int, ...]
    entropy: tuple[int, int]

    def __len__(self) -> int:
        return self.spec.samples

    def __getitem__(self, row: int) -> Array:
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([*self.entropy, row])))
        unit = generator.random(self.shape, dtype=np.float32)
        return unit * np.float32(self.spec.high - self.spec.low) + np.float32(self.spec.low)


def read(spec: Synthetic, seed: int) -> Table:
    """Give `spec.samples` rows of noise."""
    shapes = spec.shape if isinstance(spec.shape, dict) else {"": spec.shape}
    inputs = {name: _Noise(spec, shape, (seed, number)) for number, (name, shape) in enumerate(shapes.items())}
    labels: dict[str, Array] = {}
    if spec.classes is not None:
        raw = np.random.PCG64(np.random.SeedSequence([seed, len(shapes)])).random_raw(spec.samples)
        labels[""] = (raw % np.uint64(spec.classes)).astype(np.int64)
    return Table(
        count=spec.samples,
        inputs=dict(inputs),
        labels=labels,
        classes=tuple(map(str, range(spec.classes or 0))),
        synthetic=True,
    )


def digest(spec: Synthetic) -> str:
    """Give what decides the noise besides the section itself and the seed: the generator."""
    return "PCG64"
