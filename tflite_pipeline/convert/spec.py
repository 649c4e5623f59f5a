"""The `quantization` section of a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tflite_pipeline.convert.schemes import SCHEMES
from tflite_pipeline.errors import did_you_mean
from tflite_pipeline.spec import Mistake, Section

Io = Literal["float32", "int8", "uint8", "int16"]


class Calibration(Section):
    """How ranges are taken from the calibration samples."""

    method: Literal["minmax"] = "minmax"
    """`minmax`: the smallest and largest value seen."""


class Quantization(Section):
    """Which scheme, and the dtype at the file's border."""

    scheme: str
    """A name that `tflite-pipeline list` shows, e.g. `full_int8`."""
    io: Io = "float32"
    """Dtype of the inputs and outputs of the file."""
    calibration: Calibration = Calibration()

    def mistakes(self) -> Iterator[Mistake]:
        """Tell an unknown scheme, and an io that the scheme cannot have."""
        scheme = SCHEMES.get(self.scheme)
        if scheme is None:
            hint = " 'int8' alone says too little: full_int8 computes in integers, dynamic_int8 only stores them."
            suggestion = hint if self.scheme == "int8" else did_you_mean(self.scheme, SCHEMES)
            yield ("scheme",), f"must be one of {', '.join(SCHEMES)}. Got '{self.scheme}'.{suggestion}"
        elif self.io not in scheme.io:
            yield ("io",), f"must be {' or '.join(scheme.io)} with scheme: {self.scheme}. Got '{self.io}'."
