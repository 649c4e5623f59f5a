"""What is told of each layer of a tiny network, from the file that its scheme makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.artifacts import Engine, QuantizedModel, Reference, file_digest
from tflite_pipeline.runtime import litert
from tflite_pipeline.spec import Selector
from tflite_pipeline.train.spec import Prune, Qat
from tflite_pipeline.train.tune.verdict import ALLOW_IT, NOT_TRAINED, LayerVerdict, Outlook, Wanted, foretell

DATA = Path(__file__).parents[2] / "data"
LAYERS = ("functional", "image", "conv", "spread", "conv_1", "twin", "add", "flat", "wide", "narrow", "scores")
QAT = (Qat(method="qat"),)


def reference_of(file: str, layers: tuple[str, ...] = LAYERS) -> Reference:
    path = DATA / f"{file}.tflite"
    return Reference(path, file_digest(path), *litert.describe(path), None, None, "keras_file", layers)


def draft_of(file: str, scheme: str, plan: dict[str, str] | None = None) -> QuantizedModel:
    path = DATA / f"{file}.tflite"
    return QuantizedModel(path, file_digest(path), scheme, "float32", Engine("ai_edge", ""), plan or {})


def told(draft: str | None, scheme: str, steps: Any = (), reference: str = "audit_float32", **wanted: Any) -> Outlook:
    made = draft_of(draft, scheme) if draft else None
    return foretell(reference_of(reference), made, steps, Wanted(scheme=scheme, **wanted), Path("never written"))


def row_of(outlook: Outlook, layer: str) -> LayerVerdict:
    return next(row for row in outlook.rows if row.layer == layer)


def test_each_layer_has_one_row_in_the_order_of_the_graph() -> None:
    outlook = told("audit_int8x4", "int8x4")
    names = ["conv", "spread", "conv_1", "twin", "add", "flat", "wide", "narrow", "scores"]
    assert [row.layer for row in outlook.rows] == names
    assert row_of(outlook, "conv").ops == "CONV_2D + RELU"


def test_op_goes_by_the_name_of_its_tensor_when_no_layers_are_known() -> None:
    outlook = foretell(reference_of("audit_float32", ()), None, (), Wanted(scheme="full_int8"), Path("never"))
    assert len(outlook.rows) == 9
    assert [row.layer for row in outlook.rows][-2:] == ["functional_1/narrow_1/MatMul1", "StatefulPartitionedCall:0"]


def test_layers_without_an_op_are_told_and_the_model_is_no_layer() -> None:
    outlook = told("audit_int8x4", "int8x4")
    assert (outlook.folded, outlook.gone) == ((), ("image",))


def test_weights_are_told_as_the_draft_stores_them() -> None:
    outlook = told("audit_int8x4", "int8x4")
    found = {row.layer: (row.verdict, row.weights, row.activations) for row in outlook.rows}
    assert found["conv"] == ("integer", "int4 per channel", "int8")
    assert found["spread"] == ("integer", "int8 per channel", "int8")
    assert found["add"] == ("range only", "", "int8")


def test_layers_of_a_dynamic_scheme_pack_weights_only_and_float_is_as_asked() -> None:
    outlook = told("audit_dynamic_int8", "dynamic_int8")
    assert row_of(outlook, "wide").verdict == "weights only"
    assert row_of(outlook, "add").verdict == "float"
    assert not any(row.against for row in outlook.rows)


def test_layers_train_when_the_recipe_trains_on_the_graph() -> None:
    assert not any(row.trains for row in told("audit_int8x4", "int8x4").rows)
    outlook = told("audit_int8x4", "int8x4", QAT)
    assert [row.layer for row in outlook.rows if row.trains] == ["conv", "spread", "conv_1", "twin", "wide", "narrow"]
    assert outlook.obstacles == ()


def test_float_layer_is_against_an_integer_scheme() -> None:
    outlook = told("audit_full_int8_float_tail", "full_int8")
    assert [row.layer for row in outlook.rows if row.against] == ["narrow", "scores"]
    assert row_of(outlook, "narrow").remedy == ALLOW_IT


@pytest.mark.parametrize("selector", [{"layer": "narrow"}, {"op": "FULLY_CONNECTED"}])
def test_float_layer_is_not_against_the_scheme_when_the_recipe_allows_it(selector: dict[str, str]) -> None:
    outlook = told("audit_full_int8_float_tail", "full_int8", allow_float=(Selector(**selector),))
    row = row_of(outlook, "narrow")
    assert (row.verdict, row.against, row.reason) == ("float", False, "quantization.allow_float permits it")


def test_float_layer_of_a_mixed_file_is_judged_by_its_plan() -> None:
    name = "functional_1/twin_1/convolution1"
    for planned, against in (("float32", False), ("full_int8", True)):
        draft = draft_of("audit_mixed", "mixed", {name: planned})
        outlook = foretell(reference_of("audit_float32"), draft, (), Wanted(scheme="mixed"), Path("never"))
        assert row_of(outlook, "twin").against is against


def test_recurrent_layer_is_refused_when_the_recipe_trains_on_the_graph() -> None:
    outlook = told(None, "full_int8", (Prune(method="prune"),), "lstm_float32")
    refused = [row for row in outlook.rows if row.verdict == "refused"]
    assert [row.ops.split()[0] for row in refused] == ["UNIDIRECTIONAL_SEQUENCE_LSTM"]
    assert refused[0].against
    assert "unroll" in refused[0].reason
    assert refused[0].remedy == NOT_TRAINED


def test_layers_are_open_when_there_is_no_draft() -> None:
    assert {row.verdict for row in told(None, "full_int8").rows} == {"open"}


def test_weights_in_blocks_keep_training_from_beginning() -> None:
    outlook = told("audit_dynamic_int4_block32", "dynamic_int4_block32", QAT)
    assert ["weights with a scale for each block" in what for what, _ in outlook.obstacles] == [True]
    assert row_of(outlook, "wide").weights == "int4 block32"


def test_op_without_numbers_is_untouched() -> None:
    path = reference_of("lookup", ()).path
    outlook = foretell(reference_of("lookup", ()), draft_of(path.stem, "float32"), (), Wanted(scheme="float32"), path)
    assert next(row for row in outlook.rows if row.ops == "SUM").verdict == "untouched"
