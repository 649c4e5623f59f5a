"""A live Keras model and its history in; files out from which a killed training goes on or a good epoch comes back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

FILES = "epoch-*.npz"


class Checkpoints:
    """`epoch-<n>.npz` is written once the history has n rows, and holds them with every variable, the optimizer's too.

    Variables are kept by their order and not by their names, so a subclassed model, and variables of its own on any
    layer, are kept whole. The random generators of Keras 3 are among them: dropout goes on as if never killed.
    A file is written under another name and renamed: it is there whole or not at all.
    """

    def __init__(self, folder: Path, live: Any) -> None:
        """`live` is built and so is its optimizer: no variable may come later."""
        folder.mkdir(parents=True, exist_ok=True)
        passing = {id(variable) for metric in live.metrics for variable in metric.variables}
        self._folder = folder
        self._model = [variable for variable in live.variables if id(variable) not in passing]
        self._all = [*self._model, *live.optimizer.variables]

    def restore(self) -> list[dict[str, float]]:
        """Load the newest checkpoint and give the rows of its history; none is an empty list."""
        files = sorted(self._folder.glob(FILES))
        if not files:
            return []
        with np.load(files[-1]) as stored:
            _assign(self._all, stored)
            history: list[dict[str, float]] = json.loads(str(stored["history"]))
        return history

    def save(self, history: list[dict[str, float]], best: int) -> None:
        """Write what the model and the optimizer hold now; of the older files that of the row `best` stays."""
        variables: dict[str, Any] = {f"{index:05}": np.asarray(value) for index, value in enumerate(self._all)}
        fresh, file = self._folder / "new.npz", self._file(len(history) - 1)
        np.savez(fresh, history=np.array(json.dumps(history)), **variables)
        fresh.replace(file)
        for older in self._folder.glob(FILES):
            if older not in (file, self._file(best)):
                older.unlink()

    def take(self, row: int) -> None:
        """Give the model the weights that it had with that row of the history, the newest one or the best."""
        with np.load(self._file(row)) as stored:
            _assign(self._model, stored)

    def _file(self, row: int) -> Path:
        return self._folder / f"epoch-{row + 1:05}.npz"


def forget(folder: Path) -> None:
    """Delete the checkpoints of a training whose result is written."""
    for path in (*folder.glob(FILES), folder / "new.npz"):
        path.unlink(missing_ok=True)


def _assign(variables: Sequence[Any], stored: Any) -> None:
    for index, variable in enumerate(variables):
        # NumPy stores a dtype that it does not know, such as bfloat16, as bytes.
        variable.assign(stored[f"{index:05}"].view(np.asarray(variable).dtype))
