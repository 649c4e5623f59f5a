"""What is told about calibration samples and their ranges, and the record of what was used."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import Engine, Ranges, Reference, Samples
from tflite_pipeline.convert.hygiene import inspect_ranges, manifest
from tflite_pipeline.convert.spec import Calibration, Quantization, Rule
from tflite_pipeline.dataset.hygiene import RULES, inspect
from tflite_pipeline.errors import StageError

ORDER = ["duplicates", "constant", "count", "classes", "overlap", "noise", "halves"]


@dataclasses.dataclass
class Bench:
    """Makes samples and ranges out of arrays, and inspects them."""

    folder: Path

    def samples(self, values: Any, labels: Any = None, name: str = "calibration", **fields: Any) -> Samples:
        inputs = values if isinstance(values, dict) else {"": values}
        labelled = labels if isinstance(labels, dict) else {} if labels is None else {"": labels}
        folder = self.folder / name
        paths = {"inputs": self.store(folder / "inputs", inputs), "labels": self.store(folder / "labels", labelled)}
        count = len(next(iter(inputs.values())))
        digests = tuple(digest_of([inputs[key][row] for key in sorted(inputs)]) for row in range(count))
        rows = tuple(range(0, 3 * count, 3))
        made = Samples("train", folder, paths["inputs"], paths["labels"], rows, digests, (), False, "the digest")
        return dataclasses.replace(made, **fields)

    def store(self, folder: Path, arrays: dict[str, Any]) -> dict[str, Path]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = {name: folder / f"{name or 'only'}.npy" for name in arrays}
        for name, path in paths.items():
            np.save(path, arrays[name])
        return paths

    def ranges(self, low: Any, high: Any, names: tuple[str, ...]) -> Ranges:
        paths = self.store(self.folder, {"low": np.asarray(low, "f4"), "high": np.asarray(high, "f4")})
        tensors = tuple(range(len(names)))
        return Ranges("sha", "the digest", tensors, names, paths["low"], paths["high"], len(low))

    def inspect(
        self,
        samples: Samples,
        evaluation: Samples | None = None,
        ranges: Ranges | None = None,
        layers: tuple[str, ...] = (),
    ) -> dict[str, tuple[str, str]]:
        settled = ranges or self.ranges(np.zeros((samples.count, 1)), np.ones((samples.count, 1)), ("x",))
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        found = inspect(samples, evaluation, out).findings + inspect_ranges(reference(layers), settled, out).findings
        assert not list(out.iterdir())
        return {finding["rule"]: (finding["level"], finding["text"]) for finding in found}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def digest_of(inputs: Any) -> str:
    return hashlib.sha256(b"".join(np.asarray(value).tobytes() for value in inputs)).hexdigest()[:16]


def reference(layers: tuple[str, ...] = ()) -> Reference:
    return Reference(Path("reference.tflite"), "sha", (), (), None, None, "", layers)


def distinct(count: int) -> Any:
    return np.arange(2 * count, dtype=np.float32).reshape(count, 2)


def test_everything_is_told_in_order_when_all_is_sound(bench: Bench) -> None:
    samples = bench.samples(distinct(100), np.arange(100) % 4, classes=("a", "b", "c", "d"))
    evaluation = bench.samples(distinct(5) - 100, np.arange(5) % 4, name="evaluation")
    found = bench.inspect(samples, evaluation)
    assert list(found) == [*RULES, "halves"] == ORDER
    assert found == {
        "duplicates": ("passed", "all samples are different."),
        "constant": ("passed", "no sample is one value all over."),
        "count": ("passed", "100 different samples, 100 or more."),
        "classes": ("passed", "every class has a sample."),
        "overlap": ("passed", "no sample is used for evaluation too."),
        "noise": ("passed", "the samples are not synthetic noise."),
        "halves": ("passed", "both halves of the samples give the same ranges of all tensors (1), within 20%."),
    }


def test_samples_are_refused_when_all_are_the_same(bench: Bench) -> None:
    with pytest.raises(StageError) as error:
        bench.inspect(bench.samples(np.tile(np.float32([[1, 2]]), (3, 1))))
    assert error.value.what == "calibration has 3 samples, all of them the same one: its ranges fit no other."
    assert error.value.remedy == (
        "Look at how the data was made: next(iter(ds)) in a loop gives the first sample every time. "
        "Go through ds once instead."
    )


def test_a_single_sample_is_no_duplicate(bench: Bench) -> None:
    found = bench.inspect(bench.samples(distinct(1)))
    assert found["duplicates"] == ("passed", "all samples are different.")
    assert found["count"] == (
        "warning",
        "1 different sample: a new one goes past the range of a tensor with a chance of up to 100 %. "
        "Set dataset.calibration.samples to 100 or more; 100 to 500 are usual.",
    )


def test_repeated_samples_are_told_with_their_rows(bench: Bench) -> None:
    values = distinct(10)
    values[[4, 9]] = values[1]
    advice = "they add nothing to the ranges. Take them out of the data."
    assert bench.inspect(bench.samples(values))["duplicates"] == (
        "warning",
        f"2 of 10 samples are the same as an earlier one (rows 12, 27): {advice}",
    )
    values[[2, 3, 5, 6]] = values[0]
    assert bench.inspect(bench.samples(values))["duplicates"] == (
        "warning",
        f"6 of 10 samples are the same as an earlier one (rows 6, 9, 12, 15, 18, …): {advice}",
    )


def test_samples_are_the_same_only_when_all_inputs_are(bench: Bench) -> None:
    same, other = np.ones((4, 2), np.float32), distinct(4)
    assert bench.inspect(bench.samples({"a": same, "b": other}))["duplicates"][0] == "passed"


def test_samples_are_refused_when_each_is_one_value(bench: Bench) -> None:
    with pytest.raises(StageError) as error:
        bench.inspect(bench.samples(np.repeat(np.arange(3, dtype=np.uint8), 4).reshape(3, 2, 2)))
    what = "calibration has 3 samples, and each is one value all over: their ranges fit no real input."
    assert error.value.what == what
    assert error.value.remedy.startswith("Look at the data and at dataset.preprocessing: a cast to integers")


def test_samples_of_one_value_are_told_with_their_rows(bench: Bench) -> None:
    values = distinct(6)
    values[2] = 0
    assert bench.inspect(bench.samples(values))["constant"] == (
        "warning",
        "1 of 6 samples are one value all over, as a black image is (row 6). "
        "Take them out of the data if that is not meant.",
    )


def test_a_sample_counts_as_one_value_only_when_every_input_is(bench: Bench) -> None:
    flat = np.ones((4, 3), np.float32)
    number = np.arange(4, dtype=np.float32)
    assert bench.inspect(bench.samples({"a": flat, "b": distinct(4)}))["constant"][0] == "passed"
    with pytest.raises(StageError, match="each is one value all over"):
        bench.inspect(bench.samples({"a": flat, "b": flat, "number": number}))


def test_single_numbers_are_not_taken_for_one_value(bench: Bench) -> None:
    assert bench.inspect(bench.samples({"a": np.arange(4), "b": np.ones((4, 1))}))["constant"] == (
        "note",
        "not checked whether a sample is one value all over: samples are single numbers.",
    )


@pytest.mark.parametrize(
    ("count", "level", "chance"), [(49, "warning", "4 %"), (50, "note", "4 %"), (99, "note", "2 %")]
)
def test_few_samples_are_told(count: int, level: str, chance: str, bench: Bench) -> None:
    text = f"{count} different samples: a new one goes past the range of a tensor with a chance of up to {chance}."
    advice = "Set dataset.calibration.samples to 100 or more; 100 to 500 are usual."
    assert bench.inspect(bench.samples(distinct(count)))["count"] == (level, f"{text} {advice}")


def test_chance_is_that_of_a_new_extreme() -> None:
    """The share of new draws beyond a range of 50, counted; the text says 4 %."""
    draws = np.random.default_rng(0).standard_normal((20_000, 51))
    beyond = (draws[:, -1] > draws[:, :-1].max(axis=1)) | (draws[:, -1] < draws[:, :-1].min(axis=1))
    assert beyond.mean() == pytest.approx(2 / 51, abs=0.005)


def test_repeated_samples_do_not_count(bench: Bench) -> None:
    values = distinct(100)
    values[0] = values[1]
    assert bench.inspect(bench.samples(values))["count"][1].startswith("99 different samples: ")


def test_classes_without_a_sample_are_named(bench: Bench) -> None:
    names = tuple(f"class{number}" for number in range(20))
    advice = "Set dataset.calibration.samples higher, or name rows of them in dataset.calibration.rows."
    some = bench.samples(distinct(18), np.arange(18), classes=names)
    assert bench.inspect(some)["classes"] == (
        "warning",
        f"no sample of 2 of 20 classes (class18, class19). {advice}",
    )
    few = bench.samples(distinct(4), np.arange(4), classes=names)
    listed = ", ".join(f"class{number}" for number in range(4, 14))
    assert bench.inspect(few)["classes"] == ("warning", f"no sample of 16 of 20 classes ({listed}, …). {advice}")


def test_evaluation_labels_tell_the_classes_when_the_source_does_not(bench: Bench) -> None:
    samples = bench.samples(distinct(4), {"kind": np.array([0, 1, 0, 1]), "age": np.zeros(4, np.float32)})
    labels = {"kind": np.array([0, 1, 7]), "age": np.ones(3, np.float32)}
    evaluation = bench.samples(distinct(3) - 9, labels, name="evaluation")
    assert bench.inspect(samples, evaluation)["classes"] == (
        "warning",
        "no sample of 1 of 3 classes of 'kind' (7). "
        "Set dataset.calibration.samples higher, or name rows of them in dataset.calibration.rows.",
    )
    whole = bench.samples(distinct(4), {"kind": np.array([0, 1, 0, 7])})
    assert bench.inspect(whole, evaluation)["classes"] == ("passed", "every class has a sample.")


@pytest.mark.parametrize("labels", [None, np.zeros(4, np.float32), np.zeros((4, 2), np.int64)])
def test_classes_are_not_checked_without_class_labels(labels: Any, bench: Bench) -> None:
    assert bench.inspect(bench.samples(distinct(4), labels))["classes"] == (
        "note",
        "not checked whether every class has a sample: the samples have no class labels.",
    )


def test_classes_are_not_checked_when_nothing_tells_them(bench: Bench) -> None:
    assert bench.inspect(bench.samples(distinct(4), np.arange(4)))["classes"] == (
        "note",
        "not checked whether every class has a sample: neither dataset.classes nor evaluation labels tell the classes.",
    )


def test_samples_that_are_evaluated_too_are_told(bench: Bench) -> None:
    samples = bench.samples(distinct(4), passed_over=2)
    assert bench.inspect(samples, bench.samples(distinct(2), name="evaluation"))["overlap"] == (
        "warning",
        "2 of 4 samples are used for evaluation too (rows 0, 3): the metrics may look better than they are. "
        "Use another split.",
    )


@pytest.mark.parametrize(("count", "rows"), [(1, "1 row"), (2, "2 rows")])
def test_rows_that_were_passed_over_are_told(count: int, rows: str, bench: Bench) -> None:
    evaluation = bench.samples(distinct(2) - 100, name="evaluation")
    assert bench.inspect(bench.samples(distinct(4), passed_over=count), evaluation)["overlap"] == (
        "note",
        f"{rows} of split 'train' passed over: evaluation uses the same samples.",
    )


def test_overlap_is_not_checked_without_evaluation(bench: Bench) -> None:
    assert bench.inspect(bench.samples(distinct(4)))["overlap"] == (
        "note",
        "not checked whether samples are used for evaluation too: nothing is evaluated.",
    )


def test_noise_is_told(bench: Bench) -> None:
    assert bench.inspect(bench.samples(distinct(4), synthetic=True))["noise"] == (
        "warning",
        "the samples are synthetic noise: their ranges fit no real input, and accuracy gates cannot pass. "
        "Use them for smoke runs only.",
    )


def test_halves_that_differ_are_told_with_tensor_and_layer(bench: Bench) -> None:
    low, high = np.zeros((20, 3)), np.full((20, 3), 10.0)
    low[3, 1] = -4  # an odd position: -4 against 0 of a width of 14
    high[4, 2] = 12.4  # 2.4 of 12.4 is within 20 %
    ranges = bench.ranges(low, high, ("in", "net/conv_1/Relu;net/bn/add", "out"))
    assert bench.inspect(bench.samples(distinct(20)), ranges=ranges, layers=("conv", "bn"))["halves"] == (
        "warning",
        "the halves of the samples give 1 of 3 tensors ranges that differ by more than 20%: "
        "'net/conv_1/Relu;net/bn/add' (layer conv, bn) [0, 10] and [-4, 10]. "
        "Use more samples, or a calibration method that leaves out rare values.",
    )


def test_a_few_tensors_whose_halves_differ_are_a_note(bench: Bench) -> None:
    high = np.ones((20, 8))
    high[0, :2] = 9
    found = bench.inspect(bench.samples(distinct(20)), ranges=bench.ranges(high * 0, high, tuple("abcdefgh")))["halves"]
    assert found[0] == "note"


def test_the_five_worst_halves_are_told_first(bench: Bench) -> None:
    low, high = np.zeros((20, 8)), np.ones((20, 8))
    high[::2] = np.array([2, 8, 4, 1, 9, 3, 7, 1.1])
    found = bench.inspect(bench.samples(distinct(20)), ranges=bench.ranges(low, high, tuple("abcdefgh")))["halves"]
    assert found == (
        "warning",
        "the halves of the samples give 6 of 8 tensors ranges that differ by more than 20%: "
        "'e' [0, 9] and [0, 1]; 'b' [0, 8] and [0, 1]; 'g' [0, 7] and [0, 1]; 'c' [0, 4] and [0, 1]; "
        "'f' [0, 3] and [0, 1]; …. Use more samples, or a calibration method that leaves out rare values.",
    )


def test_long_names_are_cut_and_layers_are_not(bench: Bench) -> None:
    name = f"net/first/Relu;{'net/second/add;' * 5}net/third/add"
    high = np.ones((20, 1))
    high[0] = 2
    ranges, layers = bench.ranges(high * 0, high, (name,)), ("first", "second", "third")
    text = bench.inspect(bench.samples(distinct(20)), ranges=ranges, layers=layers)["halves"][1]
    assert f": '{name[:60]}…' (layer first, second, third) [0, 2] and [0, 1]. " in text


def test_tensor_of_one_value_has_equal_halves(bench: Bench) -> None:
    ranges = bench.ranges(np.zeros((20, 1)), np.zeros((20, 1)), ("x",))
    assert bench.inspect(bench.samples(distinct(20)), ranges=ranges)["halves"][0] == "passed"


def test_halves_are_not_checked_when_samples_are_few(bench: Bench) -> None:
    assert bench.inspect(bench.samples(distinct(19)))["halves"] == (
        "note",
        "not checked whether half of the samples gives the same ranges as the other half: needs 20 samples, got 19.",
    )


def test_blocks_do_not_change_what_is_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    values = distinct(31)
    values[[4, 30]] = 5
    low, high = np.random.default_rng(0).normal(size=(2, 31, 3))
    low[17, 2] = -20
    ranges = bench.ranges(low, np.maximum(low, high), ("a", "b", "c"))
    whole = bench.inspect(bench.samples(values), ranges=ranges)
    assert (whole["constant"][0], whole["halves"][0]) == ("warning", "warning")
    for size in (1, 40):
        monkeypatch.setattr("tflite_pipeline.runtime.rows.BLOCK_BYTES", size)
        assert bench.inspect(bench.samples(values), ranges=ranges) == whole


@pytest.mark.slow
def test_memory_does_not_grow_with_the_count(bench: Bench) -> None:
    """400 MB are read; the process must grow by far less."""
    path = bench.folder / "x.npy"
    values = np.lib.format.open_memmap(path, "w+", "u1", (400, 1_000_000))
    values[:, 0] = 1
    del values
    code = f"""
import resource
from pathlib import Path
from tflite_pipeline.artifacts import Samples
from tflite_pipeline.dataset import hygiene
rows = tuple(range(400))
samples = Samples("s", Path(), {{"": Path({str(path)!r})}}, {{}}, rows, tuple(map(str, rows)), (), False, "")
case = hygiene.Case(samples, None)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
assert hygiene.RULES["constant"](case)[0] == "passed"
print((peak() - before) // 1024)
"""
    grown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert int(grown) < 60


def test_manifest_holds_what_calibration_was_made_of(bench: Bench) -> None:
    samples = bench.samples(distinct(2), passed_over=1)
    findings = ({"rule": "noise", "level": "passed", "text": "no noise."},)
    made = manifest(samples, Quantization(scheme="full_int8"), Engine("mlir", ""), 7, reference(), findings)
    assert json.loads(json.dumps(made)) == {
        "calibration": 1,
        "split": "train",
        "seed": 7,
        "method": "sample_percentile",
        "rules": [],
        "reference": {"sha256": "sha"},
        "samples": {"sha256": "the digest", "count": 2, "passed_over": 1, "synthetic": False},
        "findings": [{"rule": "noise", "level": "passed", "text": "no noise."}],
        "rows": [{"row": 0, "sha256": samples.digests[0]}, {"row": 3, "sha256": samples.digests[1]}],
    }


@pytest.mark.parametrize(
    ("scheme", "engine", "asked", "method"),
    [
        ("full_int8", "mlir", "auto", "sample_percentile"),
        ("full_int8", "mlir", "mse", "mse"),
        ("full_int8", "converter", "auto", "minmax"),
        ("int16x8", "mlir", "auto", "minmax"),
        ("int16x8", "mlir", "mse", "minmax"),
        ("int16x8", "mlir", "moving_average", "moving_average"),
        ("mixed", "ai_edge", "auto", "sample_percentile"),
    ],
)
def test_manifest_names_the_method_that_was_used(
    bench: Bench, scheme: str, engine: str, asked: Any, method: str
) -> None:
    spec = Quantization(scheme=scheme, calibration=Calibration(method=asked))
    made = manifest(bench.samples(distinct(2)), spec, Engine(engine, ""), 0, reference(), ())
    assert made["method"] == method


def test_manifest_names_percentile_and_methods_of_layers(bench: Bench) -> None:
    rules = (Rule(layer="conv", method="percentile"), Rule(op="SOFTMAX", scheme="float32"))
    calibration = Calibration(method="mse", percentile=99.9)
    spec = Quantization(scheme="mixed", calibration=calibration, rules=rules)
    made = manifest(bench.samples(distinct(2)), spec, Engine("mlir", ""), 0, reference(), ())
    assert (made["method"], made["percentile"]) == ("mse", 99.9)
    assert made["rules"] == [{"layer": "conv", "method": "percentile"}]
