from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.targets.demands import DEMANDS, able_io, able_schemes, choose_io
from tflite_pipeline.targets.profiles import TARGETS, check_targets

DATA = Path(__file__).parents[2] / "data"
STORED = {
    "float16": "float16",
    "dynamic_int8": "audit_dynamic_int8",
    "dynamic_int4": "audit_dynamic_int4",
    "dynamic_int4_block32": "audit_dynamic_int4_block32",
    "weight_int8": "audit_weight_int8",
    "weight_int4": "audit_weight_int4",
    "full_int8": "audit_full_int8_per_tensor",
    "int8x4": "audit_int8x4",
    "int16x8": "int16x8",
    "float32": "audit_float32",
}
"""By scheme: a stored file of it, with convolutions and dense layers where there is one."""
BY_VELA = ("ethos-u55", "ethos-u65", "ethos-u85")
REFUSED = [
    (target, scheme)
    for target, demand in DEMANDS.items()
    for scheme in STORED
    if scheme in demand.refuses and target not in BY_VELA
]


def test_every_target_has_its_demands() -> None:
    assert list(DEMANDS) == list(TARGETS)
    named = {name for demand in DEMANDS.values() for name in (*demand.refuses, *demand.one_scale)}
    assert named <= set(SCHEMES)


@pytest.mark.parametrize(("target", "scheme"), REFUSED)
def test_a_scheme_is_refused_beforehand_only_when_the_check_fails_its_file(
    target: str, scheme: str, tmp_path: Path
) -> None:
    (check,) = check_targets((target,), DATA / f"{STORED[scheme]}.tflite", (), tmp_path).checks
    assert check["passed"] is False


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [name for name in STORED if name in DEMANDS["ethos-u55"].refuses])
def test_a_scheme_is_refused_for_ethos_u_only_when_vela_does_not_take_its_file(scheme: str, tmp_path: Path) -> None:
    (check,) = check_targets(("ethos-u55",), DATA / f"{STORED[scheme]}.tflite", (), tmp_path).checks
    assert check["passed"] is False


def test_dense_layers_need_one_scale_where_the_demand_says_so(tmp_path: Path) -> None:
    by_channel = {"edgetpu": "full_int8_int8_io", "tflite-2.14": "audit_dynamic_int8", "tflm": "audit_weight_int8"}
    assert set(by_channel) == {name for name, demand in DEMANDS.items() if demand.one_scale}
    for target, name in by_channel.items():
        (check,) = check_targets((target,), DATA / f"{name}.tflite", (), tmp_path).checks
        assert any("scale" in finding for finding in check["findings"])


def test_io_is_float32_unless_a_target_takes_none() -> None:
    assert choose_io("full_int8", ["litert", "web", "gpu"]) == "float32"
    assert choose_io("full_int8", ["gpu", "ethos-u55"]) == "int8"
    assert choose_io("int16x8", ["ethos-u85"]) == "int16"
    assert choose_io("full_int8", ["web", "ethos-u55"]) == "uint8"
    assert able_io("full_int8", ["ethos-u65"]) == ("int8", "uint8")
    assert choose_io("full_int8", ["no-such-target"]) == "float32"


def test_every_two_targets_leave_a_scheme_and_an_io_open() -> None:
    for pair in itertools.combinations(DEMANDS, 2):
        assert any(able_io(scheme, pair) for scheme in able_schemes(pair)), pair


def test_schemes_of_several_targets_are_those_that_none_refuses() -> None:
    assert able_schemes(["ethos-u55", "gpu"]) == ("full_int8", "mixed")
    assert able_schemes([]) == tuple(SCHEMES)


def test_demands_need_no_numpy() -> None:
    code = "import sys, tflite_pipeline.targets.demands; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
