"""Training on the graph of the reference: what each step leaves in the file, which epoch is kept, what is refused."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.artifacts import Reference, Tuned, file_digest
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.graph import read_graphs
from tflite_pipeline.train.spec import Cluster, Falling, Prune, Qat
from tflite_pipeline.validate.compression import check_compression, compression

pytestmark = pytest.mark.tf

DATA = Path(__file__).parents[2] / "data"
FULL = Quantization(scheme="full_int8")
NOISE = np.random.default_rng(0)


def qat(**section: Any) -> Qat:
    return Qat(**({"method": "qat", "epochs": 1} | section))


def prune(**section: Any) -> Prune:
    return Prune(**({"method": "prune", "epochs": 1} | section))


def cluster(**section: Any) -> Cluster:
    return Cluster(**({"method": "cluster", "epochs": 1, "clusters": 8} | section))


@dataclass(frozen=True)
class Stored:
    name: str
    dtype: str
    scale: np.ndarray
    values: np.ndarray


def tensors(path: Path) -> list[Stored]:
    """What a file stores, none of it packed."""
    model, graph = flatbuffer.unpack(path), read_graphs(path)[0]
    found = []
    for info, tensor in zip(graph.tensors, model.subgraphs[0].tensors, strict=True):
        data, quantization = model.buffers[tensor.buffer].data, tensor.quantization
        scale = quantization.scale if quantization is not None and quantization.scale is not None else []
        values = data.view(info.dtype) if info.stored and data is not None else np.zeros(0)
        found.append(Stored(info.name, info.dtype, np.asarray(scale), values))
    return found


@pytest.fixture(scope="module")
def chain(course):
    """Run steps one after the other on a net, and quantize what they leave."""

    def run(steps: list[Any], spec: Quantization = FULL, net: str = "plain_conv") -> tuple[list[Tuned], Path]:
        origin, samples, done = course.reference(net), course.digits(), []
        for step in steps:
            base = done[-1].reference if done else origin
            draft = course.draft(spec, base, samples) if isinstance(step, Qat) else None
            done.append(course.tune(step, (origin, *done[-1:]), draft, samples))
        if isinstance(steps[-1], Qat):
            return done, course.file(spec, done[-1])
        return done, course.quantize(spec, done[-1].reference, None, samples)[0].path

    return run


def name_of(value: Any) -> str:
    """A parameter's name, the same in every process: a set has no order of its own."""
    if isinstance(value, list):
        return "+".join(step.method for step in value)
    return "+".join(sorted(value)) if isinstance(value, set) else str(value)


PRUNE, PAIRS, LEARN = prune(sparsity=0.6), prune(pattern="2:4"), qat(learning_rate=0.003)


@pytest.mark.parametrize(
    ("steps", "scheme", "kept"),
    [
        ([PRUNE], "full_int8", {"sparsity"}),
        ([PAIRS], "int8x4", {"sparsity", "two_of_four"}),
        ([cluster()], "dynamic_int8", {"clusters"}),
        ([PRUNE, LEARN], "full_int8", {"sparsity"}),
        ([PRUNE, LEARN], "int8x4", {"sparsity"}),
        ([PAIRS, LEARN], "full_int8", {"sparsity", "two_of_four"}),
        ([cluster(), LEARN], "full_int8", {"clusters"}),
        ([cluster(), LEARN], "int8x4", {"clusters"}),
        ([PRUNE, cluster(), LEARN], "full_int8", {"sparsity", "clusters"}),
        ([PRUNE, cluster(), LEARN], "dynamic_int8", {"sparsity", "clusters"}),
        ([PRUNE, cluster(), LEARN], "weight_int4", {"sparsity", "clusters"}),
    ],
    ids=name_of,
)
def test_file_holds_the_zeros_and_shared_values_that_training_made(chain, steps, scheme, kept):
    done, file = chain(steps, Quantization(scheme=scheme))
    found = compression(file)
    assert set(done[-1].kept) == kept
    assert check_compression(found, done[-1].kept) == []
    assert check_compression(compression(done[-1].reference.path), done[-1].kept) == []
    rows = {row["tensor"]: row for row in found["weights"]}
    large = {name for name, row in rows.items() if row["elements"] >= 256}
    assert len(large) == 2
    if "sparsity" in kept:
        assert set(done[-1].kept["sparsity"]) == large
        share = 0.5 if "two_of_four" in kept else 0.6
        assert all(share <= rows[name]["zeros"] for name in large)
    if "clusters" in kept:
        assert set(done[-1].kept["clusters"]) == set(rows)
        assert all(row["distinct_in_channel"] <= 8 for row in rows.values())


def test_weights_move_although_zeros_and_groups_stay(chain):
    done, _ = chain([prune(sparsity=0.6), cluster(), qat(learning_rate=0.003)])
    files = [compression(one.reference.path)["weights"] for one in done]
    assert len({one.reference.sha256 for one in done}) == 3
    for pruned, clustered, last in zip(*files, strict=True):
        assert pruned["zeros"] <= clustered["zeros"] <= last["zeros"]
        assert clustered["distinct"] <= 8
        assert pruned["distinct"] > 8
    assert {one.parent for one in done} == {done[0].parent}


def test_steps_without_rounding_leave_no_ranges(chain):
    for one in chain([prune(), cluster()])[0]:
        assert (one.ranges, one.rounding) == (None, None)


def test_row_0_is_the_untrained_state_and_the_best_row_is_kept(course):
    samples = course.digits()
    reference = course.reference("plain_conv")
    tuned = course.tune(
        qat(epochs=3, learning_rate=0.005), (reference,), course.draft(FULL, reference, samples), samples
    )
    assert len(tuned.history) == 4
    assert set(tuned.history[0]) == {"val_loss", "val_accuracy"}
    assert set(tuned.history[1]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    scores = [(row["val_accuracy"], -row["val_loss"]) for row in tuned.history]
    assert tuned.best_epoch == scores.index(max(scores)) > 0
    assert tuned.history[-1]["loss"] < tuned.history[1]["loss"]


def test_the_last_epoch_counts_when_it_prunes(course):
    tuned = course.tune(prune(epochs=2, learning_rate=2.0), (course.reference("plain_conv"),), None, course.digits())
    assert len(tuned.history) == 2  # what is not pruned yet has no row
    assert tuned.best_epoch == 1
    assert tuned.history[1]["val_accuracy"] < 0.5


@pytest.mark.parametrize("scheme", ["full_int8", "int16x8", "dynamic_int8"])
def test_file_is_that_of_no_training_when_training_ruins_the_network(course, scheme):
    spec, samples, reference = Quantization(scheme=scheme), course.digits(), course.reference("plain_conv")
    draft = course.draft(spec, reference, samples)
    ruinous = qat(epochs=1, learning_rate=50.0, optimizer="sgd", schedule=Falling(kind="constant", warmup_epochs=0))
    tuned = course.tune(ruinous, (reference,), draft, samples)
    assert tuned.history[1]["val_accuracy"] < tuned.history[0]["val_accuracy"]
    assert tuned.best_epoch == 0
    # To the last digit of float32: biases went through the units that weights train in.
    for ours, plain in zip(tensors(course.file(spec, tuned)), tensors(draft[0].path), strict=True):
        assert (ours.name, ours.dtype, ours.scale.shape) == (plain.name, plain.dtype, plain.scale.shape)
        np.testing.assert_allclose(ours.scale, plain.scale, rtol=1e-6)
        apart = np.abs(ours.values.astype(np.float64) - plain.values).max(initial=0.0)
        assert apart <= (0 if ours.dtype == "int8" else 1e-6 * np.abs(plain.values.astype(np.float64)).max(initial=0.0))


def test_seed_decides_over_every_byte(course):
    samples, reference = course.digits(slice(320)), course.reference("plain_conv")
    draft = course.draft(FULL, reference, samples)
    done = [
        course.tune(qat(learning_rate=0.01, validation=None), (reference,), draft, samples, seed) for seed in (1, 1, 2)
    ]
    files = [file_digest(course.file(FULL, tuned)) for tuned in done]
    assert files[0] == files[1] != files[2]
    assert done[0].history == done[1].history != done[2].history


def test_teacher_needs_no_labels(course):
    samples, reference = course.digits(labels=False), course.reference("plain_conv")
    spec = Quantization(scheme="int8x4")
    draft = course.draft(spec, reference, samples)
    tuned = course.tune(qat(epochs=2, teacher="float"), (reference,), draft, samples)
    assert set(tuned.history[0]) == {"val_loss", "val_agreement"}
    assert tuned.history[tuned.best_epoch]["val_agreement"] >= tuned.history[0]["val_agreement"]
    assert tuned.history[2]["val_loss"] < tuned.history[0]["val_loss"]


def test_teacher_stays_the_float_model_when_a_step_came_before(course):
    samples, reference = course.digits(labels=False), course.reference("plain_conv")
    pruned = course.tune(prune(sparsity=0.9, teacher="float"), (reference,), None, samples)
    draft = course.draft(FULL, pruned.reference, samples)
    tuned = course.tune(qat(teacher="float"), (reference, pruned), draft, samples)
    # Measured by what was pruned itself, it would begin near 1.
    assert tuned.history[0]["val_agreement"] < 0.97
    assert tuned.parent == pruned.parent == reference.sha256


def test_labels_and_teacher_go_together(course):
    samples, reference = course.digits(), course.reference("plain_conv")
    tuned = course.tune(qat(teacher="float"), (reference,), course.draft(FULL, reference, samples), samples)
    assert set(tuned.history[0]) == {"val_loss", "val_accuracy", "val_agreement"}


@pytest.fixture(scope="module")
def pairs(course):
    """Samples of the net with two inputs and two outputs."""
    images, classes = importlib.import_module("tuning").digits()
    inputs = {"zebra": images[:256], "apple": NOISE.uniform(-1, 1, (256, 5)).astype(np.float32)}
    labels = {"scores": classes[:256], "box": NOISE.normal(size=(256, 2)).astype(np.float32)}

    def make(*names: str, **others: Any) -> Any:
        return course.samples(inputs, {name: (labels | others)[name] for name in names})

    return make


def test_several_inputs_and_outputs_train_by_their_names(course, pairs):
    reference = course.reference("two_by_two")
    assert [info.name for info in reference.inputs] == ["zebra", "apple"]
    samples = pairs("scores", "box")
    tuned = course.tune(
        qat(epochs=2, learning_rate=0.01), (reference,), course.draft(FULL, reference, samples), samples
    )
    assert tuned.history[2]["loss"] < tuned.history[1]["loss"]
    assert tuned.history[2]["val_loss"] < tuned.history[0]["val_loss"]
    some = course.tune(prune(), (reference,), None, pairs("box"))
    assert set(some.history[0]) == {"loss", "val_loss"}


@pytest.mark.parametrize(
    ("kind", "labels", "figures"),
    [
        ("softmax", lambda n: np.eye(10, dtype=np.float32)[NOISE.integers(0, 10, n)], {"val_loss", "val_accuracy"}),
        ("sigmoid", lambda n: NOISE.integers(0, 2, n), {"val_loss", "val_accuracy"}),
        ("linear", lambda n: NOISE.normal(size=(n, 2)).astype(np.float32), {"val_loss"}),
        ("pixels", lambda n: NOISE.integers(0, 3, (n, 8, 8)).astype(np.uint8), {"val_loss", "val_accuracy"}),
    ],
)
def test_labels_of_every_form_train(course, kind, labels, figures):
    images = importlib.import_module("tuning").digits()[0][:128]
    samples, reference = course.samples({"": images}, {"y": labels(128)}), course.reference("heads", kind=kind)
    tuned = course.tune(qat(learning_rate=0.01), (reference,), course.draft(FULL, reference, samples), samples)
    assert set(tuned.history[0]) == figures
    assert all(np.isfinite(list(row.values())).all() for row in tuned.history)
    assert tuned.history[1]["val_loss"] != tuned.history[0]["val_loss"]


def test_bytes_of_images_train_as_their_floats_do(course):
    images, classes = importlib.import_module("tuning").digits()
    raw = np.rint((images[:128] + 1) * 8).astype(np.uint8)
    reference, done = course.reference("plain_conv"), []
    for array in (raw, raw.astype(np.float32)):
        samples = course.samples({"": array}, {"": classes[:128]})
        done.append(course.tune(prune(), (reference,), None, samples))
    assert done[0].history == done[1].history
    assert done[0].reference.sha256 == done[1].reference.sha256


@pytest.mark.parametrize(
    ("labels", "section", "told"),
    [
        ({"": np.full(64, 10)}, {}, "labels must be class numbers from 0 to 9.*Got 10 on row 0"),
        ({"": np.full(64, -1)}, {}, "labels must be class numbers from 0 to 9.*Got -1 on row 0"),
        ({"": np.zeros((64, 1), np.int64)}, {}, r"needs labels of the output's shape \(10\). Got \(1\)"),
        ({"": np.zeros((64, 3))}, {}, r"needs labels of the output's shape \(10\). Got \(3\)"),
        ({"": np.zeros((64, 10))}, {"loss": "sparse_categorical_crossentropy"}, "needs one class number a sample"),
        ({"": np.zeros(64, np.int64)}, {"loss": "categorical_crossentropy"}, "needs one-hot labels"),
        ({"": np.zeros(64, np.int64)}, {"loss": "mse"}, "the loss mse needs labels of the output's shape"),
        ({"a": np.zeros(64, np.int64), "b": np.zeros(64)}, {}, "names of the model's outputs, scores. Got a, b"),
        ({}, {}, "training needs labels, and the dataset has none"),
    ],
)
def test_labels_that_do_not_fit_are_refused(course, labels, section, told):
    images = importlib.import_module("tuning").digits()[0][:64]
    with pytest.raises(StageError, match=told):
        course.tune(prune(**section), (course.reference("plain_conv"),), None, course.samples({"": images}, labels))


def test_labels_of_no_output_are_refused_when_there_are_several(course, pairs):
    with pytest.raises(StageError, match=r"names of the model's outputs, scores, box\. Got boxes"):
        course.tune(prune(), (course.reference("two_by_two"),), None, pairs("boxes", boxes=np.zeros((256, 2))))


def test_a_batch_larger_than_the_data_is_refused(course):
    with pytest.raises(StageError, match="58 training samples do not fill a batch of 64") as caught:
        course.tune(prune(batch=64), (course.reference("plain_conv"),), None, course.digits(slice(64)))
    assert "training.batch" in caught.value.remedy


def test_an_infinite_loss_is_refused_and_leaves_no_result(course):
    samples, reference = course.digits(slice(128)), course.reference("heads", kind="linear")
    samples = replace(samples, labels=course.samples({"": np.zeros((128, 1))}, {"": np.ones((128, 2))}).labels)
    out = course.place()
    wild = prune(learning_rate=1e30, optimizer="sgd", schedule=Falling(kind="constant", warmup_epochs=0))
    with pytest.raises(StageError, match=r"the loss became (nan|inf) in epoch 1") as caught:
        course.tune(wild, (reference,), None, samples, out=out)
    assert "training.learning_rate" in caught.value.remedy
    assert not (out / "reference.tflite").exists()


def test_every_op_that_cannot_train_is_told_at_once_with_a_remedy(course):
    path = DATA / "lstm_float32.tflite"
    reference = Reference(path, file_digest(path), *litert.describe(path), None, None, "tflite")
    samples = course.samples({"": np.zeros((64, 5, 3), np.float32)}, {"": np.zeros((64, 2), np.float32)})
    with pytest.raises(StageError, match=r"UNIDIRECTIONAL_SEQUENCE_LSTM .*unroll=True") as caught:
        course.tune(prune(), (reference,), None, samples)
    assert "leave out the training steps" in caught.value.remedy


def test_checkpoints_are_gone_once_the_result_is_written(course):
    out = course.place()
    course.tune(cluster(), (course.reference("plain_conv"),), None, course.digits(slice(128)), out=out)
    assert {path.name for path in out.iterdir()} == {"reference.tflite"}
