"""Reference, ranges and scheme to the quantized file; the engine does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tflite_pipeline.artifacts import Engine, Histograms, QuantizedModel, Ranges, Reference, Samples, file_digest
from tflite_pipeline.convert.engines import ai_edge, converter, mlir
from tflite_pipeline.convert.engines.job import Job
from tflite_pipeline.convert.methods import choose_limits
from tflite_pipeline.convert.observe import find_obstacle
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

    Raises StageError where none can, and where a rule or `allow_float` means no op, before anything slow begins.
    """
    del out
    graphs = tuple(read_graphs(reference.path))
    make_plan(spec, graphs, reference.layers)
    if spec.scheme == "float32":
        return Engine("none", "the reference is float32 already")
    able = SCHEMES[spec.scheme].engines if spec.engine == "auto" else (spec.engine,)
    refusals: dict[str, list[str]] = {}
    for name in able:
        why = ENGINES[name].refusal(spec, reference, graphs)
        if not why:
            return Engine(name, _told(refusals) or _first(spec))
        refusals.setdefault(why, []).append(name)
    raise StageError(f"{spec.scheme} cannot be made of this model: {_told(refusals)}.", _remedy(spec, graphs))


def _told(refusals: dict[str, list[str]]) -> str:
    """Give each reason once, with the engines that have it."""
    return "; ".join(f"{' and '.join(names)} cannot: {why}" for why, names in refusals.items())


def _remedy(spec: Quantization, graphs: tuple[Graph, ...]) -> str:
    if any(tensor.quantized or tensor.dtype == "float16" for graph in graphs for tensor in graph.tensors):
        return "Give the model with float32 weights."
    if spec.calibrated and (obstacle := find_obstacle(graphs)):
        in_vain = spec.scheme == "int16x8" and "converter" in obstacle.remedy  # it has no int16 for ops that keep state
        return "Use scheme: full_int8 or dynamic_int8." if in_vain else obstacle.remedy
    if spec.scheme == "mixed":
        return "Change quantization.rules for the ops that are named, or whatever else is."
    if spec.engine != "auto" and len(SCHEMES[spec.scheme].engines) > 1:
        return "Leave out quantization.engine: another engine may be able to."
    if spec.scheme == "dynamic_int8":
        return "Try another scheme (`tflite-pipeline list` shows them)."
    return "Try another scheme (dynamic_int8 quantizes most models)."


def _first(spec: Quantization) -> str:
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
    _refuse_unloadable(path, engine)
    planned = _by_tensor(graphs, plan) if spec.scheme == "mixed" else {}
    return QuantizedModel(path, file_digest(path), spec.scheme, spec.io, engine, planned)


def _refuse_unloadable(path: Path, engine: Engine) -> None:
    """Raise StageError where LiteRT does not load what an engine made."""
    try:
        litert.open_interpreter(path)
    except StageError as error:
        text = f"the engine {engine.name} made a file that does not load: {error.what}"
        raise StageError(text, "Try another engine (quantization.engine), or another scheme.") from error


def _by_tensor(graphs: tuple[Graph, ...], plan: Plan) -> dict[str, str]:
    return {
        graph.tensors[op.outputs[0]].name: plan.schemes[graph.index, op.index]
        for graph in graphs
        for op in graph.ops
        if op.outputs
    }
