"""The door to TensorFlow and to the Keras of a given generation; only for worker processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from tflite_pipeline.artifacts import Generation
from tflite_pipeline.runtime.worker import Kind


def tensorflow() -> Any:
    """Import TensorFlow."""
    import tensorflow as tf

    return tf


def worker_kind(generation: Generation) -> Kind:
    """Name the kind of worker in which this generation of Keras can run."""
    return "keras2" if generation == 2 else "keras3"


def keras(generation: Generation) -> Any:
    """Import `tf_keras` (2) or `keras` (3); raises RuntimeError in a worker of the other kind."""
    if generation != generation_here():
        raise RuntimeError(f"Keras {generation} in a worker for Keras {generation_here()}")
    if generation == 2:
        import tf_keras

        return tf_keras
    import keras

    return keras


def seed_everything(generation: Generation, seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, so that weights and shuffles repeat."""
    keras(generation).utils.set_random_seed(seed)


def freeze(concrete: Any) -> Any:
    """Give a concrete function whose variables have become constants."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(concrete)


def constants_for_variables(live: Any) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """Give a context in which a Keras 3 model is traced with constants in the place of its variables.

    A graph without variables converts several times faster. Keras 2 has no such means: there the context does nothing.
    """
    if generation_here() == 2:
        return contextlib.nullcontext
    library, tf = keras(3), tensorflow()
    values = [(variable, np.asarray(variable)) for variable in live.variables]
    return lambda: library.StatelessScope(state_mapping=[(name, tf.constant(value)) for name, value in values])


def generation_here() -> Generation:
    """Tell which Keras this worker process is for."""
    return 2 if os.environ.get("TF_USE_LEGACY_KERAS") == "1" else 3
