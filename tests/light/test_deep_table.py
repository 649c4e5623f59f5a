from __future__ import annotations

from dataclasses import replace

import pytest

from tflite_pipeline.artifacts import Engine
from tflite_pipeline.deep import Foresight
from tflite_pipeline.deep_table import show
from tflite_pipeline.train.tune.verdict import LayerVerdict, Outlook

CONV = LayerVerdict("conv", "CONV_2D + RELU", "integer", "int8 per channel", "int8", trains=True)
ADD = LayerVerdict("stage_3_block_1_shortcut_sum", "ADD", "range only", "", "int8", trains=False)
NORM = LayerVerdict(
    "stage_3_block_1_layer_normalization", "2 MEAN, SQUARED_DIFFERENCE, 2 ADD", "range only", "", "int8", False
)
SINE = LayerVerdict("sine", "SIN", "float", "", "float32", False, True, "it would compute in float", "Allow it.")
LOOP = LayerVerdict("gru", "WHILE", "refused", "", "", False, True, "it cannot be trained: loops", "Replace it.")
OPEN = LayerVerdict("dense", "FULLY_CONNECTED", "open", "", "", trains=False)


def foresight(*rows: LayerVerdict, **changes: object) -> Foresight:
    outlook = Outlook(rows, ("norm", "relu"), ("image",), ())
    return replace(Foresight("net", "full_int8", Engine("mlir", "the first choice"), outlook, ()), **changes)


@pytest.fixture
def shown(capsys, monkeypatch):
    def at(width: int, seen: Foresight) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        show(seen)
        return capsys.readouterr().out

    return at


def test_every_layer_is_a_row_and_one_line_sums_up(shown):
    lines = [line.rstrip() for line in shown(120, foresight(CONV, ADD)).splitlines()]
    assert lines[1:] == [
        "net",
        "layer                         ops             verdict     weights       trains",
        "conv                          CONV_2D + RELU  integer     int8/channel  yes",
        "stage_3_block_1_shortcut_sum  ADD             range only",
        "  engine      mlir: the first choice",
        "  activations int8 in all layers",
        "  folded      2 layers became part of others: norm, relu",
        "  gone        1 layer left no op of that name: image",
        "  will work   net: 5 layers, all integer; 1 trains",
    ]


def test_activations_have_a_column_when_they_differ(shown):
    text = shown(120, foresight(CONV, SINE))
    assert "activations  trains" in text
    assert "in all layers" not in text
    assert "  float       sine: it would compute in float. Allow it." in text
    assert "  will fail   net: 5 layers, 1 float, 1 integer; 1 trains" in text


@pytest.mark.parametrize("width", [72, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_word_of_an_op_is_cut(shown, width):
    text = shown(width, foresight(CONV, NORM))
    assert max(map(len, text.splitlines())) <= width
    for word in ("SQUARED_DIFFERENCE,", "2\u00a0MEAN,", "2\u00a0ADD", "range only", "int8/channel"):
        assert word in text


def test_only_what_is_known_is_in_the_table_when_no_engine_can(shown):
    failure = {"stage": "engine", "what": "full_int8 cannot be made of this model.", "remedy": "Use another."}
    text = shown(120, foresight(OPEN, LOOP, engine=None, failures=(failure,)))
    assert "dense" not in text
    assert "  refused     gru: it cannot be trained: loops. Replace it." in text
    assert "  fails       stage engine: full_int8 cannot be made of this model. Use another." in text
    assert "net: 5 layers, 1 refused, 1 not known; 1 failure" in text


def test_only_the_failure_is_told_when_the_model_cannot_be_exported(shown):
    failure = {"stage": "export", "what": "TFLite has no kernel for tf.Erf.", "remedy": ""}
    text = shown(120, foresight(outlook=None, engine=None, failures=(failure,)))
    assert text.splitlines()[1:] == [
        "net",
        "  fails       stage export: TFLite has no kernel for tf.Erf.",
        "  will fail   net: the model cannot be converted",
    ]


def test_a_long_list_of_folded_layers_is_cut(shown):
    names = tuple(f"norm_{number}" for number in range(20))
    text = shown(200, foresight(outlook=Outlook((CONV,), names, (), ())))
    assert "20 layers became part of others: norm_0," in text
    assert "norm_11 and 8 more" in text


def test_long_name_of_a_tensor_is_shown_by_its_end(shown):
    long = f"StatefulPartitionedCall/{'functional_1/' * 5}relu/Relu;functional_1/stem/convolution1;60241"
    text = shown(120, foresight(replace(CONV, layer=long), replace(SINE, layer=long)))
    assert "…/stem/convolution1  CONV_2D + RELU  integer" in text
    assert "float       …/stem/convolution1: it would" in text


def test_exit_code_is_that_of_a_stage_when_something_fails():
    assert foresight(CONV).exit_code == 0
    assert foresight(CONV, SINE).exit_code == 3
    assert foresight(CONV, failures=({"stage": "gate io", "what": "", "remedy": ""},)).exit_code == 3
