from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tflite_pipeline.artifacts import Samples
from tflite_pipeline.dataset.halve import halve
from tflite_pipeline.errors import StageError


def samples(folder: Path, digests: list[str]) -> Samples:
    folder.mkdir(parents=True)
    np.save(folder / "x.npy", np.arange(len(digests), dtype=np.float32)[:, None])
    np.save(folder / "y.npy", np.arange(len(digests)))
    inputs, labels = {"": folder / "x.npy"}, {"": folder / "y.npy"}
    rows = tuple(range(100, 100 + len(digests)))
    return Samples("test", folder, inputs, labels, rows, tuple(digests), (), False, "digest")


def both(whole: Samples, folder: Path) -> list[Samples]:
    found = []
    for half in ("search", "check"):
        (folder / half).mkdir(parents=True)
        found.append(halve(whole, half, folder / half))
    return found


def test_halves_are_disjoint_equal_in_size_and_hold_all(tmp_path):
    draw = np.random.default_rng(0)
    whole = samples(tmp_path / "all", [f"{number:016x}" for number in draw.integers(0, 2**60, 101)])
    search, check = both(whole, tmp_path)
    assert set(search.rows) | set(check.rows) == set(whole.rows)
    assert not set(search.rows) & set(check.rows)
    assert abs(search.count - check.count) <= 1
    for half in (search, check):
        x, y = np.load(half.inputs[""]), np.load(half.labels[""])
        assert (x[:, 0] == y).all()
        assert [100 + label for label in y] == list(half.rows)


def test_equal_samples_are_in_one_half(tmp_path):
    whole = samples(tmp_path / "all", ["a", "b", "c", "d", "a", "b", "c", "d", "a"])
    search, check = both(whole, tmp_path)
    assert not set(search.digests) & set(check.digests)


def test_the_order_of_the_samples_does_not_matter(tmp_path):
    names = [f"{number:04d}" for number in range(20)]
    first, second = (samples(tmp_path / str(place), order) for place, order in enumerate((names, names[::-1])))
    assert set(both(first, tmp_path / "a")[0].digests) == set(both(second, tmp_path / "b")[0].digests)


def test_too_few_samples_are_refused(tmp_path):
    with pytest.raises(StageError, match="at least 4 different samples"):
        both(samples(tmp_path / "all", ["a", "b", "c", "a"]), tmp_path)
