"""The labels of the files that stages hand to each other: frozen, small, and readable as JSON."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Generation = Literal[2, 3]
"""Keras 2 is the package tf_keras, Keras 3 the package keras; the two never meet in one process."""

Unroll = Literal["never", "loops", "all"]
"""Which recurrent layers become plain ops: none; those that would become a loop, whose inside no range can be taken of;
or those too that the converter would fuse into one op, which no training on the graph can see into."""


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model; a dimension that may vary is -1, batch is the first dimension."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0


@dataclass(frozen=True)
class KerasModel:
    """Which model to open and how: `spec` is the model section, `weights` replaces its weights after training.

    `digest` stands for everything that decides the weights and the graph; `allow_code` lets the file bring code.
    `recurrent` says that it may have recurrent layers, `unroll` which of them are exported step by step.
    """

    source: str
    spec: dict[str, Any]
    generation: Generation
    digest: str
    seed: int
    allow_code: bool = False
    weights: Path | None = None
    recurrent: bool = False
    unroll: Unroll = "never"


@dataclass(frozen=True)
class TrainedModel:
    """A model with the weights that training left; `file` is the whole model, `history` one row of figures an epoch."""

    model: KerasModel
    file: Path
    history: tuple[dict[str, float], ...]
    best_epoch: int


@dataclass(frozen=True)
class Samples:
    """Preprocessed samples of one split: `inputs/<name>.npy` and `labels/<name>.npy`, first axis the samples.

    `digests` are the first 16 hex digits of the SHA-256 of each sample's input bytes, in row order;
    `classes` are the names of the classes where the source knows them; `synthetic` says that it is noise.
    """

    split: str
    folder: Path
    inputs: dict[str, Path]
    labels: dict[str, Path]
    rows: tuple[int, ...]
    digests: tuple[str, ...]
    classes: tuple[str, ...]
    synthetic: bool
    digest: str
    passed_over: int = 0

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.rows)


@dataclass(frozen=True)
class Reference:
    """The float `.tflite` that everything is compared with, the SavedModel it came from, and probe answers.

    `probe` is an .npz with `input/<name>` and `output/<name>` as the original model computed them. `layers` are the
    names of the Keras layers where there is a Keras model.
    """

    path: Path
    sha256: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    saved_model: Path | None
    probe: Path | None
    origin: str
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranges:
    """Smallest and largest value of every float activation of a reference, sample by sample.

    `low` and `high` are .npy files, float32, [samples, tensors]; `tensors` are the columns' numbers in subgraph 0 of
    the reference with that SHA-256, `names` their names there. `samples` is the digest of the samples, `count` their
    number.
    """

    reference: str
    samples: str
    tensors: tuple[int, ...]
    names: tuple[str, ...]
    low: Path
    high: Path
    count: int


@dataclass(frozen=True)
class Tuned:
    """A reference whose weights were trained on its own graph; ops, tensors and their names are those of `parent`.

    `ranges` is one row, the limits that activations were rounded to; None where no activation was. `rounding` is a JSON
    file of the same for the network's own predictions, None where nothing was rounded. `history` has one row of figures
    an epoch, after a first one of the untrained state, which pruning has not; `best_epoch` is the row that was kept.
    `kept` is what later steps keep and the file must hold, by name of the tensor: `{"sparsity": share of zeros,
    "clusters": distinct values, "two_of_four": [names]}`.
    """

    reference: Reference
    parent: str
    ranges: Ranges | None
    rounding: Path | None
    history: tuple[dict[str, float], ...]
    best_epoch: int
    kept: dict[str, Any]


@dataclass(frozen=True)
class Recovered:
    """A reference whose kernels and biases lie on the grids of a draft, and the ranges of the draft as one row.

    `ranges` is None where no activation is rounded; `samples` is how many calibration samples the passes looked at.
    """

    reference: Reference
    ranges: Ranges | None
    passes: tuple[str, ...]
    samples: int


@dataclass(frozen=True)
class RecoveryChoice:
    """Which passes to keep; `rows` tell of each tried one `{passes, sqnr_db, fingerprint}`, judged on `samples`."""

    passes: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    samples: int


@dataclass(frozen=True)
class Histograms:
    """How the values of every activation of `Ranges` are spread between its smallest and largest one.

    `counts` is an .npy file, int64, [tensors, bins]; `low` and `high` are the outer edges, one for each tensor.
    """

    reference: str
    samples: str
    counts: Path
    low: tuple[float, ...]
    high: tuple[float, ...]


Level = Literal["passed", "note", "warning"]
Finding = tuple[Level, str]


@dataclass(frozen=True)
class Hygiene:
    """What was found about the calibration samples and their ranges: `{rule, level, text}`, one for each rule.

    Level `passed`: checked and found sound; `note`: worth knowing, or why a rule could not be checked; `warning`: the
    ranges are likely to be worse than they could be.
    """

    findings: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Engine:
    """Who quantizes, and why it was chosen."""

    name: str
    why: str


@dataclass(frozen=True)
class QuantizedModel:
    """A `.tflite` made under a scheme by an engine.

    `plan` gives, for a mixed file, the scheme of each op by the name of its first output tensor in the reference.
    """

    path: Path
    sha256: str
    scheme: str
    io: str
    engine: Engine
    plan: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictions:
    """What a `.tflite` computed on samples: `outputs/<name>.npy`, float32 (dequantized), first axis the samples."""

    outputs: dict[str, Path]
    count: int
    batch: int
    digest: str

    @classmethod
    def of(cls, outputs: dict[str, Path], count: int, batch: int) -> Predictions:
        """Label files that are written; the digest stands for all that they hold."""
        content = "".join(file_digest(outputs[name]) for name in sorted(outputs))
        return cls(outputs, count, batch, hashlib.sha256(content.encode()).hexdigest())


@dataclass(frozen=True)
class Parity:
    """How the reference compares with its original model: `{checked, passed, difference, limit, samples, reason}`."""

    found: dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """How the quantized file compares with its reference and with what was asked; parts of `report.json`.

    metrics: by key `{reference, quantized, drop, interval: [lo, hi], samples, higher_is_better}`.
    agreement: by output `{value, interval: [lo, hi], samples, sqnr_db}`; `value` is None where the output is no class.
    confusion: by output `{classes, reference: rows, quantized: rows, recall: {reference: […], quantized: […]}}`,
    each row `[true class, predicted class, count]`.
    parity: that of the reference.
    audit: `{passed, found, asked, io_found, io_asked, ops: {name: n}, quantize_ops, dequantize_ops, dtypes: {dtype: n},
    activations: {dtype: n}, weights: {dtype: n}, granularity: {per_tensor | per_channel | block32: weights},
    float_ops: [{op, index, subgraph, tensor, layer}], allowed_float_ops: likewise, custom_ops, plan, findings: […]}`;
    `float_ops` has none of those that the recipe allows; `plan` is None where the file was not made by one, else
    `{checked: n, not_checked: [tensor], mismatches: [{op, index, subgraph, tensor, planned, found}]}`.
    fidelity: how the file compares with the fake-quantized network that was trained, empty where none was:
    `{metrics: {key: {float, fake_quant, tflite, training_drop, conversion_drop, samples, higher_is_better}}, outputs:
    {name: {agreement, within_1_lsb, within_2_lsb, interval: [lo, hi], largest_lsb, lsb, sqnr_db, samples}}, warnings:
    [text]}`; each drop is `{drop, interval: [lo, hi]}`, positive where the later one is worse. The interval of an
    output is that of `within_2_lsb`. A figure is None where the output has no such thing: no class, no scale, no
    difference.
    compression: empty where no training pruned or clustered, else what `validate.compression` found in the file, each
    weight with its `layer`, and `findings: [{tensor, expected, got}]`, where it is not as training left it.
    fingerprint: what the file computes (`runtime.fingerprint`).
    disagreements: some samples on which the file and float disagree, see `validate.disagreements`.
    """

    metrics: dict[str, dict[str, Any]]
    agreement: dict[str, dict[str, Any]]
    confusion: dict[str, dict[str, Any]]
    parity: dict[str, Any]
    audit: dict[str, Any]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    fidelity: dict[str, Any] = field(default_factory=dict)
    compression: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    disagreements: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Kernels:
    """Whether LiteRT's kernels compute the same for a file: what `report.json` holds of it.

    `found`: `{samples, ops, rows, spread, tested, findings: [text]}`. Each of `rows` is `{kernels, threads, samples,
    metrics: {key: {value, gates}}, flips, difference: {output: {lsb: n} | {absolute: x}}, differing, ms, delegated,
    apart, error}`, compared with what the gates saw of the same `samples`: `metrics` has both values, None where a
    metric needs others, `flips` the samples that get another class, None without classes, `differing` the share of the
    values that differ, `delegated` how many of the `ops` XNNPACK took, `ms` is milliseconds a sample on this host.
    `apart` says that the kernels compute something else, not the same with other rounding; `spread` is the largest
    `difference` of those that do not. `tested` are the few samples that all of these compute on any host: `{sample: its
    place in the evaluation samples, difference}`, each with its own largest difference.
    """

    found: dict[str, Any]


@dataclass(frozen=True)
class Profile:
    """What a file costs on this host: milliseconds, bytes; `host` names the processor."""

    latency_ms: dict[str, float]
    threads: int
    warmup: int
    runs: int
    peak_memory: int
    host: str


@dataclass(frozen=True)
class Bundle:
    """The zip file that goes to whoever builds the app."""

    path: Path


@dataclass(frozen=True)
class TargetChecks:
    """What was found for each target that the recipe names: `{name, passed, checked_by, findings}`.

    `floor` is the oldest runtime that runs the file, whatever the recipe names, see `targets.floor.describe_floor`.
    """

    checks: tuple[dict[str, Any], ...]
    floor: dict[str, Any] = field(default_factory=dict)


def file_digest(path: Path) -> str:
    """Give the SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def to_json(value: Any) -> Any:
    """Turn artifacts and paths into what `json.dumps` takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value
