"""Rows of a file are those of its array."""

from __future__ import annotations

import numpy as np
import pytest

from tflite_pipeline.runtime.rows import stored_rows


@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 2, 3), (7, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_stored_rows_are_those_of_the_file(tmp_path, shape, order) -> None:
    values = np.asarray(np.random.default_rng(0).normal(size=shape).astype("f4"), order=order)
    np.save(tmp_path / "x.npy", values)
    rows = stored_rows(tmp_path / "x.npy")
    assert (rows.shape, rows.dtype) == (shape, np.float32)
    for part in (slice(0, 7), slice(2, 3), slice(5, 99), slice(9, 12)):
        np.testing.assert_array_equal(rows[part], values[part])
