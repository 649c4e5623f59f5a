"""The door to TensorFlow Model Optimization; only for worker processes with Keras 2, which it is made for."""

from __future__ import annotations

import warnings
from typing import Any

from tflite_pipeline.runtime.tensorflow import generation_here


def tfmot() -> Any:
    """Import the package; raises RuntimeError in a worker for Keras 3, whose layers it does not know."""
    if generation_here() != 2:
        raise RuntimeError("TensorFlow Model Optimization in a worker for Keras 3")
    with warnings.catch_warnings():
        # It compares versions by means that setuptools is giving up; users cannot help that.
        warnings.simplefilter("ignore", DeprecationWarning)
        import tensorflow_model_optimization as package
    return package


def pruning_masks() -> Any:
    """Give its module of pruning masks, which the package's public names leave out."""
    tfmot()
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_utils

    return pruning_utils


def first_centroids() -> Any:
    """Give its module that chooses the centroids to start from, which the package's public names leave out."""
    tfmot()
    from tensorflow_model_optimization.python.core.clustering.keras import clustering_centroids

    return clustering_centroids
