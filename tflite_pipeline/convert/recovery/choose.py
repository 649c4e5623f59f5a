"""Files made with several recovery passes in; how far each is from the float network, and which one to keep, out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import QuantizedModel, RecoveryChoice, Reference, Samples
from tflite_pipeline.convert.spec import EVENED, STRONG
from tflite_pipeline.runtime import answers, inference, litert
from tflite_pipeline.runtime.fingerprint import take_fingerprint
from tflite_pipeline.runtime.scores import with_scores

Array = npt.NDArray[np.float64]
Passes = tuple[str, ...]

CANDIDATES: tuple[Passes, ...] = (
    (),
    ("bias_correction",),
    ("weight_clipping", "bias_correction"),
    ("gptq", "depthwise_search", "bias_correction"),
    STRONG,
    ("equalization", "bias_absorption", "bias_correction"),
    EVENED,
)
"""What `recovery: auto` tries, the simplest first; AdaRound is slower than GPTQ and was never nearer."""
HELD_OUT = 4
"""One sample in so many decides, and is not used by the passes."""
CHANCE = 0.05
"""A file is preferred to a simpler one where its being nearer is less likely than this by chance."""


def choose_recovery(
    reference: Reference,
    tried: tuple[tuple[Passes, QuantizedModel], ...],
    samples: Samples,
    threads: int,
    out: Path,
) -> RecoveryChoice:
    """Compare files with the float network on the samples that no pass has used; `out` is left empty.

    The distance of a sample is the squared error of its outputs, or of the scores behind a last SOFTMAX or LOGISTIC,
    each in units of its mean square. Two files are
    told apart by the signed ranks of what one is nearer (Wilcoxon 1945, "Individual comparisons by ranking methods"):
    few samples decide over a mean.
    """
    rows = {name: np.asarray(rows[:])[::HELD_OUT] for name, rows in inference.inputs_of(samples).items()}
    inputs = {reference.inputs[0].name: rows[""]} if set(rows) == {""} else rows
    wanted = _answers(reference.path, inputs, threads, out)
    distances = [_distances(wanted, _answers(file.path, inputs, threads, out)) for _, file in tried]
    best = 0
    for place in range(1, len(distances)):
        if _is_nearer(distances[place], distances[best]):
            best = place
    told = [
        {
            "passes": list(passes),
            "sqnr_db": float(-10 * np.log10(max(distance.mean(), 1e-30))),
            "fingerprint": take_fingerprint(file.path).digest,
        }
        for (passes, file), distance in zip(tried, distances, strict=True)
    ]
    return RecoveryChoice(tried[best][0], tuple(told), len(next(iter(inputs.values()))))


def _answers(path: Path, inputs: dict[str, Array], threads: int, out: Path) -> dict[str, Array]:
    """Compute the scores by the place of the output; inputs go by the names that the file has for them."""
    names = [info.name for info in litert.describe(path)[0]]
    twin = out / "scores.tflite"
    twin.write_bytes(with_scores(path))
    renamed = [info.name for info in litert.describe(twin)[0]]  # the signature, which has other names, is gone
    found = answers.compute(twin, {new: inputs[old] for new, old in zip(renamed, names, strict=True)}, threads)
    twin.unlink()
    return found


def _is_nearer(distance: Array, other: Array) -> bool:
    from scipy.stats import wilcoxon

    gain = other - distance
    if not gain.any() or gain.mean() <= 0:
        return False
    return float(wilcoxon(gain, alternative="greater").pvalue) < CHANCE


def _distances(wanted: dict[str, Array], found: dict[str, Array]) -> Array:
    """Give the distance of each sample, float64 [samples]."""
    total = np.zeros(len(next(iter(wanted.values()))))
    for name, values in wanted.items():
        one = values.reshape(len(values), -1).astype(float)
        gap = found[name].reshape(one.shape) - one
        total += np.square(gap).mean(1) / max(float(np.square(one).mean()), 1e-30) / len(wanted)
    return total
