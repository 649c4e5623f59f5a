"""ai-edge-quantizer on the float reference, with limits that were chosen before; needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

from tflite_pipeline.artifacts import Reference
from tflite_pipeline.convert.engines.job import Job
from tflite_pipeline.convert.engines.spans import activation_ends, block_ends, constant_ends, weight_ends
from tflite_pipeline.convert.observe import uncalibratable
from tflite_pipeline.convert.plan import Plan, make_plan
from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.runtime import ai_edge, flatbuffer
from tflite_pipeline.runtime.graph import BORDER, NO_DATA, Graph, Op
from tflite_pipeline.runtime.layers import fits, place_of
from tflite_pipeline.runtime.treatment import Treatment
from tflite_pipeline.schemes import SCHEMES

_BITS = {"float32": 0, "int4": 4, "int8": 8, "float16": 16, "int16": 16}
_TOLD = 3
"""How many ops an error names before it counts the rest."""


def refusal(spec: Quantization, reference: Reference, graphs: tuple[Graph, ...]) -> str:
    """Say why ai-edge-quantizer cannot make what was asked; nothing where it can."""
    return (
        _refuse_settings(spec)
        or refuse_model(graphs)
        or (uncalibratable(graphs) if spec.calibrated else "")
        or (
            _refuse_plan(spec, reference, graphs, make_plan(spec, graphs, reference.layers))
            if spec.scheme == "mixed"
            else _refuse_scheme(spec, reference, graphs)
        )
    )


def _refuse_settings(spec: Quantization) -> str:
    if SCHEMES[spec.scheme].block and not spec.per_channel_dense:
        return f"{spec.scheme} gives dense layers many scales, and per_channel_dense: false only one"
    if spec.io != "float32" and not spec.calibrated:
        return f"io: {spec.io} needs a layer with a calibrated scheme"
    return ""


def refuse_model(graphs: Sequence[Graph]) -> str:
    """Say why ai-edge-quantizer can make nothing of a model; nothing where it can."""
    return _refuse_packed(graphs) or _refuse_composites(graphs)


def _refuse_packed(graphs: Sequence[Graph]) -> str:
    packed = (tensor for graph in graphs for tensor in graph.tensors if tensor.quantized or tensor.dtype == "float16")
    return next((f"the reference must be float32, and its '{tensor.name}' is {tensor.dtype}" for tensor in packed), "")


def _refuse_composites(graphs: Sequence[Graph]) -> str:
    inside = any(graph.weights_of(op) for graph in graphs[1:] for op in graph.ops)
    composite = any(op.name == "STABLEHLO_COMPOSITE" for graph in graphs for op in graph.ops)
    return "it does not look for weights inside STABLEHLO_COMPOSITE" if inside and composite else ""


def _refuse_scheme(spec: Quantization, reference: Reference, graphs: Sequence[Graph]) -> str:
    row = SCHEMES[spec.scheme]
    ops = [(graph, op) for graph in graphs for op in graph.ops]
    bare = [(graph, op) for graph, op in ops if _is_bare(spec, spec.scheme, reference, graph, op)]
    names = ", ".join(sorted({op.name for graph, op in bare}))
    if names and row.calibrated:
        return f"{names} would compute in float; quantization.allow_float makes that acceptable"
    if names:
        return f"it cannot quantize the weights of {names}; under scheme: mixed they can stay float32"
    found = [treatment for graph, op in ops if (treatment := choose_treatment(spec, spec.scheme, graph, op))]
    if not found:
        return "it finds nothing to quantize"
    if row.weights == "int4" and all(treatment.weights != 4 for treatment in found):
        return "no layer of this model can have int4 weights"
    if row.block and not any(treatment.block for treatment in found):
        return f"no dense layer of this model has a depth that is a multiple of {row.block}"
    return ""


def _refuse_plan(spec: Quantization, reference: Reference, graphs: Sequence[Graph], plan: Plan) -> str:
    """Name the ops that cannot have the scheme that the rules give them."""
    ops = [(graph, op, plan.schemes[graph.index, op.index]) for graph in graphs for op in graph.ops]
    found = [
        f"{op.name} {place_of(graph.tensors[op.outputs[0]].name, reference.layers)} cannot have {scheme}: {why}"
        for graph, op, scheme in ops
        if (why := misfit(spec, scheme, reference, graph, op))
    ]
    more = [f"and {len(found) - _TOLD} more"] if len(found) > _TOLD else []
    if not found and not any(choose_treatment(spec, scheme, graph, op) for graph, op, scheme in ops):
        return "the rules give it nothing to quantize"
    return "; ".join(found[:_TOLD] + more)


def misfit(spec: Quantization, scheme: str, reference: Reference, graph: Graph, op: Op) -> str:
    """Say why an op cannot have a scheme under `scheme: mixed`; nothing where it can."""
    row = SCHEMES[scheme]
    if _is_bare(spec, scheme, reference, graph, op):
        return "the library does not quantize it so; give it float32 by an earlier rule"
    if spec.io == "uint8" and row.activations == "int16" and graph.outputs.intersection(op.outputs):
        return "no kernel turns the int16 that it puts out into uint8; choose io: int8, or give it full_int8"
    treatment = choose_treatment(spec, scheme, graph, op)
    if treatment is None or not graph.weights_of(op):
        return ""
    same_kind = "full_int8" if row.calibrated else f"{scheme.split('_')[0]}_int8"
    if row.weights == "int4" and treatment.weights != 4:
        return f"there is no int4 for it; give it {same_kind} by an earlier rule"
    if row.block and op.name in Treatment(4, block=row.block).ops and not treatment.block:
        return f"its depth is no multiple of {row.block}; give it dynamic_int4 by an earlier rule"
    return ""


def _is_bare(spec: Quantization, scheme: str, reference: Reference, graph: Graph, op: Op) -> bool:
    """Tell whether an op lacks what its scheme is about, integer activations or packed weights, and must not."""
    if scheme == "float32" or choose_treatment(spec, scheme, graph, op) is not None:
        return False
    if not SCHEMES[scheme].calibrated:
        return bool(graph.weights_of(op))
    return _is_float(graph, op) and not any(fits(choice, graph, op, reference.layers) for choice in spec.allow_float)


def quantize(job: Job) -> bytes:
    """Give every op its scheme; activations get the job's limits.

    Raises StageError where a limit is missing and where the library fails.
    """
    treatments = {
        (graph.index, op.index): treatment
        for graph in job.graphs
        for op in graph.ops
        if (treatment := choose_treatment(job.spec, job.plan.schemes[graph.index, op.index], graph, op)) is not None
    }
    model = flatbuffer.unpack(job.reference.path)
    ends = activation_ends(job, treatments)
    ends |= weight_ends(job, model, treatments, ends) | block_ends(model, treatments)
    if job.spec.symmetric_activations:
        ends |= constant_ends(job, model, treatments)
    return ai_edge.quantize(model, treatments, job.spec.io, ends)


def choose_treatment(spec: Quantization, scheme: str, graph: Graph, op: Op) -> Treatment | None:
    """Give the best that the library has for an op under a scheme; nothing where the op stays as it is.

    An op without int4 gets int8 of the same kind; a dense layer whose depth is no multiple of the block gets one scale
    a channel.
    """
    row = SCHEMES[scheme]
    if scheme == "float32" or not (_is_float(graph, op) if row.calibrated else graph.weights_of(op)):
        return None
    if row.calibrated and graph.index > 0:
        return None
    activations, unpacked = _BITS[row.activations], row.unpacked
    # The integer kernel of BATCH_MATMUL takes the first scale for all channels, and says nothing.
    one_scale = op.name == "BATCH_MATMUL" if activations else False
    per_channel = not one_scale and (spec.per_channel_dense or op.name != "FULLY_CONNECTED")
    weights = (4, 8) if row.weights == "int4" else (_BITS[row.weights],)
    choices = [Treatment(bits, activations, unpacked, per_channel) for bits in weights]
    if row.block:
        choices.insert(0, Treatment(4, block=row.block))
    return next((choice for choice in choices if op.name in choice.ops and _has_kernel(choice, graph, op)), None)


def _is_float(graph: Graph, op: Op) -> bool:
    if op.name in BORDER | NO_DATA or (op.name == "CAST" and graph.at_border(op)):
        return False
    return any(graph.tensors[i].dtype == "float32" for i in graph.activations_of(op))


def _has_kernel(treatment: Treatment, graph: Graph, op: Op) -> bool:
    if op.name == "BATCH_MATMUL" and op.inputs[0] in graph.origins:
        # Kernels take a weight on the left as they take an activation.
        return treatment.unpacked or treatment.activations == treatment.weights
    return not treatment.block or graph.tensors[op.inputs[1]].shape[-1] % treatment.block == 0
