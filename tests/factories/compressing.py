"""Pruning and clustering as a training does them, for workers: arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np

from tflite_pipeline.runtime.tensorflow import keras, tensorflow
from tflite_pipeline.train.tune.clusters import Clusters, clustered, regrouped
from tflite_pipeline.train.tune.sparsity import Sparsity, masked


def masks_over(sparsity: Sparsity, values: np.ndarray) -> list[np.ndarray]:
    """Give the mask of every step, for weights that do not change."""
    tf = tensorflow()
    weight, mask = tf.Variable(values), tf.Variable(np.ones_like(values))
    masks = []
    for step in range(sparsity.steps):
        sparsity.update(step, [(weight, mask)])
        masks.append(mask.numpy())
    return masks


def masked_and_gradient(values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tf = tensorflow()
    weight = tf.Variable(values)
    with tf.GradientTape() as tape:
        result = masked(weight, tf.Variable(mask))
        loss = tf.reduce_sum(result * 3.0)
    return result.numpy(), tape.gradient(loss, weight).numpy()


def clustered_and_gradient(shared: Clusters, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tf = tensorflow()
    centroids = tf.Variable(shared.centroids)
    with tf.GradientTape() as tape:
        result = clustered(centroids, shared.assignment)
        loss = tf.reduce_sum(result * factors)
    return result.numpy(), tf.convert_to_tensor(tape.gradient(loss, centroids)).numpy()


def train_clusters(shared: Clusters, wanted: np.ndarray, steps: int) -> Any:
    """Fit the centroids to other values with Adam."""
    tf = tensorflow()
    centroids, optimizer = tf.Variable(shared.centroids), keras(2).optimizers.Adam(0.01)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(clustered(centroids, shared.assignment) - wanted))
        optimizer.apply_gradients([(tape.gradient(loss, centroids), centroids)])
    return clustered(centroids, shared.assignment).numpy()


def regrouped_and_gradients(shared: Clusters, values: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, ...]:
    tf = tensorflow()
    centroids, weight = tf.Variable(shared.centroids), tf.Variable(values)
    with tf.GradientTape() as tape:
        result = regrouped(centroids, weight, shared.assignment)
        loss = tf.reduce_sum(result * factors)
    return tuple(np.asarray(tf.convert_to_tensor(one)) for one in (result, *tape.gradient(loss, [centroids, weight])))


def train_groups(shared: Clusters, values: np.ndarray, wanted: np.ndarray, steps: int) -> np.ndarray:
    """Fit the centroids and the weights to other values with Adam."""
    tf = tensorflow()
    variables, optimizer = [tf.Variable(shared.centroids), tf.Variable(values)], keras(2).optimizers.Adam(0.01)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(regrouped(*variables, shared.assignment) - wanted))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    result: np.ndarray = regrouped(*variables, shared.assignment).numpy()
    return result
