from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tflite_pipeline.runtime import flatbuffer
from tflite_pipeline.targets.floor import app_needs, describe_floor, runtime_floor
from tflite_pipeline.targets.kernel_rules import RULES
from tflite_pipeline.targets.op_versions import LAST, RELEASES
from tflite_pipeline.targets.profiles import check_targets

DATA = Path(__file__).parents[2] / "data"


def written(model: Any, path: Path) -> Path:
    path.write_bytes(flatbuffer.pack(model))
    return path


@pytest.mark.parametrize(
    ("name", "release", "why"),
    [
        ("float32", "1.5", "FULLY_CONNECTED version 1 came with 1.5"),
        ("dynamic_int8", "2.17", "FULLY_CONNECTED version 12 came with 2.17"),
        ("audit_dynamic_int8", "2.16", "one scale for int8 weights that have one a channel"),
        ("audit_weight_int4", "2.18", "refuse to unpack int4 weights"),
        ("audit_dynamic_int4", "2.19", "wrong numbers, or none, from int4 weights at float data"),
        ("audit_int8x4", "2.19", "refuse int4 weights of a dense layer"),
        ("audit_dynamic_int4_block32", "2.21", "share a scale in blocks"),
        ("audit_mixed", "2.22", "refuse to turn integers of 8 bits into ones of 16"),
    ],
)
def test_the_floor_is_the_newest_release_that_anything_needs(name: str, release: str, why: str) -> None:
    floor = describe_floor(DATA / f"{name}.tflite")
    assert floor["release"] == release
    assert any(why in reason for reason in floor["because"]), floor["because"]


def test_the_files_own_claim_is_compared_with_what_was_found() -> None:
    honest = describe_floor(DATA / "dynamic_int8.tflite")
    assert (honest["claimed"], honest["claim_holds"]) == ("2.17.0", True)
    wrong = describe_floor(DATA / "audit_dynamic_int4.tflite")
    assert wrong["claim_holds"] is False
    assert wrong["claimed"] < "2.19"


def test_a_version_that_no_table_knows_is_told_and_decides_nothing(tmp_path: Path) -> None:
    model = flatbuffer.unpack(DATA / "float32.tflite")
    model.operatorCodes[0].version = 99
    path = written(model, tmp_path / "future.tflite")
    assert runtime_floor(path).unknown == ("FULLY_CONNECTED version 99",)
    (check,) = check_targets(("tflite-2.14",), path, (), tmp_path).checks
    assert (check["passed"], check["findings"]) == (None, ["FULLY_CONNECTED version 99 is in no table: not checked."])


def test_an_op_that_no_graph_uses_counts_since_runtimes_look_it_up(tmp_path: Path) -> None:
    model = flatbuffer.unpack(DATA / "float32.tflite")
    code = schema.OperatorCodeT()
    code.builtinCode = schema.BuiltinOperator.STABLEHLO_CASE
    code.deprecatedBuiltinCode, code.version = flatbuffer.OLD_CODES, 1
    model.operatorCodes.append(code)
    assert runtime_floor(written(model, tmp_path / "more.tflite")).release == "2.19"


def test_an_output_with_a_tiny_scale_needs_a_newer_release_when_its_activation_clips_at_6(tmp_path: Path) -> None:
    model = flatbuffer.unpack(DATA / "audit_full_int8_per_tensor.tflite")
    first = model.subgraphs[0].operators[0]
    first.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU6
    assert runtime_floor(written(model, tmp_path / "clips.tflite")).release < "2.19"
    model.subgraphs[0].tensors[first.outputs[0]].quantization.scale = np.array([2e-9], np.float32)
    assert runtime_floor(written(model, tmp_path / "clips_far.tflite")).release == "2.19"


def test_the_table_holds_releases_in_order_and_every_one_has_packages() -> None:
    releases = {release for row in RELEASES.values() for release in row if release != "-"}
    releases |= {rule.release for rule in RULES}
    assert all(set(app_needs(release)) == {"gradle", "pod", "pip", "tflm"} for release in releases | {LAST})
    assert app_needs("2.14")["pip"] == "tflite-runtime==2.14.0"
    assert app_needs("2.17")["gradle"] == "org.tensorflow:tensorflow-lite:2.17.0"
