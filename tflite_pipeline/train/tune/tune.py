"""Training on the graph of the reference: a reference and samples in, the same reference with other weights out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import QuantizedModel, Ranges, Reference, Samples, Tuned
from tflite_pipeline.runtime.biases import round_biases, separated
from tflite_pipeline.runtime.grids import Grids, read_grids
from tflite_pipeline.runtime.tensorflow import keras, seed_everything
from tflite_pipeline.runtime.writeback import as_ranges, write_back
from tflite_pipeline.train.checkpoint import forget
from tflite_pipeline.train.labels import check_labels
from tflite_pipeline.train.loop import Data, Fitted, Monitor, optimizer, train
from tflite_pipeline.train.spec import Cluster, Prune, Qat, Tune
from tflite_pipeline.train.tune.clusters import clusters_of, find_clusters
from tflite_pipeline.train.tune.faithful import Opened, open_graph
from tflite_pipeline.train.tune.graph import FloatGraph, read_float_graph
from tflite_pipeline.train.tune.lesson import Lesson, choose_losses, labels_by_output, outputs_of, refuse_logits
from tflite_pipeline.train.tune.network import Computation, Rounding, build_network
from tflite_pipeline.train.tune.rounding import write_rounding
from tflite_pipeline.train.tune.sparsity import Sparsity, zeros_mask
from tflite_pipeline.train.tune.weights import Bonds, Weights, kernels

MONITOR: Monitor = ("val_loss", "min")
"""What decides which epoch is kept: of few samples, the loss tells more than how many of them are right."""
Draft = tuple[QuantizedModel, Ranges | None, bool]
"""The file that the scheme makes of the untrained weights, the ranges it came from, and whether int8 is symmetric."""


def tune(
    spec: Qat | Prune | Cluster,
    start: tuple[Reference] | tuple[Reference, Tuned],
    draft: Draft | None,
    samples: Samples,
    seed: int,
    out: Path,
) -> Tuned:
    """Train the weights of a reference; `out` may hold the checkpoint of an earlier run, which goes on.

    Args:
        spec: the step of the recipe.
        start: the reference that the model was exported to, and what an earlier step made of it.
        draft: for quantization-aware training, what decides the rounding.
        samples: the training samples.
        seed: decides the order of the rows, which are held out, and where clusters start.
        out: gets `reference.tflite`, and for quantization-aware training the ranges and `rounding.json`.

    Raises:
        StageError: where the graph holds an op that cannot be trained, computes otherwise than the file, or does not
            fit the samples; where the loss becomes infinite.
    """
    seed_everything(2, seed)
    origin, *later = start
    reference, kept = (later[0].reference, later[0].kept) if later else (origin, {})
    (out / "separated.tflite").write_bytes(separated(reference.path))
    reference = replace(reference, path=out / "separated.tflite")
    opened = open_graph(reference, samples)
    graph = opened.graph
    data = Data.of(samples, spec, seed)
    grids = read_grids(reference.path, draft[0].path, draft[2]) if draft else Grids({}, {})
    lesson = _lesson(spec, opened, origin, data, samples)
    names = tuple(info.name for info in reference.inputs)
    weights = Weights(graph, opened.spread, grids.constants, _bonds(spec, graph, kept, seed))
    rounding = Rounding(grids) if grids.ranges else None
    network = build_network(Computation(graph, names, weights, rounding, lesson))
    network.compile(optimizer(data))
    done = _train(spec, network, weights, data, out)
    constants, trained = _trained(graph, weights, grids, rounding)
    tuned = write_back(reference, constants, out)
    ranges, file = _written(trained, tuned, draft, out)
    forget(out)
    reference.path.unlink()
    kept = _kept(spec, graph, weights, kept)
    return Tuned(tuned, origin.sha256, ranges, file, done.history, done.best_epoch, kept)


def _lesson(spec: Tune, opened: Opened, origin: Reference, data: Data, samples: Samples) -> Lesson:
    outputs = outputs_of(opened.graph, [info.name for info in origin.outputs], opened.shares)
    labels = labels_by_output(outputs, data.labels, spec.teacher is not None)
    losses = choose_losses(spec, outputs, labels)
    refuse_logits(spec, outputs, losses)
    for output in outputs:
        if output.name in labels:
            own = {output.name: labels[output.name]}
            check_labels({output.name: output.shape[1:]}, losses[output.name], own, samples.rows)
    return Lesson(spec, outputs, losses, read_float_graph(origin.path) if spec.teacher else None)


def _bonds(spec: Tune, graph: FloatGraph, kept: dict[str, Any], seed: int) -> Bonds:
    """Give what earlier steps made and this one keeps, and where this one starts."""
    sparse, shared = kept.get("sparsity", {}), kept.get("clusters", {})
    values = {number: graph.constants[number] for number in kernels(graph)}
    if isinstance(spec, Prune):
        fits = _sparsity(spec, 1).fits
        return Bonds({number: np.ones_like(value) for number, value in values.items() if fits(value.shape)})
    masks = {number: zeros_mask(value) for number, value in values.items() if graph.names[number] in sparse}
    if isinstance(spec, Cluster):
        found = {n: find_clusters(value, spec.clusters, n in masks, seed) for n, value in values.items()}
        return Bonds(clusters=found, members_move=True)
    clusters = {number: clusters_of(value) for number, value in values.items() if graph.names[number] in shared}
    return Bonds({number: mask for number, mask in masks.items() if number not in clusters}, clusters)


def _sparsity(spec: Prune, steps: int) -> Sparsity:
    return Sparsity(spec.sparsity, spec.pattern, spec.ramp, steps)


def _train(spec: Tune, network: Any, weights: Weights, data: Data, out: Path) -> Fitted:
    if not isinstance(spec, Prune):
        return train(network, data, out, monitor=MONITOR, from_start=True)
    # What is not pruned yet is better, but is not what was asked for: the last epoch counts.
    return train(network, data, out, monitor=None, callbacks=[_pruning(spec, network, weights, data)])


def _pruning(spec: Prune, network: Any, weights: Weights, data: Data) -> Any:
    sparsity = _sparsity(spec, spec.epochs * data.steps)

    class Pruning(keras(2).callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            sparsity.update(int(network.optimizer.iterations), weights.masked)

    return Pruning()


def _trained(
    graph: FloatGraph, weights: Weights, grids: Grids, rounding: Rounding | None
) -> tuple[dict[int, Any], Grids]:
    """Give the constants that the file is to hold, and what activations and constants are rounded to."""
    constants = weights.final()
    ranges = rounding.trained() if rounding else {}
    constants |= round_biases(graph.nodes, constants, ranges, grids.constants)
    return constants, Grids(ranges, grids.constants)


def _written(trained: Grids, tuned: Reference, draft: Draft | None, out: Path) -> tuple[Ranges | None, Path | None]:
    """Write the ranges that were trained, for the engines, and all rounding, for predictions of the network."""
    if draft is None:
        return None, None
    path = out / "rounding.json"
    write_rounding(path, trained)
    ranges = as_ranges(tuned, draft[1], trained.ranges, out) if draft[1] is not None else None
    return ranges, path


def _kept(spec: Tune, graph: FloatGraph, weights: Weights, kept: dict[str, Any]) -> dict[str, Any]:
    """Add to what the file must hold what this step made."""
    names = {number: graph.names[number] for number in kernels(graph)}
    if isinstance(spec, Prune):
        pruned = [names[number] for number in weights.bonds.masks]
        pairs = {"two_of_four": pruned} if spec.pattern == "2:4" else {}
        return kept | {"sparsity": dict.fromkeys(pruned, spec.sparsity)} | pairs
    if isinstance(spec, Cluster):
        return kept | {"clusters": {names[number]: spec.clusters for number in weights.bonds.clusters}}
    return kept
