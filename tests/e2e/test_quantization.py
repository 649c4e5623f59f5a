"""Schemes, rules, engines and calibration methods as a user asks for them: what files hold, what reports say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflite_pipeline.runtime import flatbuffer, litert
from tflite_pipeline.runtime.graph import Graph, read_graphs
from tflite_pipeline.schemes import SCHEMES

pytestmark = pytest.mark.tf

ROWS = 150
KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "FULLY_CONNECTED")


@dataclass(frozen=True)
class Bench:
    """Runs recipes that differ in model and quantization, all into one folder, so that they share what they can."""

    folder: Path
    models: Path
    cli: Callable[..., Any]

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def recipe(self, name: str, model: str, quantization: dict[str, Any]) -> Path:
        source = "tflite" if model.endswith(".tflite") else "keras_file"
        data = self.folder / ("images.npz" if model.startswith("convolutions") else "rows.npz")
        inputs = "steps" if model.startswith("recurrent") else "x"
        path = self.folder / f"{name}.yaml"
        rows = {"calibration": {"split": "train", "samples": 100}, "evaluation": {"split": "test"}}
        content = {
            "recipe": 1,
            "name": name,
            "model": {"source": source, "path": str(self.models / model)},
            "dataset": {"source": "npz", "path": str(data), "inputs": inputs, "labels": "y", **rows},
            "quantization": quantization,
            "profile": {"runs": 5, "warmup": 1},
        }
        path.write_text(json.dumps(content))
        return path

    def run(self, name: str, model: str, **quantization: Any) -> Any:
        return self.cli("run", self.recipe(name, model, quantization), "--out", self.out)

    def report(self, name: str) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.out / name / "report.json").read_text())
        return report

    def graph(self, name: str) -> Graph:
        (graph,) = read_graphs(self.out / name / "model.tflite")
        return graph

    def scales(self, name: str) -> dict[str, tuple[float, int]]:
        """Give scale and zero point of what the first op of each kind puts out, where it has them."""
        graph = self.graph(name)
        tensors = flatbuffer.unpack(self.out / name / "model.tflite").subgraphs[0].tensors
        quantized = {kind: tensors[i].quantization for kind, i in outputs(graph).items() if graph.tensors[i].quantized}
        return {kind: (float(found.scale[0]), int(found.zeroPoint[0])) for kind, found in quantized.items()}

    def answers(self, name: str) -> np.ndarray:
        """What the float32 output of a result's file is for the first rows of the images."""
        interpreter = litert.open_interpreter(self.out / name / "model.tflite")
        (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
        found = []
        for image in np.load(self.folder / "images.npz")["x"][:20]:
            interpreter.set_tensor(entry["index"], image[None])
            interpreter.invoke()
            found.append(interpreter.get_tensor(result["index"])[0].copy())
        return np.array(found)


@pytest.fixture(scope="module")
def bench(run_cli, models, tmp_path_factory) -> Bench:
    folder, random = tmp_path_factory.mktemp("quantization"), np.random.default_rng(0)
    labels = np.arange(ROWS) % 3
    np.savez(folder / "images.npz", x=random.normal(size=(ROWS, 8, 8, 3)).astype(np.float32), y=labels)
    rows = random.normal(size=(ROWS, 4)).astype(np.float32)
    np.savez(folder / "rows.npz", x=rows, steps=random.normal(size=(ROWS, 5, 4)).astype(np.float32), y=labels)
    return Bench(folder, models, run_cli)


def outputs(graph: Graph) -> dict[str, int]:
    """Give the number of the result of the first op of each kind."""
    return {op.name: op.outputs[0] for op in reversed(graph.ops)}


def weights_by_op(graph: Graph) -> list[tuple[str, str]]:
    return [(op.name, weight.dtype) for op in graph.ops for weight in graph.weights_of(op)]


def test_a_float_file_becomes_every_scheme(bench):
    recipe = bench.recipe("every", "convolutions.tflite", {"scheme": "full_int8"})
    done = bench.cli("sweep", recipe, "--out", bench.out, "--json")
    assert done.code == 0, done.err
    rows = {row["scheme"]: row for row in json.loads(done.out)["rows"]}
    assert set(rows) == set(SCHEMES) - {"mixed"}
    too_wide = {"dynamic_int4_block64", "dynamic_int4_block128"}  # the deepest dense layer has 32 inputs
    assert {name: row["status"] for name, row in rows.items()} == {
        name: "refused" if name in too_wide else "passed" for name in rows
    }
    for name in too_wide:
        assert f"multiple of {name.removeprefix('dynamic_int4_block')}" in rows[name]["error"]["what"]
    made = {name: row for name, row in rows.items() if name not in too_wide}
    assert {name: row["found"] for name, row in made.items()} == {name: name for name in made}
    assert {name: row["engine"]["name"] for name, row in made.items()} == {
        name: "none" if name == "float32" else "mlir" if name in ("full_int8", "int16x8") else "ai_edge"
        for name in made
    }
    assert all(row["engine"]["why"] for row in made.values())
    assert made["dynamic_int4"]["bytes"] < made["dynamic_int8"]["bytes"] < made["float32"]["bytes"]


def test_engine_of_a_float_file_cannot_be_the_converter(bench):
    done = bench.run("converter", "convolutions.tflite", scheme="full_int8", engine="converter")
    assert done.code == 2
    assert "a finished file cannot go through the converter again" in done.err


@pytest.mark.parametrize("io", ["int8", "uint8"])
def test_each_layer_gets_the_scheme_of_the_first_rule_that_names_it(bench, io):
    rules = [
        {"layer": "conv", "scheme": "full_int8", "method": "mse"},
        {"tensor": "*depthwise*", "scheme": "int16x8"},
        {"layer": "hidden", "scheme": "dynamic_int4"},
        {"op": "FULLY_CONNECTED", "scheme": "weight_int8"},
    ]
    done = bench.run(f"mixed_{io}", "convolutions.keras", scheme="mixed", io=io, rules=rules)
    assert done.code == 0, done.err
    graph, report = bench.graph(f"mixed_{io}"), bench.report(f"mixed_{io}")
    assert report["scheme"] == {"asked": "mixed", "found": "mixed", "engine": "ai_edge"} | {
        "why": report["scheme"]["why"]
    }
    plan = report["audit"]["plan"]
    assert (plan["checked"], plan["not_checked"], plan["mismatches"]) == (5, [], [])
    assert [graph.tensors[i].dtype for i in [*graph.inputs, *graph.outputs]] == [io, io]
    dtypes = {kind: graph.tensors[outputs(graph)[kind]].dtype for kind in KINDS}
    assert dtypes == dict(zip(KINDS, ("int8", "int16", "float32", "float32"), strict=True))
    assert weights_by_op(graph) == [
        ("CONV_2D", "int8"),
        ("DEPTHWISE_CONV_2D", "int8"),
        ("FULLY_CONNECTED", "int4"),
        ("FULLY_CONNECTED", "int8"),
    ]
    packed = [weight.unpacked for op in graph.ops for weight in graph.weights_of(op)]
    assert packed == [False, False, False, True]


def test_rules_and_allowed_ops_that_mean_nothing_are_told_together_with_what_was_meant(bench):
    rules = [
        {key: name, "scheme": "full_int8"} for key, name in (("layer", "hiden"), ("op", "CONV2D"), ("tensor", "no*"))
    ]
    done = bench.run("strangers", "convolutions.keras", scheme="mixed", rules=rules)
    assert done.code == 3
    for text in ("layer 'hiden'", "op 'CONV2D'", "tensor 'no*'", "Did you mean 'hidden'?", "Did you mean 'CONV_2D'?"):
        assert text in done.err
    done = bench.run("allowed", "convolutions.keras", scheme="full_int8", allow_float=["MEEN"])
    assert done.code == 3
    assert "There is no op 'MEEN'. Did you mean 'MEAN'?" in done.err


def test_an_op_without_integer_kernel_fails_the_gate_unless_it_is_allowed(bench):
    done = bench.run("strict", "solid.keras", scheme="full_int8")
    assert done.code == 1, done.err
    report = bench.report("strict")
    (gate,) = [gate for gate in report["gates"] if gate["name"] == "scheme"]
    assert gate["verdict"] == "failed"
    assert "1 CONV_3D compute in float" in gate["text"]
    assert "(layer solid)" in gate["text"]
    assert [(row["op"], row["layer"]) for row in report["audit"]["float_ops"]] == [("CONV_3D", "solid")]
    assert "quantization.allow_float" in done.out
    done = bench.run("lenient", "solid.keras", scheme="full_int8", allow_float=[{"layer": "solid"}])
    assert done.code == 0, done.err
    report = bench.report("lenient")
    assert [row["op"] for row in report["audit"]["allowed_float_ops"]] == ["CONV_3D"]
    assert report["scheme"]["found"] == "full_int8"


@pytest.mark.parametrize("model", ["recurrent3.keras", "recurrent2.h5"])
def test_a_recurrent_layer_works_under_integer_schemes_too(bench, model):
    schemes = ("float16", "full_int8", "int16x8")
    recipe = bench.recipe("loop", model, {"scheme": "float16"})
    done = bench.cli("sweep", recipe, "--out", bench.out, "--json", "--schemes", ",".join(schemes))
    assert "Traceback" not in done.err
    rows = {row["scheme"]: row for row in json.loads(done.out)["rows"]}
    assert {scheme: row["status"] for scheme, row in rows.items()} == dict.fromkeys(schemes, "passed")


def test_several_signatures_keep_their_activations_float(bench):
    done = bench.run("signatures", "two_signatures.tflite", scheme="full_int8")
    assert done.code == 3
    assert "2 signatures" in done.err
    assert "Export the model with one signature." in done.err
    assert bench.run("signatures", "two_signatures.tflite", scheme="dynamic_int8").code == 0
    graphs = read_graphs(bench.out / "signatures" / "model.tflite")
    assert [{dtype for _, dtype in weights_by_op(graph)} for graph in graphs] == [{"int8"}, {"int8"}]


def test_a_quantized_file_is_refused(bench):
    assert bench.run("first", "convolutions.tflite", scheme="dynamic_int8").code == 0
    again = bench.run("again", str(bench.out / "first" / "model.tflite"), scheme="full_int8")
    assert again.code == 3
    assert "must be float32" in again.err
    assert "Give the model with float32 weights." in again.err


def test_the_method_decides_the_scales_for_all_layers_or_by_rule(bench):
    settings = {
        "minmax": {"calibration": {"method": "minmax"}},
        "cut": {"calibration": {"method": "percentile", "percentile": 80.0}},
        "by_rule": {
            "calibration": {"method": "minmax", "percentile": 80.0},
            "rules": [{"op": "CONV_2D", "method": "percentile"}],
        },
    }
    scales = {}
    for name, more in settings.items():
        done = bench.run(name, "convolutions.tflite", scheme="full_int8", engine="ai_edge", **more)
        assert done.code == 0, done.err
        found = bench.scales(name)
        scales[name] = [found[kind][0] for kind in KINDS[:2]]
        assert json.loads((bench.out / name / "calibration.json").read_text())["method"] in ("minmax", "percentile")
    assert scales["by_rule"][0] == scales["cut"][0] < scales["minmax"][0]
    assert scales["by_rule"][1] == scales["minmax"][1] > scales["cut"][1]


@pytest.mark.parametrize("engine", ["mlir", "ai_edge"])
def test_settings_for_accelerators_are_in_the_file(bench, engine):
    plain, asked = f"plain_{engine}", f"asked_{engine}"
    more = {"per_channel_dense": False, "symmetric_activations": True}
    assert bench.run(plain, "convolutions.tflite", scheme="full_int8", engine=engine).code == 0
    assert bench.run(asked, "convolutions.tflite", scheme="full_int8", engine=engine, **more).code == 0
    dense = [
        [weight.granularity for op in bench.graph(name).ops for weight in bench.graph(name).weights_of(op)][-2:]
        for name in (plain, asked)
    ]
    assert dense == [["per_channel"] * 2, ["per_tensor"] * 2]
    assert {kind: bench.scales(asked)[kind][1] for kind in KINDS} == dict.fromkeys(KINDS, 0)
    assert bench.report(asked)["scheme"]["why"] == "the recipe names it"
    bench.run("float", "convolutions.tflite", scheme="float32")
    exact = bench.answers("float")
    for name in (plain, asked):
        assert np.abs(bench.answers(name) - exact).max() < 0.1 * np.ptp(exact)


@pytest.mark.parametrize("damage", ["cut", "deleted", "entry"])
def test_a_damaged_calibration_is_made_anew(bench, damage):
    name = f"damaged_{damage}"
    settings = {"scheme": "full_int8", "engine": "ai_edge", "calibration": {"method": "entropy"}}
    assert bench.run(name, "convolutions.tflite", **settings).code == 0
    before = bench.report(name)["model"]["sha256"]
    ranges = sorted(bench.out.glob(".cache/calibrate/*/low.npy")) + sorted(bench.out.glob(".cache/spread/*/counts.npy"))
    for path in ranges:
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:-8])
        elif damage == "deleted":
            path.unlink()
        else:
            (path.parent / "entry.json").write_text("{")
    for entry in bench.out.glob(".cache/quantize/*/entry.json"):
        entry.unlink()
    done = bench.run(name, "convolutions.tflite", **settings)
    assert done.code == 0, done.err
    report = bench.report(name)
    assert report["model"]["sha256"] == before
    assert not {"calibrate", "spread", "quantize"} & set(report["cached"])


PASSES = ["weight_clipping", "gptq", "depthwise_search", "bias_correction"]
RULES = [{"op": "CONV_2D", "scheme": "int8x4"}, {"tensor": "*", "scheme": "full_int8"}]


@pytest.mark.parametrize(
    "section",
    [
        {"scheme": "int8x4"},
        {"scheme": "full_int8", "engine": "mlir"},
        {"scheme": "full_int8", "engine": "ai_edge", "per_channel_dense": False},
        {"scheme": "mixed", "rules": RULES},
        {"scheme": "weight_int4"},
    ],
    ids=["int8x4", "mlir", "ai_edge", "mixed", "weight_int4"],
)
def test_recovery_comes_nearer_to_float_under_every_engine(bench, section, request):
    name = f"recovery_{request.node.callspec.id}"
    assert bench.run(f"{name}_plain", "convolutions.tflite", **section).code == 0
    done = bench.run(name, "convolutions.tflite", **section, recovery=PASSES)
    assert done.code == 0, done.err
    found = bench.report(name)["recovery"]
    assert (found["asked"], found["used"]) == (PASSES, PASSES)
    assert "recovery   weight_clipping" in done.out
    float_file = litert.open_interpreter(bench.models / "convolutions.tflite")
    wanted = []
    for image in np.load(bench.folder / "images.npz")["x"][:20]:
        float_file.set_tensor(float_file.get_input_details()[0]["index"], image[None])
        float_file.invoke()
        wanted.append(float_file.get_tensor(float_file.get_output_details()[0]["index"])[0].copy())
    before, after = (np.square(bench.answers(one) - wanted).mean() for one in (f"{name}_plain", name))
    assert after < before


def test_auto_tells_what_it_tried_and_keeps_one_of_the_files(bench):
    done = bench.run("auto", "convolutions.tflite", scheme="int8x4", recovery="auto")
    assert done.code == 0, done.err
    report = bench.report("auto")
    tried = {tuple(row["passes"]): row for row in report["recovery"]["tried"]}
    used = tuple(report["recovery"]["used"])
    assert tried[used]["fingerprint"] == report["model"]["fingerprint"]
    assert tried[used]["sqnr_db"] >= tried[()]["sqnr_db"]
    page = (bench.out / "auto" / "report.html").read_text()
    assert "<h3>Recovery</h3>" in page
    assert f"{tried[used]['sqnr_db']:.1f} dB" in page
    again = bench.run("auto", "convolutions.tflite", scheme="int8x4", recovery="auto")
    assert (again.code, bench.report("auto")["model"]["sha256"]) == (0, report["model"]["sha256"])


def test_recovery_that_the_graph_does_not_let_is_refused_by_name_and_left_out_by_auto(bench):
    done = bench.run("lstm", "recurrent2.h5", scheme="full_int8", recovery=["bias_correction"])
    assert done.code == 3
    assert "recovery cannot be done on this model: only the engine converter can make the file" in done.err
    done = bench.run("lstm", "recurrent2.h5", scheme="full_int8", recovery="auto")
    assert done.code == 0, done.err
    assert "recovery   not tried: only the engine converter" in done.out
    assert bench.report("lstm")["recovery"]["used"] == []
