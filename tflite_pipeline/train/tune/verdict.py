"""A reference and a draft of its quantized file in; what will become of each layer, and what stands in the way, out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tflite_pipeline.artifacts import QuantizedModel, Reference
from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.graph import BORDER, NO_DATA, Graph, Op, Weight, read_graphs
from tflite_pipeline.runtime.grids import read_grids
from tflite_pipeline.runtime.layers import fits, layers_at, layers_of
from tflite_pipeline.schemes import SCHEMES
from tflite_pipeline.spec import Many, Section, Selector
from tflite_pipeline.train.spec import Qat, Step, Tune
from tflite_pipeline.train.tune.graph import FloatGraph, read_float_graph, refusals
from tflite_pipeline.train.tune.weights import trainable

INTEGER, RANGE_ONLY, WEIGHTS_ONLY = "integer", "range only", "weights only"
FLOAT, REFUSED, UNTOUCHED, OPEN = "float", "refused", "untouched", "open"
_ORDER = (REFUSED, INTEGER, WEIGHTS_ONLY, FLOAT, RANGE_ONLY, OPEN, UNTOUCHED)
"""Of the verdicts of a layer's ops, the first of these is the layer's."""

STAYS_FLOAT = "it would compute in float: there is no integer form of it here"
ALLOWED = "quantization.allow_float permits it"
ALLOW_IT = "Name it in quantization.allow_float, or replace the layer."
NOT_TRAINED = "Replace the layer, or leave out the training steps prune, cluster and qat."

_NUMBERS = frozenset({"float32", "float16", "int4", "int8", "uint8", "int16"})
_FUSED = {1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH", 5: "SIGN_BIT"}

_DONE_BY = {
    "CONV_2D": ("conv",),
    "CONV_3D": ("conv",),
    "DEPTHWISE_CONV_2D": ("depthwise",),
    "FULLY_CONNECTED": ("matmul", "tensordot"),
    "TRANSPOSE_CONV": ("conv",),
}
"""What TensorFlow calls the work of these ops."""


class Wanted(Section):
    """What the recipe says about quantization, as far as a verdict depends on it."""

    scheme: str
    allow_float: Many[Selector] = ()
    symmetric: bool = False


@dataclass(frozen=True)
class LayerVerdict:
    """What will become of a Keras layer, or of an op that comes from none and goes by the name of its tensor.

    `verdict` is integer (its weights too), range only (integer, without weights), weights only (these are packed, it
    computes in float), float, refused, untouched (it works on no real numbers) or open (no draft tells). `ops` is such
    as `CONV_2D + RELU6`, `weights` such as `int8 per channel`; both dtypes are empty where there is none. `trains` says
    that weights of it are trained after the export. `against` says that this is not as the recipe wants it; `reason`
    and `remedy` then tell why and what to do, and `reason` why a layer is float that may be.
    """

    layer: str
    ops: str
    verdict: str
    weights: str
    activations: str
    trains: bool
    against: bool = False
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Outlook:
    """One row a layer, in the graph's order; layers that became part of others, and those of which nothing is left.

    `obstacles` are further reasons why training on the graph cannot begin, each with its remedy.
    """

    rows: tuple[LayerVerdict, ...]
    folded: tuple[str, ...]
    gone: tuple[str, ...]
    obstacles: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Fate:
    """What becomes of one op; the reason is empty where nothing is to be told."""

    title: str
    verdict: str
    weights: tuple[str, ...] = ()
    activations: tuple[str, ...] = ()
    trains: bool = False
    against: bool = False
    reason: str = ""
    remedy: str = ""


def foretell(
    reference: Reference, draft: QuantizedModel | None, steps: tuple[Step, ...], wanted: Wanted, out: Path
) -> Outlook:
    """Tell of each layer what the draft makes of it and whether it can be trained; nothing is written.

    The draft is one of the scheme that is wanted, whatever its ranges; without it only refusals are known. Needs no
    TensorFlow. Raises StageError where a file is damaged.
    """
    del out
    graph = read_graphs(reference.path)[0]
    trained = read_float_graph(reference.path)
    fates = _fates(reference, graph, trained, draft, wanted)
    steps = tuple(step for step in steps if isinstance(step, Tune))
    if steps:
        fates = dict(_with_training(fates, trained))
    main, folded = _places(graph, reference.layers)
    groups: dict[str, list[_Fate]] = {}
    for index, fate in fates.items():
        groups.setdefault(main[index], []).append(fate)
    rows = tuple(_row(layer, found) for layer, found in groups.items())
    parts = [name for name in folded if name not in groups]
    known = {*groups, *parts, *_scopes_of_layers(graph)}
    gone = tuple(name for name in dict.fromkeys(reference.layers) if name not in known)
    return Outlook(rows, tuple(parts), gone, tuple(_obstacles(reference, draft, steps, wanted)))


def _scopes_of_layers(graph: Graph) -> Iterator[str]:
    """Yield the scopes that hold other scopes, with and without the number of a call: models inside the model do."""
    for tensor in graph.tensors:
        for part in tensor.name.split(";"):
            for scope in part.split("/")[:-2]:
                yield from (scope, scope.rpartition("_")[0])


def _fates(
    reference: Reference, graph: Graph, trained: FloatGraph, draft: QuantizedModel | None, wanted: Wanted
) -> dict[int, _Fate]:
    """Say what the draft makes of each op, by its number."""
    titles = {node.index: _title(node.name, node.option("fusedActivationFunction")) for node in trained.nodes}
    if draft is None:
        return {op.index: _Fate(titles[op.index], OPEN) for op in graph.ops}
    other = read_graphs(draft.path)[0]
    twins = _twins(graph, other)
    fates = {}
    for op in graph.ops:
        twin = twins.get(op.index)
        fate = _fate(titles[op.index], other, twin) if twin else _Fate(titles[op.index], OPEN)
        if fate.verdict in (FLOAT, WEIGHTS_ONLY) and _is_integer(_scheme(graph, op, draft, wanted)):
            allowed = any(fits(selector, graph, op, reference.layers) for selector in wanted.allow_float)
            fate = replace(fate, reason=ALLOWED) if allowed else _against(fate, FLOAT, STAYS_FLOAT, ALLOW_IT)
        fates[op.index] = fate
    return fates


def _title(name: str, fused: int) -> str:
    return f"{name} + {_FUSED.get(fused, 'an activation')}" if fused else name


def _twins(graph: Graph, other: Graph) -> dict[int, Op]:
    """Find the ops in the draft: one by one where these are the same, else by the names of what they compute."""
    mine, theirs = ([op for op in one.ops if op.name not in BORDER | NO_DATA] for one in (graph, other))
    if [op.name for op in mine] == [op.name for op in theirs]:
        return {op.index: twin for op, twin in zip(mine, theirs, strict=True)}
    named = {name: op for op in theirs for name in other.names[op.index]}
    found = ((op, next((named[name] for name in graph.names[op.index] if name in named), None)) for op in mine)
    return {op.index: twin for op, twin in found if twin is not None}


def _fate(title: str, graph: Graph, op: Op) -> _Fate:
    tensors = [graph.tensors[i] for i in graph.activations_of(op)]
    numbers = (t.dtype for t in tensors if t.dtype in _NUMBERS and ("float" in t.dtype or t.quantized))
    activations = tuple(dict.fromkeys(numbers))
    weights = graph.weights_of(op)
    packed = tuple(dict.fromkeys(_stored(weight) for weight in weights if weight.dtype != "float32"))
    in_float = any("float" in dtype for dtype in activations)
    if not activations:
        verdict = UNTOUCHED
    elif in_float:
        verdict = WEIGHTS_ONLY if packed else FLOAT
    else:
        verdict = INTEGER if packed else RANGE_ONLY
    return _Fate(title, verdict, packed, activations)


def _stored(weight: Weight) -> str:
    return f"{weight.dtype} {weight.granularity.replace('_', ' ')}".rstrip()


def _scheme(graph: Graph, op: Op, draft: QuantizedModel, wanted: Wanted) -> str:
    if wanted.scheme != "mixed" or not op.outputs:
        return wanted.scheme
    return draft.plan.get(graph.tensors[op.outputs[0]].name, "float32")


def _is_integer(scheme: str) -> bool:
    return scheme in SCHEMES and SCHEMES[scheme].activations in ("int8", "int16")


def _against(fate: _Fate, verdict: str, reason: str, remedy: str) -> _Fate:
    return replace(fate, verdict=verdict, against=True, reason=reason, remedy=remedy)


def _with_training(fates: Mapping[int, _Fate], graph: FloatGraph) -> Iterator[tuple[int, _Fate]]:
    """Add which ops cannot be trained on the graph, and which have weights that are."""
    refused = {node.index: why for node, why in refusals(graph)}
    weights = set(trainable(graph))
    for node in graph.nodes:
        fate = fates[node.index]
        if why := refused.get(node.index):
            yield node.index, _against(fate, REFUSED, f"it cannot be trained: {why}", NOT_TRAINED)
        elif weights.intersection(node.inputs):
            yield node.index, replace(fate, trains=True)
        else:
            yield node.index, fate


def _places(graph: Graph, layers: Sequence[str]) -> tuple[dict[int, str], list[str]]:
    """Give the layer that each op belongs to, by its number, and the layers that are folded into such ops."""
    main: dict[int, str] = {}
    folded: list[str] = []
    for op in graph.ops:
        found = layers_at(graph, op, layers)
        tensor = graph.tensors[op.outputs[0]].name if op.outputs else op.name
        main[op.index] = _main(op, tensor, found) if found else tensor
        folded += found
    return main, list(dict.fromkeys(folded))


def _main(op: Op, tensor: str, found: Sequence[str]) -> str:
    """Choose among the layers that were fused into an op the one that brought the weights, or else the first in time.

    The converter names them from the last one back; what a layer does is the last word: `a/Relu;b/add;c/Conv2D`.
    """
    words = _DONE_BY.get(op.name, ())
    for part in tensor.split(";"):
        if any(word in part.rpartition("/")[2].lower() for word in words):
            # Which of the two ways of numbering the model has is known to `layers_at`.
            for layer in (*layers_of(part, found), *layers_of(part, found, numbered=False)):
                return layer
    return found[-1]


def _row(layer: str, fates: Sequence[_Fate]) -> LayerVerdict:
    """Tell of a layer what its ops say; what is against the recipe comes first."""
    worst = min(fates, key=lambda fate: (not fate.against, _ORDER.index(fate.verdict)))
    own = [fate for fate in fates if (fate.against, fate.verdict) == (worst.against, worst.verdict)]
    reason = _listed(dict.fromkeys(fate.reason for fate in own if fate.reason))
    if reason and len(own) < len(fates):
        reason = f"{_counted(fate.title for fate in own)}: {reason}"
    return LayerVerdict(
        layer=layer,
        ops=_counted(fate.title for fate in fates),
        verdict=worst.verdict,
        weights=_listed(dict.fromkeys(name for fate in fates for name in fate.weights)),
        activations=_listed(dict.fromkeys(name for fate in fates for name in fate.activations)),
        trains=any(fate.trains for fate in fates),
        against=worst.against,
        reason=reason,
        remedy=" ".join(dict.fromkeys(fate.remedy for fate in own if fate.remedy)),
    )


def _counted(titles: Iterable[str]) -> str:
    return _listed(f"{count} {title}" if count > 1 else title for title, count in Counter(titles).items())


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def _obstacles(
    reference: Reference, draft: QuantizedModel | None, steps: Sequence[Step], wanted: Wanted
) -> Iterator[tuple[str, str]]:
    """Tell what keeps training from beginning beside ops that cannot be trained."""
    if draft is not None and any(isinstance(step, Qat) for step in steps):
        try:
            read_grids(reference.path, draft.path, wanted.symmetric)
        except StageError as error:
            yield error.what, error.remedy
