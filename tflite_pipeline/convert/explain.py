"""What the TFLite converter says, in words that name the op, the layer and the remedy."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from tflite_pipeline.errors import StageError

NO_KERNEL = re.compile(r"'(tf\.\w+)' op is neither a custom op nor a flex op")


@contextlib.contextmanager
def explained(scheme: str) -> Iterator[None]:
    """Turn an error of the converter inside the block into a StageError."""
    try:
        yield
    except StageError:
        raise
    except Exception as error:
        raise _stage_error(scheme, error) from error


def _stage_error(scheme: str, error: Exception) -> StageError:
    text = str(error)
    if ops := sorted(set(NO_KERNEL.findall(text))):
        return StageError(
            f"TFLite has no kernel for {', '.join(ops)} under {scheme}.",
            "Replace the layer that makes it, or take that computation out of the model (text and lookup layers "
            "belong before it). TensorFlow ops in a .tflite (Flex) do not run in today's interpreters.",
        )
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line] or lines
    remedy = "Try another scheme (dynamic_int8 quantizes most models), or leave out the op that is named."
    if scheme == "float32":  # the reference, which all schemes are made of
        remedy = "Leave out the op that is named, or replace the layer that makes it."
    return StageError(
        f"the TFLite converter refused {scheme}: {errors[0].strip()[:300] if errors else type(error).__name__}",
        remedy,
    )
