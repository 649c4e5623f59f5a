"""The functions that a recipe names as `package.module:function`: found, called, and their errors told."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from tflite_pipeline.errors import StageError, did_you_mean

FRAMES = 3
_PACKAGE = Path(__file__).parent.parent


def source_file(key: str, name: str, folders: Sequence[Path]) -> Path | None:
    """Find the file of a function's module without running it; None where it lies in no file of its own.

    `folders` are searched before `sys.path`. Raises StageError where there is no such module.
    """
    module = name.partition(":")[0]
    search: Sequence[str] = [*map(str, folders), *sys.path]
    path = Path()
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        found = PathFinder.find_spec(".".join(parts[:length]), search)
        if found is None:
            raise _not_found(key, module)
        search, path = found.submodule_search_locations or [], Path(found.origin or "")
    return path if path.is_file() else None


def call(key: str, name: str, arguments: dict[str, Any]) -> Any:
    """Import the module and call the function; `key` is the recipe's key that names it, for messages.

    Raises StageError where there is no such module or function, and where the code itself fails.
    """
    function = _function(key, name)
    try:
        return function(**arguments)
    except StageError:
        raise
    except Exception as error:  # the user's own code
        raise failed(f"{key} {name}", error) from error


def failed(what: str, error: Exception) -> StageError:
    """Tell an error of the user's own code with the last lines of it that ran."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    log = "\n".join(f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames[-FRAMES:])
    return StageError(
        f"{what} failed with {type(error).__name__}: {error}",
        "Correct the function, or its arguments in the recipe.",
        log=log,
    )


def _is_users(file: str) -> bool:
    """Tell whether a file is neither Python's, nor a library's, nor ours."""
    return not file.startswith("<frozen") and "site-packages" not in file and _PACKAGE not in Path(file).parents


def _function(key: str, name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise failed(f"{key}: importing {module_name}", error) from error
        raise _not_found(key, module_name) from error
    except Exception as error:  # the user's own code
        raise failed(f"{key}: importing {module_name}", error) from error
    function: Callable[..., Any] | None = getattr(module, attribute, None)
    if not callable(function):
        names = [word for word, value in vars(module).items() if callable(value) and not word.startswith("_")]
        got = "no such name" if function is None else f"a {type(function).__name__}"
        raise StageError(
            f"{key} must name a function of {module_name} ({module.__file__}). "
            f"Got '{attribute}', {got}.{did_you_mean(attribute, names)}",
            f"Correct {key}.",
        )
    return function


def _not_found(key: str, module: str) -> StageError:
    return StageError(
        f"{key}: there is no module {module}.",
        "Put the module beside the recipe or install its package; the form is package.module:function.",
    )
