"""What each calibration method makes of known distributions, and which tensors it is kept from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import Histograms, Ranges, Reference, file_digest
from tflite_pipeline.convert.engines.job import Limits
from tflite_pipeline.convert.methods import METHODS, SMOOTHING, choose_limits
from tflite_pipeline.convert.plan import Plan, make_plan
from tflite_pipeline.convert.spec import HISTOGRAM_METHODS, Calibration, Quantization, Rule
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.graph import read_graphs

FLOAT = Path(__file__).parents[2] / "data" / "float32.tflite"
INPUT, HIDDEN, SCORES, OUTPUT = 0, 3, 4, 5
"""Tensors of the file: a dense layer makes HIDDEN, another one SCORES, SOFTMAX makes OUTPUT."""
BINS, SAMPLES = 2048, 50
EVERY = sorted(METHODS)
HISTOGRAM = sorted(HISTOGRAM_METHODS)

Array = np.ndarray[Any, Any]


class Bench:
    """Makes ranges and histograms out of raw values, and asks for the limits."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, FLOAT

    def reference(self) -> Reference:
        inputs, outputs = litert.describe(self.path)
        return Reference(self.path, file_digest(self.path), inputs, outputs, None, None, "test")

    def seen(self, values: dict[int, Array]) -> tuple[Ranges, Histograms]:
        rows = {tensor: row.astype(np.float32).reshape(SAMPLES, -1) for tensor, row in values.items()}
        low = np.stack([row.min(axis=1) for row in rows.values()], axis=1)
        high = np.stack([row.max(axis=1) for row in rows.values()], axis=1)
        ends = [(float(row.min()), float(row.max())) for row in rows.values()]
        counts = [histogram(row, *end) for row, end in zip(rows.values(), ends, strict=True)]
        for name, array in (("low", low), ("high", high), ("counts", np.stack(counts))):
            np.save(self.folder / f"{name}.npy", array)
        names = tuple(map(str, rows))
        sha256, paths = file_digest(self.path), [self.folder / f"{name}.npy" for name in ("low", "high", "counts")]
        ranges = Ranges(sha256, "samples", tuple(rows), names, paths[0], paths[1], SAMPLES)
        return ranges, Histograms(sha256, "samples", paths[2], *(tuple(side) for side in zip(*ends, strict=True)))

    def limits(self, spec: Quantization, values: dict[int, Array], plan: Plan | None = None) -> Limits:
        reference, (ranges, histograms) = self.reference(), self.seen(values)
        plan = plan or make_plan(spec, read_graphs(reference.path), ())
        needed = histograms if spec.methods & HISTOGRAM_METHODS else None
        found = choose_limits(spec, reference, plan, ranges, needed)
        assert found is not None
        return found

    def hidden(self, values: Array, method: str, scheme: str = "full_int8", **fields: Any) -> tuple[float, float]:
        """The limits of the one tensor that every method may clip."""
        spec = asked(method, scheme, **fields)
        return self.limits(spec, {HIDDEN: values})[HIDDEN]


def asked(method: str, scheme: str = "full_int8", **fields: Any) -> Quantization:
    percent = fields.pop("percentile", None)
    calibration = {"method": method} | ({"percentile": percent} if percent else {})
    return Quantization(scheme=scheme, calibration=Calibration.model_validate(calibration), **fields)


def histogram(values: Array, low: float, high: float) -> Array:
    places = (values.ravel().astype(np.float64) - low) * (BINS / (high - low or 1))
    return np.bincount(np.clip(places, 0, BINS - 1).astype(np.int64), minlength=BINS)


def error(values: Array, low: float, high: float, steps: int = 255) -> float:
    """Mean squared error of the values rounded to integers, with zero among them."""
    scale = (high - low) / steps
    zero = np.rint(-low / scale)
    rounded = np.clip(np.rint(values / scale), -zero, steps - zero) * scale
    return float(np.mean((values - rounded) ** 2))


def least_error(values: Array) -> float:
    """The least error of 50 x 50 ranges, on the raw values."""
    shares = np.geomspace(1, 0.2, 50)
    lows = np.unique(min(values.min(), 0.0) * shares)
    highs = np.unique(max(values.max(), 0.0) * shares)
    coarse = lows[::7], highs[::7]
    _, low, high = min((error(values, low, high), low, high) for low in coarse[0] for high in coarse[1])
    near_low = lows[np.abs(lows - low) <= 0.2 * abs(low)][::2]
    near_high = highs[np.abs(highs - high) <= 0.2 * abs(high)][::2]
    return min(error(values, low, high) for low in near_low for high in near_high)


def drawn(kind: str) -> Array:
    random = np.random.default_rng(7)
    size = SAMPLES * 400
    normal = random.normal(size=size)
    makers: dict[str, Callable[[], Array]] = {
        "normal": lambda: normal,
        "outliers": lambda: with_values(normal, [14, 13.5, -13, -14]),
        "relu": lambda: np.maximum(normal, 0),
        "sparse": lambda: with_values(np.maximum(normal - 1, 0), [9]),
        "negative": lambda: -np.abs(normal),
        "laplace": lambda: random.laplace(size=size),
        "relu6": lambda: np.clip(random.normal(3, 3, size), 0, 6),
        "uniform": lambda: random.uniform(-2, 5, size),
        "positive": lambda: random.uniform(0, 1, size),
        "pixels": lambda: random.integers(0, 256, size) / 255,
        "away": lambda: random.normal(100, 1, size),
    }
    return makers[kind]().astype(np.float32)


def with_values(values: Array, few: Sequence[float]) -> Array:
    changed = values.copy()
    changed[: len(few)] = few
    return changed


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_no_limits_without_ranges(bench: Bench) -> None:
    spec = asked("minmax", "dynamic_int8")
    plan = make_plan(spec, read_graphs(FLOAT), ())
    assert choose_limits(spec, bench.reference(), plan, None, None) is None


def test_minmax_takes_the_smallest_and_the_largest_of_all_samples(bench: Bench) -> None:
    values = drawn("outliers")
    assert bench.hidden(values, "minmax") == (values.min(), values.max())


def test_moving_average_follows_the_samples_in_a_drawn_order(bench: Bench) -> None:
    highs = np.linspace(3, 1, SAMPLES)
    drawn_first, *others = np.random.default_rng(0).permutation(SAMPLES)
    expected = highs[drawn_first]
    for row in others:
        expected = SMOOTHING * expected + (1 - SMOOTHING) * highs[row]
    values = np.stack([-highs / 2, highs], axis=1)
    assert bench.hidden(values, "moving_average") == pytest.approx((-expected / 2, expected), rel=1e-6)
    # 3, then 0.95 * 3 + 0.05 * 1 = 2.9, and so on towards 1.
    once = np.where(np.arange(SAMPLES) == drawn_first, 3.0, 1.0)
    assert bench.hidden(once, "moving_average")[1] == pytest.approx(1 + 2 * 0.95**49)


def test_sample_percentile_holds_nine_samples_in_ten(bench: Bench) -> None:
    highs = np.arange(1.0, SAMPLES + 1)
    values = np.stack([-highs / 2, highs], axis=1)
    expected = np.percentile(highs, 90)
    assert bench.hidden(values, "sample_percentile") == pytest.approx((-expected / 2, expected), rel=1e-6)
    assert bench.hidden(values, "auto") == bench.hidden(values, "sample_percentile")
    assert bench.hidden(values, "auto", "int16x8") == (-SAMPLES, SAMPLES)


def test_moving_average_is_not_that_of_the_last_class(bench: Bench) -> None:
    """Samples sorted by class: the first half reaches 10, the second 1."""
    assert bench.hidden(np.repeat([10.0, 1.0], SAMPLES // 2), "moving_average")[1] > 3


@pytest.mark.parametrize("share", [90, 99, 99.9])
@pytest.mark.parametrize("kind", ["normal", "negative", "uniform", "laplace"])
def test_percentile_is_that_of_the_values_to_within_a_bin(bench: Bench, kind: str, share: float) -> None:
    values = drawn(kind)
    width = float(np.ptp(values)) / BINS
    expected = np.percentile(values, [100 - share, share])
    found = bench.hidden(values, "percentile", percentile=share)
    assert found == pytest.approx((min(expected[0], 0), max(expected[1], 0)), abs=1.01 * width)


@pytest.mark.parametrize("kind", ["normal", "outliers", "relu", "sparse", "negative", "laplace", "uniform"])
def test_mse_comes_near_the_least_error_that_any_range_has_on_the_raw_values(bench: Bench, kind: str) -> None:
    values = drawn(kind)
    assert error(values, *bench.hidden(values, "mse")) <= 1.05 * least_error(values)


@pytest.mark.parametrize("method", HISTOGRAM)
def test_outliers_are_clipped_and_the_rest_is_stored_better(bench: Bench, method: str) -> None:
    values = drawn("outliers")
    low, high = bench.hidden(values, method, percentile=99.9 if method == "percentile" else None)
    assert -13.9 < low < -2.5
    assert 2.5 < high < 13.9
    bulk = values[np.abs(values) < 6]
    assert error(bulk, low, high) < 0.95 * error(bulk, float(values.min()), float(values.max()))


@pytest.mark.parametrize("method", HISTOGRAM)
def test_every_histogram_method_stores_a_long_tail_better_than_minmax(bench: Bench, method: str) -> None:
    random = np.random.default_rng(7)
    values = with_values(random.normal(size=SAMPLES * 20000), [8, -8])
    limits = bench.hidden(values, method, percentile=99.995 if method == "percentile" else None)
    assert error(values, *limits) < 0.6 * error(values, -8, 8)


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("kind", ["uniform", "positive", "pixels", "relu6"])
def test_nothing_much_is_clipped_where_values_fill_their_range(bench: Bench, kind: str, method: str) -> None:
    values = drawn(kind)
    expected = (min(float(values.min()), 0.0), float(values.max()))
    assert bench.hidden(values, method) == pytest.approx(expected, abs=0.02 * float(np.ptp(values)))


@pytest.mark.parametrize("method", ["mse", "entropy"])
def test_zeros_do_not_decide(bench: Bench, method: str) -> None:
    values = drawn("relu")
    behind_relu = bench.hidden(values, method)
    sparse = bench.hidden(np.concatenate([values, np.zeros(9 * values.size)]), method)
    assert sparse == pytest.approx(behind_relu, rel=0.02)


def test_entropy_is_not_led_by_values_that_pile_up_at_one_point(bench: Bench) -> None:
    values = drawn("relu")
    alone = bench.hidden(values, "entropy")[1]
    for point in (0.31, 0.512, 1.1):
        background = np.full(values.size, point)
        assert bench.hidden(np.concatenate([values, background]), "entropy")[1] == pytest.approx(alone, rel=0.05)


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize(("value", "expected"), [(0.0, (0.0, 1.0)), (3.0, (0.0, 3.0)), (-2.0, (-2.0, 0.0))])
def test_a_constant_has_a_range_from_zero_to_it(
    bench: Bench, method: str, value: float, expected: tuple[float, float]
) -> None:
    assert bench.hidden(np.full(SAMPLES * 4, value), method) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("method", EVERY)
def test_values_far_from_zero_keep_most_of_their_range(bench: Bench, method: str) -> None:
    values = drawn("away")
    low, high = bench.hidden(values, method)
    assert low == 0
    assert np.percentile(values, 99) < high <= values.max()


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("size", [1e-38, 1e-15, 1e-9])
@pytest.mark.parametrize(("scheme", "steps"), [("full_int8", 255), ("int16x8", 65534)])
def test_the_scale_is_never_less_than_kernels_bear(
    bench: Bench, method: str, size: float, scheme: str, steps: int
) -> None:
    low, high = bench.hidden(drawn("normal") * size, method, scheme)
    scale = (high - low) / steps
    assert 6 / scale < 2**31 - 1
    # The place of zero stays what it was.
    assert 0.6 < -low / high < 1.6


@pytest.mark.parametrize(("scheme", "method"), [("full_int8", "sample_percentile"), ("int16x8", "minmax")])
def test_auto_is_a_method_that_suits_the_bits(bench: Bench, scheme: str, method: str) -> None:
    values = drawn("outliers")
    assert bench.hidden(values, "auto", scheme) == bench.hidden(values, method, scheme)
    assert bench.hidden(values, "minmax", "full_int8") != bench.hidden(values, "sample_percentile", "full_int8")


@pytest.mark.parametrize("method", EVERY)
def test_int16_is_symmetric_and_not_clipped_by_a_histogram(bench: Bench, method: str) -> None:
    values = drawn("outliers")
    low, high = bench.hidden(values, method, "int16x8")
    assert low == -high
    if method not in ("moving_average", "sample_percentile"):
        assert high == np.abs(values).max()


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("kind", ["outliers", "relu", "negative", "uniform", "away"])
def test_symmetric_limits_put_zero_at_the_integer_zero(bench: Bench, kind: str, method: str) -> None:
    low, high = bench.hidden(drawn(kind), method, symmetric_activations=True)
    assert -128 - low / ((high - low) / 255) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("kind", ["normal", "outliers", "relu", "negative", "laplace"])
def test_mse_comes_near_the_least_error_of_symmetric_ranges(bench: Bench, kind: str) -> None:
    values = drawn(kind)
    ends = np.abs(values).max() * np.geomspace(1, 0.2, 200)
    least = min(error(values, -end * 128 / 127, end) for end in ends)
    assert error(values, *bench.hidden(values, "mse", symmetric_activations=True)) <= 1.05 * least


@pytest.mark.parametrize("method", ["moving_average", *HISTOGRAM])
def test_what_the_app_feeds_and_is_told_is_not_clipped(bench: Bench, method: str) -> None:
    values = drawn("outliers")
    limits = bench.limits(asked(method), dict.fromkeys((INPUT, HIDDEN, SCORES, OUTPUT), values))
    whole = (values.min(), values.max())
    assert {tensor for tensor, found in limits.items() if found == whole} == {INPUT, SCORES, OUTPUT}


def test_reshaping_keeps_the_range_of_what_is_not_clipped(bench: Bench) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model = flatbuffer.unpack(FLOAT)
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.SOFTMAX:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    bench.path = bench.folder / "reshaped.tflite"
    bench.path.write_bytes(flatbuffer.pack(model))
    values = drawn("outliers")
    limits = bench.limits(asked("mse"), dict.fromkeys((HIDDEN, SCORES, OUTPUT), values))
    assert limits[SCORES] == limits[OUTPUT] == (values.min(), values.max())
    assert limits[HIDDEN][1] < values.max()


def test_a_rule_gives_its_layers_their_method(bench: Bench) -> None:
    values = drawn("outliers")
    rules = (Rule(tensor="*scores*", method="mse"), Rule(op="FULLY_CONNECTED", method="minmax"))
    spec = asked("entropy", rules=rules)
    limits = bench.limits(spec, dict.fromkeys((HIDDEN, SCORES), values))
    assert limits[HIDDEN] == (values.min(), values.max())
    assert limits[SCORES] == bench.hidden(values, "mse")


@pytest.mark.parametrize(
    ("schemes", "same_as"),
    [
        (("full_int8", "full_int8"), ("mse", "full_int8")),
        (("float32", "full_int8"), ("mse", "full_int8")),
        (("full_int8", "int16x8"), ("mse", "full_int8")),
        (("int16x8", "full_int8"), ("minmax", "full_int8")),
        (("int16x8", "float32"), ("minmax", "int16x8")),
        (("float32", "float32"), ("mse", "full_int8")),
    ],
)
def test_bits_are_those_of_the_op_that_makes_a_tensor(
    bench: Bench, schemes: tuple[str, str], same_as: tuple[str, str]
) -> None:
    values = drawn("outliers")
    spec = asked("mse", "mixed", rules=(Rule(op="FULLY_CONNECTED", scheme="full_int8"),))
    plan = Plan({(0, 0): schemes[0], (0, 1): schemes[1], (0, 2): "float32"}, {HIDDEN: "mse"})
    assert bench.limits(spec, {HIDDEN: values}, plan)[HIDDEN] == bench.hidden(values, *same_as)


@pytest.mark.parametrize("method", EVERY)
def test_limits_are_the_same_every_time_and_floats_of_32_bits(bench: Bench, method: str) -> None:
    found = bench.hidden(drawn("laplace"), method)
    assert found == bench.hidden(drawn("laplace"), method)
    assert all(type(end) is float and end == float(np.float32(end)) for end in found)


def test_ranges_of_another_model_are_refused(bench: Bench) -> None:
    ranges, _ = bench.seen({HIDDEN: drawn("normal")})
    bench.path = FLOAT.with_name("two_by_two.tflite")
    spec = asked("minmax")
    plan = make_plan(spec, read_graphs(bench.path), ())
    with pytest.raises(StageError, match=r"ranges must be those of 'two_by_two\.tflite'"):
        choose_limits(spec, bench.reference(), plan, ranges, None)


def test_histograms_that_are_missing_or_of_another_calibration_are_refused(bench: Bench) -> None:
    ranges, histograms = bench.seen({HIDDEN: drawn("normal")})
    spec = asked("mse")
    plan = make_plan(spec, read_graphs(FLOAT), ())
    with pytest.raises(StageError, match=r"histograms must be those of the ranges\. Got none\."):
        choose_limits(spec, bench.reference(), plan, ranges, None)
    others = Histograms(histograms.reference, "others", histograms.counts, histograms.low, histograms.high)
    with pytest.raises(StageError, match="Got those of another calibration"):
        choose_limits(spec, bench.reference(), plan, ranges, others)


def test_ranges_that_are_no_numbers_are_refused(bench: Bench) -> None:
    spec, reference = asked("minmax"), bench.reference()
    ranges, _ = bench.seen({HIDDEN: drawn("normal")})
    high = np.load(ranges.high)
    high[3] = np.nan
    np.save(ranges.high, high)
    with pytest.raises(StageError, match=r"must be finite numbers\. Got NaN or infinity"):
        choose_limits(spec, reference, make_plan(spec, read_graphs(reference.path), ()), ranges, None)
