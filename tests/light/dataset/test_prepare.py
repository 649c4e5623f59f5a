"""The stage that writes the samples of a role."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from tflite_pipeline.artifacts import Samples
from tflite_pipeline.dataset.prepare import Role, prepare
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.errors import StageError

HALVES = {"train": "0:5", "test": "5:"}
X = np.arange(20, dtype=np.float64).reshape(10, 2)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def run_stage(
        role: Role, keys: dict[str, Any], taken: tuple[str, ...] = (), seed: int = 0, **arrays: Any
    ) -> Samples:
        if arrays:
            np.savez(tmp_path / "a.npz", **arrays)
            keys = {"source": "npz", "path": str(tmp_path / "a.npz"), "inputs": "x", "splits": HALVES, **keys}
        out = tmp_path / f"{role}{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        return prepare(TypeAdapter[Any](Dataset).validate_python(keys), role, seed, taken, out)

    return run_stage


def test_samples_and_labels_are_written(run: Any) -> None:
    samples = run(
        "evaluation",
        {"labels": "y", "preprocessing": [{"scale": {"factor": 0.5}}]},
        x=X,
        y=np.arange(10, dtype=np.uint8),
    )
    values, labels = np.load(samples.inputs[""]), np.load(samples.labels[""])
    assert (values.dtype, values.tolist()) == (np.float32, (X[5:] / 2).tolist())
    assert (labels.dtype, labels.tolist(), samples.rows) == (np.int64, [5, 6, 7, 8, 9], (5, 6, 7, 8, 9))
    assert (samples.inputs[""], samples.labels[""]) == (
        samples.folder / "inputs" / "input.npy",
        samples.folder / "labels" / "output.npy",
    )
    assert (samples.split, samples.classes, samples.synthetic, samples.passed_over) == ("test", (), False, 0)


def test_digests_are_of_the_input_bytes(run: Any) -> None:
    samples = run("evaluation", {}, x=X)
    first = np.load(samples.inputs[""])[0]
    assert samples.digests[0] == hashlib.sha256(first.tobytes()).hexdigest()[:16]
    assert samples.digest == run("evaluation", {}, x=X).digest
    assert samples.digest != run("evaluation", {}, x=X + 1).digest
    assert samples.digest != run("evaluation", {"labels": "y"}, x=X, y=np.arange(10)).digest


@pytest.mark.parametrize(
    ("dtype", "written"),
    [("f8", "float32"), ("f2", "float32"), (">f4", "float32"), ("u1", "uint8"), (">i2", "int16"), ("i8", "int64")],
)
def test_integers_keep_their_dtype_and_floats_become_float32(dtype: str, written: str, run: Any) -> None:
    values = np.load(run("evaluation", {}, x=X.astype(dtype)).inputs[""])
    assert (str(values.dtype), values.tolist()) == (written, X[5:].tolist())


def test_inputs_by_name_are_files_by_name(run: Any) -> None:
    keys = {"inputs": {"left": "x", "in/right:0": "z"}, "preprocessing": {"in/right:0": [{"scale": {"offset": 1.0}}]}}
    samples = run("evaluation", keys, x=X, z=X[:, :1])
    assert list(samples.inputs) == ["left", "in/right:0"]
    assert np.load(samples.inputs["left"]).tolist() == X[5:].tolist()
    assert np.load(samples.inputs["in/right:0"]).tolist() == (X[5:, :1] + 1).tolist()
    assert {path.parent for path in samples.inputs.values()} == {samples.folder / "inputs"}


def test_steps_of_an_unknown_input_are_refused(run: Any) -> None:
    with pytest.raises(StageError, match=r"dataset\.preprocessing\.lft must be steps by input name \(left, right\)"):
        run("evaluation", {"inputs": {"left": "x", "right": "x"}, "preprocessing": {"lft": []}}, x=X)


def test_calibration_passes_over_evaluation_samples(run: Any) -> None:
    twins = np.concatenate([X[:5], X[:3], X[8:]])
    taken = run("evaluation", {}, x=twins).digests
    samples = run("calibration", {"calibration": {"split": "train", "samples": 2}}, taken, x=twins)
    assert samples.rows == (3, 4)
    everything = run("calibration", {"calibration": {"split": "train"}}, taken, x=twins)
    assert (everything.rows, everything.passed_over) == ((3, 4), 3)
    with pytest.raises(StageError, match=r"Got 2: the split has 5 rows, of which 3 equal evaluation samples"):
        run("calibration", {"calibration": {"split": "train", "samples": 3}}, taken, x=twins)
    with pytest.raises(StageError, match=r"must not be evaluation samples\. Got 2, 0,"):
        run("calibration", {"calibration": {"split": "train", "rows": [2, 4, 0]}}, taken, x=twins)


def test_named_rows_keep_their_order(run: Any) -> None:
    samples = run("calibration", {"calibration": {"split": "test", "rows": [3, 0]}}, x=X)
    assert (samples.rows, np.load(samples.inputs[""])[0].tolist()) == ((8, 5), [16, 17])


def test_drawn_rows_are_stratified(run: Any) -> None:
    keys = {"source": "digits", "calibration": {"split": "train", "samples": 50}}
    samples = run("calibration", keys)
    assert np.bincount(np.load(samples.labels[""])).tolist() == [5] * 10
    assert samples.rows == tuple(sorted(samples.rows))
    assert run("calibration", keys, seed=1).rows != samples.rows


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_value_that_is_not_finite_is_named(value: float, run: Any) -> None:
    bad = X.copy()
    bad[7, 1] = value
    with pytest.raises(StageError, match=r"^split 'test', row 7 \(x\[7\] of a\.npz\): must hold finite numbers"):
        run("evaluation", {}, x=bad)


@pytest.mark.parametrize(
    ("steps", "what", "remedy"),
    [
        (
            [],
            "[-1, 1] after preprocessing. Got 15, where the source has values from 14 to 15.",
            "a missing scale or normalize step",
        ),
        (
            [{"scale": {"factor": 0.1, "offset": -5.0}}],
            "[-1, 1] after preprocessing. Got -4, where the source has values from 10 to 11.",
            "a scale or normalize step that does not fit",
        ),
    ],
)
@pytest.mark.parametrize("role", ["training", "calibration", "evaluation"])
def test_value_outside_the_range_is_named(role: Role, steps: Any, what: str, remedy: str, run: Any) -> None:
    keys = {"preprocessing": steps, "range": [-1, 1], role: {"split": "test"}}
    values = X.copy()
    if not steps:
        values[5:7] = 0  # the first sample and one more are sound
    with pytest.raises(StageError) as error:
        run(role, keys, x=values)
    row = 5 if steps else 7
    place = f"split 'test', row {row} (x[{row}] of a.npz)"
    assert error.value.what == f"{place}: must hold values in dataset.range {what}"
    assert error.value.remedy == (
        f"The likely cause is {remedy}: correct dataset.preprocessing, or dataset.range where it is wrong."
    )


def test_value_outside_the_range_of_its_input_is_named(run: Any) -> None:
    keys = {"inputs": {"left": "x", "right": "z"}, "range": {"right": [-0.5, 1]}}
    small = np.full((10, 1), 0.5, np.float32)
    assert run("evaluation", keys, x=X, z=small).count == 5
    small[8] = -0.6
    with pytest.raises(StageError, match=r"^input 'right', split 'test', row 8 .* \[-0\.5, 1\] .*\. Got -0\.6, where"):
        run("evaluation", keys, x=X, z=small)


def test_range_takes_its_ends_and_what_rounding_adds(run: Any) -> None:
    ends = np.tile(np.array([-1 - 1.9e-6, 1 + 1.9e-6]), (10, 1))
    assert run("evaluation", {"range": [-1, 1]}, x=ends).count == 5
    for column, value in ((0, -1 - 3e-6), (1, 1 + 3e-6)):
        beyond = ends.copy()
        beyond[9, column] = value
        with pytest.raises(StageError, match=rf"row 9 .* Got {'-' if value < 0 else ''}1\.00000\d+, where"):
            run("evaluation", {"range": [-1, 1]}, x=beyond)


def test_integers_have_a_range_too(run: Any) -> None:
    images = np.arange(20, dtype=np.uint8).reshape(10, 2)
    assert run("evaluation", {"range": [10, 19]}, x=images).count == 5
    with pytest.raises(StageError, match=r"row 9 .* Got 19, where the source has values from 18 to 19\."):
        run("evaluation", {"range": [0, 18]}, x=images)


def test_range_of_an_unknown_input_is_refused(run: Any) -> None:
    keys = {"inputs": {"left": "x", "right": "x"}, "range": {"lft": [0, 1]}}
    text = r"^dataset\.range\.lft must be the name of an input \(left, right\)\. Got 'lft'\. Did you mean 'left'\?"
    with pytest.raises(StageError, match=text) as error:
        run("evaluation", keys, x=X)
    assert error.value.remedy == "Correct dataset.range."


@pytest.mark.parametrize(
    ("labels", "keys", "text"),
    [
        (
            np.arange(10) - 6,
            {},
            "split 'test', row 5 (x[5] of a.npz): labels must be class numbers, at least 0. Got -1",
        ),
        (
            np.arange(10),
            {"classes": ["a"] * 9},
            "row 9 (x[9] of a.npz): labels must be class numbers from 0 to 8. Got 9",
        ),
        (np.arange(10) / 2, {"classes": ["a"] * 9}, "labels must be class numbers (integers) from 0 to 8. Got 2.5"),
        (np.full(10, np.nan), {}, "labels must be finite numbers. Got nan"),
    ],
)
def test_label_that_cannot_be_is_named(labels: Any, keys: dict[str, Any], text: str, run: Any) -> None:
    with pytest.raises(StageError) as error:
        run("evaluation", {"labels": "y", **keys}, x=X, y=labels)
    assert text in error.value.what


def test_labels_that_are_no_classes_are_kept(run: Any) -> None:
    values = np.load(run("evaluation", {"labels": "y"}, x=X, y=-X).labels[""])
    assert (values.dtype, values.tolist()) == (np.float32, (-X[5:]).tolist())


def test_split_without_labels_has_none(run: Any) -> None:
    splits = {"train": {"inputs": "x"}, "test": {"inputs": "x", "labels": "y"}}
    arrays = {"x": X, "y": np.arange(10)}
    assert run("training", {"inputs": None, "splits": splits}, **arrays).labels == {}
    assert np.load(run("evaluation", {"inputs": None, "splits": splits}, **arrays).labels[""]).tolist() == list(
        range(10)
    )


def images(folder: Path, sizes: list[tuple[int, int]]) -> dict[str, Any]:
    (folder / "a").mkdir(parents=True)
    for number, size in enumerate(sizes):
        Image.new("RGB", size, (number, 0, 0)).save(folder / "a" / f"{number}.png")
    return {"source": "image_folder", "path": str(folder), "splits": {"all": "0:"}, "evaluation": {"split": "all"}}


def test_samples_of_different_shapes_are_named(run: Any, tmp_path: Path) -> None:
    keys = images(tmp_path / "images", [(4, 4), (4, 4), (5, 4)])
    with pytest.raises(StageError) as error:
        run("evaluation", keys)
    place = f"split 'all', row 2 ({tmp_path / 'images' / 'a' / '2.png'})"
    assert error.value.what.startswith(f"{place}: all samples must have one shape and dtype. Got (4, 5, 3) uint8,")
    resized = run("evaluation", keys | {"preprocessing": [{"resize": {"height": 2, "width": 2}}]})
    assert np.load(resized.inputs[""])[2, 0, 0].tolist() == [2, 0, 0]


def test_image_that_cannot_be_read_is_named_with_its_row(run: Any, tmp_path: Path) -> None:
    keys = images(tmp_path / "images", [(40, 40)] * 3)
    bad = tmp_path / "images" / "a" / "1.png"
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(StageError) as error:
        run("evaluation", keys)
    assert error.value.what.startswith(f"split 'all', row 1: {bad} cannot be decoded")


def test_step_that_fails_names_the_row(run: Any) -> None:
    with pytest.raises(StageError, match=r"row 5 \(x\[5\] of a\.npz\): preprocessing step 1 \(crop\) needs"):
        run("evaluation", {"preprocessing": [{"crop": {"height": 1, "width": 1}}]}, x=X)


@pytest.mark.slow
def test_samples_larger_than_the_disk_are_refused_before_they_are_written(run: Any, tmp_path: Path) -> None:
    keys = {"source": "synthetic", "shape": [5_000_000], "samples": 2_000_000, "splits": {"train": "0:", "test": "0:1"}}
    with pytest.raises(StageError, match=r"the 2000000 training samples need 40000\.0 GB") as error:
        run("training", keys)
    assert error.value.remedy.startswith("Set dataset.training.samples to at most ")
    assert not list(tmp_path.rglob("*.npy"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_count(tmp_path: Path) -> None:
    """400 MB are written; the process must grow by far less."""
    code = f"""
import resource
from pathlib import Path
from tflite_pipeline.dataset.prepare import prepare
from tflite_pipeline.dataset.spec import Synthetic
spec = Synthetic(source="synthetic", shape=(1_000_000,), samples=100, splits={{"test": "0:"}})
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
prepare(spec, "evaluation", 0, (), Path({str(tmp_path)!r}))
print((peak() - before) // 1024)
"""
    grown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert (tmp_path / "inputs" / "input.npy").stat().st_size > 400_000_000
    assert int(grown) < 120


def test_progress_is_told() -> None:
    code = """
import sys, tempfile
from pathlib import Path
from tflite_pipeline.dataset.prepare import prepare
from tflite_pipeline.dataset.spec import Synthetic
from tflite_pipeline.runtime.progress import send_to
send_to(lambda done, total, what: print(done, total, what))
spec = Synthetic(source="synthetic", shape=(1,), samples=2, splits={"test": "0:"})
prepare(spec, "evaluation", 0, (), Path(tempfile.mkdtemp()))
"""
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.splitlines() == ["1 2 evaluation samples", "2 2 evaluation samples"]
