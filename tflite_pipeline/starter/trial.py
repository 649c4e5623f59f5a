"""A model, data and ways to scale them in; what the float model scores each way out. Runs in a worker process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from tflite_pipeline.artifacts import KerasModel
from tflite_pipeline.convert.export import load_saved_model
from tflite_pipeline.dataset.load import SOURCES, Table
from tflite_pipeline.dataset.preprocessing import preprocess
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.dataset.steps import Step
from tflite_pipeline.model.load import open_model
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.tensorflow import tensorflow
from tflite_pipeline.starter.data import rows_to_look_at
from tflite_pipeline.starter.looks import Scaling
from tflite_pipeline.validate.metrics import class_labels, class_scores, mae, top1

BATCH = 32
VALUES, LEAST_ROWS = 3_000_000, 40
"""Large samples are thinned out to so many values in all, but not to fewer samples than that."""
Answer = Callable[[Any], Any]


def answers_of(model: KerasModel | Path | tuple[str, str]) -> Answer:
    """Give a function from a batch of samples to what the model puts out; a SavedModel is its folder and signature."""
    if isinstance(model, KerasModel):
        live = open_model(model)
        return lambda batch: np.asarray(live(batch, training=False))
    if isinstance(model, Path):
        return _interpreter(model)
    folder, signature = model
    loaded = load_saved_model(folder)  # must live as long as its signatures are called
    function = loaded.signatures[signature]
    (name,) = function.structured_input_signature[1]

    def answer(batch: Any) -> Any:
        (result,) = function(**{name: tensorflow().constant(batch)}).values()
        return np.asarray(result) if loaded is not None else None

    return answer


def _interpreter(path: Path) -> Answer:
    interpreter = litert.open_interpreter(path, batch=1)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def one(sample: Any) -> Any:
        interpreter.set_tensor(source["index"], sample[None].astype(source["dtype"]))
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])[0].copy()

    return lambda batch: np.stack([one(sample) for sample in batch])


def try_scalings(
    model: Any, section: dict[str, Any], ways: Sequence[Scaling], dtype: str, classes: bool
) -> tuple[list[float | None], list[float], int]:
    """Run the float model on a few samples, preprocessed each way.

    Gives top1 (or, where labels are values, the mean absolute error with a minus; None without labels) and how much
    the outputs vary, by way, and the number of samples.
    """
    table, rows = _open(section)
    first = preprocess(np.asarray(table.inputs[""][0]), _steps(section, ways[0].steps))
    rows = _thinned(rows, max(LEAST_ROWS, VALUES // first.size))
    raw = [np.asarray(table.inputs[""][int(row)]) for row in rows]
    labels = next(iter(table.labels.values()))[rows] if table.labels else None
    answer = answers_of(model)
    scores: list[float | None] = []
    spreads = []
    for way in ways:
        samples = [preprocess(sample, _steps(section, way.steps)).astype(dtype) for sample in raw]
        batches = [np.stack(samples[start : start + BATCH]) for start in range(0, len(samples), BATCH)]
        outputs = np.concatenate([answer(batch) for batch in batches])
        scores.append(None if labels is None else _score(outputs, labels, classes))
        spreads.append(float(outputs.std(axis=0).mean()))
    return scores, spreads, len(rows)


def read_samples(section: dict[str, Any], steps: Sequence[dict[str, Any]], dtype: str, most: int) -> Any:
    """Give at most so many preprocessed samples, spread over all rows, as one array."""
    table, rows = _open(section)
    known = _steps(section, steps)
    values = [preprocess(np.asarray(table.inputs[""][int(row)]), known) for row in _thinned(rows, most)]
    return np.stack(values).astype(dtype)


def _open(section: dict[str, Any]) -> tuple[Table, Any]:
    spec = TypeAdapter(Dataset).validate_python(section)
    table = SOURCES[spec.source](spec, 0)
    return table, rows_to_look_at(table.count)


def _thinned(rows: Any, most: int) -> Any:
    return rows[:: -(-len(rows) // most)]


def _steps(section: dict[str, Any], steps: Sequence[dict[str, Any]]) -> tuple[Step, ...]:
    spec = TypeAdapter(Dataset).validate_python({**section, "preprocessing": list(steps)})
    return tuple(spec.preprocessing.get("", ()))


def _score(outputs: Any, labels: Any, classes: bool) -> float:
    if classes:
        rows = class_scores(outputs, "")
        return float(top1(rows, class_labels(labels, rows.shape[1], "", tuple(range(len(labels))))).mean())
    return -float(mae(outputs, labels).mean())
