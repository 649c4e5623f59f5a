"""Reference, ranges and scheme to the quantized file; the engine does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tflite_pipeline.artifacts import Engine, Histograms, QuantizedModel, Ranges, Reference, Samples, file_digest
from tflite_pipeline.convert.engines import ai_edge, converter, mlir
from tflite_pipeline.convert.engines.job import Job
from tflite_pipeline.convert.methods import choose_limits
from tflite_pipeline.convert.plan import Plan, make_plan
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.graph import Graph, read_graphs
from tflite_pipeline.schemes import SCHEMES


class _Engine(Protocol):
    def quantize(self, job: Job) -> bytes:
        """Give the content of the quantized file."""

    def refusal(self, spec: Quantization, reference: Reference, graphs: tuple[Graph, ...]) -> str:
        """Say why this engine cannot make what was asked; nothing where it can."""


ENGINES: dict[str, _Engine] = {"mlir": mlir, "ai_edge": ai_edge, "converter": converter}


def choose_engine(spec: Quantization, reference: Reference, out: Path) -> Engine:
    """Take the engine that the recipe names, or the first of the scheme's that can do it; nothing is written.

    Raises StageError where none can.
    """
    del out
    if spec.scheme == "float32":
        return Engine("none", "the reference is float32 already")
    graphs = tuple(read_graphs(reference.path))
    able = SCHEMES[spec.scheme].engines if spec.engine == "auto" else (spec.engine,)
    refusals = {}
    for name in able:
        refusals[name] = ENGINES[name].refusal(spec, reference, graphs)
        if not refusals[name]:
            passed_over = "; ".join(f"{other} cannot: {why}" for other, why in refusals.items() if why)
            return Engine(name, passed_over or _first(spec, name))
    told = "; ".join(f"{name}: {why}" for name, why in refusals.items())
    remedy = "Try another scheme (dynamic_int8 quantizes most models)."
    raise StageError(f"no engine can make {spec.scheme} of this model ({told}).", remedy)


def _first(spec: Quantization, name: str) -> str:
    return "the recipe names it" if spec.engine != "auto" else f"the first choice for {spec.scheme}"


def quantize(
    spec: Quantization,
    engine: Engine,
    reference: Reference,
    samples: Samples | None,
    spread: tuple[Ranges | None, Histograms | None],
    out: Path,
) -> QuantizedModel:
    """Write `model.tflite` below `out`, its inputs and outputs in the order of the reference.

    Scheme float32 is the reference itself. Raises StageError where the engine cannot do what was asked, and where the
    ranges are not those of this reference.
    """
    graphs = tuple(read_graphs(reference.path))
    plan = make_plan(spec, graphs, reference.layers)
    if engine.name == "none":
        content = reference.path.read_bytes()
    else:
        limits = choose_limits(spec, reference, plan, *spread)
        content = ENGINES[engine.name].quantize(Job(spec, reference, graphs, plan, limits, samples))
        names = [info.name for info in reference.inputs], [info.name for info in reference.outputs]
        content = litert.reorder(content, *names)
    path = out / "model.tflite"
    path.write_bytes(content)
    planned = _by_tensor(graphs, plan) if spec.scheme == "mixed" else {}
    return QuantizedModel(path, file_digest(path), spec.scheme, spec.io, engine, planned)


def _by_tensor(graphs: tuple[Graph, ...], plan: Plan) -> dict[str, str]:
    return {
        graph.tensors[op.outputs[0]].name: plan.schemes[graph.index, op.index]
        for graph in graphs
        for op in graph.ops
        if op.outputs
    }
