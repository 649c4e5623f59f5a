"""The `profile` section of a recipe: how latency is measured."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tflite_pipeline.spec import Count, Section


class Latency(Section):
    """How often the file is run, and on how many threads."""

    threads: Count = 1
    """CPU threads that LiteRT may use for one run. Example: `2`."""
    warmup: Annotated[int, Field(ge=0)] = 5
    """Runs before the clock starts. Example: `10`."""
    runs: Count = 50
    """Runs that are timed; fewer, but at least 5, once they took half a second together. Example: `200`."""
