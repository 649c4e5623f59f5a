"""Ordinary Keras training: model and training samples in, trained weights out; goes on where a killed run ended."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import KerasModel, Samples, TrainedModel
from tflite_pipeline.model.border import input_shapes, output_names, static_shapes
from tflite_pipeline.model.load import open_model
from tflite_pipeline.runtime.tensorflow import keras
from tflite_pipeline.train.checkpoint import forget
from tflite_pipeline.train.labels import check_labels
from tflite_pipeline.train.loop import Data, optimizer, train
from tflite_pipeline.train.spec import Fit

CLASSIFICATION = ("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy")


def fit(spec: Fit, model: KerasModel, samples: Samples, out: Path) -> TrainedModel:
    """Train all weights; `out` may hold the checkpoint of an earlier run, which is used.

    Writes a checkpoint each epoch, `trained.weights.h5`, and the whole model: `model.keras` (Keras 2: `model.h5`).
    With early stopping the weights are those of the best epoch, else of the last.
    """
    live = open_model(model)
    data = Data.of(samples, spec, model.seed)
    static_shapes(input_shapes(live), "dynamic", samples)
    outputs = dict(zip(output_names(live), (tuple(output.shape)[1:] for output in live.outputs), strict=True))
    check_labels(outputs, spec.loss, data.labels, samples.rows)
    metrics = ["accuracy"] if spec.loss in CLASSIFICATION else []
    frozen = _frozen(live, spec)
    live.compile(optimizer(data), _loss(keras(model.generation).losses, spec), metrics=metrics)
    done = train(live, data, out, monitor=("val_loss", "min") if spec.early_stopping else None)
    weights, file = out / "trained.weights.h5", out / ("model.keras" if model.generation == 3 else "model.h5")
    for layer in frozen:
        layer.trainable = True
    live.compile()  # the optimizer's state, two thirds of an Adam checkpoint, is of no use any more
    live.save_weights(weights)
    live.save(file)
    forget(out)
    return TrainedModel(dataclasses.replace(model, weights=weights), file, done.history, done.best_epoch)


def _frozen(live: Any, spec: Fit) -> list[Any]:
    """Freeze the BatchNormalization layers where the section says so, those of nested models too, and list them."""
    if spec.batch_normalization == "trained":
        return []
    layers = live._flatten_layers(include_self=False, recursive=True)
    found = [layer for layer in layers if type(layer).__name__ == "BatchNormalization" and layer.trainable]
    for layer in found:
        layer.trainable = False
    return found


def _loss(losses: Any, spec: Fit) -> Any:
    """Build the loss from the module of the model's Keras."""
    table = {
        "sparse_categorical_crossentropy": lambda: losses.SparseCategoricalCrossentropy(spec.from_logits),
        "categorical_crossentropy": lambda: losses.CategoricalCrossentropy(spec.from_logits),
        "binary_crossentropy": lambda: losses.BinaryCrossentropy(spec.from_logits),
        "mse": losses.MeanSquaredError,
        "mae": losses.MeanAbsoluteError,
        "huber": losses.Huber,
    }
    return table[spec.loss]()
