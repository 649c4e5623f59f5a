"""Weights in; the few values that they share, and which weight has which, out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.tensorflow import tensorflow
from tflite_pipeline.runtime.tfmot import first_centroids

Array = npt.NDArray[Any]

_SAMPLE = 20_000
"""Values that the clusters of a larger tensor are found from: evenly spaced in their order, its extremes among them."""


@dataclass(frozen=True)
class Clusters:
    """One weight tensor as shared values.

    `centroids` (float32, in rising order at first) are trained. `assignment` (int32, the weight's shape) says
    which weight has which: 0 is the value zero, which no training moves, and n is the centroid n - 1.
    """

    centroids: Array
    assignment: Array


def find_clusters(values: Array, clusters: int, keep_zeros: bool, seed: int) -> Clusters:
    """Find at most so many shared values for a tensor: k-means++ by TFMOT, refined by k-means.

    `keep_zeros` makes one of them zero, for exactly the weights that are zero: those that an earlier pruning made.
    Raises StageError where that leaves a single other value.
    """
    if keep_zeros and clusters < 3:
        raise StageError(
            f"training.clusters must be at least 3 after pruning, since one of them is zero. Got {clusters}.",
            "Set clusters higher, or leave out the step prune.",
        )
    free = values[values != 0] if keep_zeros else values.ravel()
    return _assigned(values, _k_means(free, clusters - keep_zeros, seed), keep_zeros)


def clusters_of(values: Array) -> Clusters:
    """Read the shared values of a tensor that was clustered before; its zeros stay zero."""
    distinct = np.unique(values)
    return _assigned(values, distinct[distinct != 0].astype(np.float32), keep_zeros=True)


def clustered(centroids: Any, assignment: Any) -> Any:
    """Give the weight that these stand for, as a TensorFlow tensor.

    Members stay together. The gradient of a centroid is the sum of theirs: Han et al., "Deep Compression" (2015),
    section 3.
    """
    tf = tensorflow()
    return tf.gather(tf.concat([tf.zeros(1), centroids], 0), assignment)


def regrouped(centroids: Any, weight: Any, assignment: Any) -> Any:
    """Give each weight the centroid that is nearest to it now, as a TensorFlow tensor; what is assigned 0 stays zero.

    Weight and centroids both train: a weight gets the gradient of its centroid's place as if it were used itself, and
    so moves to another one in time. That is the scheme of TFMOT's `ClusteringAlgorithm`, with a search in place of all
    distances, which for a large kernel would not fit into memory.
    """
    tf = tensorflow()
    ordered = tf.sort(centroids)
    borders = (ordered[1:] + ordered[:-1]) / 2
    nearest = tf.reshape(tf.searchsorted(borders, tf.reshape(weight, (-1,))), tf.shape(weight))
    shared = clustered(ordered, tf.where(assignment > 0, nearest + 1, 0))
    # Exact, since the difference is zero: the second term is there for its gradient.
    return shared + tf.where(assignment > 0, weight - tf.stop_gradient(weight), 0.0)


def _k_means(values: Array, count: int, seed: int) -> Array:
    """Give the centroids of one-dimensional k-means in rising order, float32; values that are few enough themselves."""
    from sklearn.cluster import KMeans

    ordered = np.sort(values, axis=None)
    if len(ordered) > _SAMPLE:
        ordered = ordered[np.linspace(0, len(ordered) - 1, _SAMPLE).astype(np.int64)]
    if len(distinct := np.unique(ordered)) <= count:
        return distinct.astype(np.float32)
    start = first_centroids().KmeansPlusPlusCentroidsInitialisation(tensorflow().constant(ordered), count)
    centroids = np.asarray(start.get_cluster_centroids())
    means = KMeans(count, init=centroids[:, None], n_init=1, random_state=seed).fit(ordered[:, None])
    return np.unique(means.cluster_centers_).astype(np.float32)


def _assigned(values: Array, centroids: Array, keep_zeros: bool) -> Clusters:
    """Assign the nearest of centroids in rising order; with `keep_zeros` zeros get 0, and only they."""
    if not len(centroids):
        centroids = np.zeros(1, np.float32)  # a weight of zeros only: TensorFlow does not sort or train nothing
    borders = (centroids[1:] + centroids[:-1]) / 2
    nearest = np.searchsorted(borders, values).astype(np.int32) + np.int32(1)
    return Clusters(centroids, np.where(values == 0, np.int32(0), nearest) if keep_zeros else nearest)
