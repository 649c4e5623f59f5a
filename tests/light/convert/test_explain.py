"""What the converter says becomes what a user can act on."""

from __future__ import annotations

import pytest

from tflite_pipeline.convert.explain import explained
from tflite_pipeline.errors import StageError

FEW = "Try another scheme (dynamic_int8 quantizes most models), or leave out the op that is named."


def told(scheme: str, error: Exception) -> StageError:
    with pytest.raises(StageError) as caught, explained(scheme):
        raise error
    return caught.value


def test_every_op_without_a_kernel_is_named_once() -> None:
    ops = ("tf.Unique", "tf.StringSplit", "tf.Unique")
    error = told("float32", RuntimeError("\n".join(f"'{op}' op is neither a custom op nor a flex op" for op in ops)))
    assert error.what == "TFLite has no kernel for tf.StringSplit, tf.Unique under float32."


@pytest.mark.parametrize(
    ("scheme", "remedy"),
    [("full_int8", FEW), ("float32", "Leave out the op that is named, or replace the layer that makes it.")],
)
def test_the_line_with_the_error_is_told_with_a_remedy_that_fits(scheme: str, remedy: str) -> None:
    error = told(scheme, ValueError("a note\n\nloc: error: 'tfl.pad' op is odd\nanother note"))
    assert error.what == f"the TFLite converter refused {scheme}: loc: error: 'tfl.pad' op is odd"
    assert error.remedy == remedy


def test_an_error_without_a_text_is_told_by_its_kind() -> None:
    assert told("full_int8", KeyError()).what == "the TFLite converter refused full_int8: KeyError"


def test_an_error_of_our_own_stays_as_it_is() -> None:
    error = StageError("what", "remedy")
    assert told("full_int8", error) is error
