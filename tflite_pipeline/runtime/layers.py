"""Names of tensors in a `.tflite` to names of Keras layers, and the ops that a selector means."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Collection, Sequence

from tflite_pipeline.errors import StageError, did_you_mean
from tflite_pipeline.runtime.graph import Graph, Op
from tflite_pipeline.spec import Selector

LONGEST_NAME = 60
"""Letters; the converter strings together the names of all that it fused."""

_CALL = re.compile(r"_\d+$")
"""Keras 3 numbers the calls of a layer: what `conv` does is named `conv_1/…`, and what `conv_1` does `conv_1_2/…`."""

_LISTED = 6
"""How many names are told where none is like the one that was given."""


def layers_of(tensor: str, layers: Collection[str], numbered: bool = True) -> list[str]:
    """List the Keras layers that a tensor's name speaks of, the innermost of each part first.

    The converter names a fused op's output after all the layers in it, `a/Relu;b/BiasAdd;c/Conv2D`. `numbered` decides
    what `conv_1` means where there are layers `conv` and `conv_1`: a call of `conv`, or the other layer.
    """
    found: list[str] = []
    for part in tensor.split(";"):
        # The last word is what the layer does, and may read like another layer: `bn_1/batchnorm/add_1`.
        *scopes, last = part.split("/")
        known = (_layer(scope, layers, numbered) for scope in reversed(scopes))
        layer = next(filter(None, known), "") if scopes else last
        if layer in layers and layer not in found:
            found.append(layer)
    return found


def layers_at(graph: Graph, op: Op, layers: Collection[str]) -> list[str]:
    """List the Keras layers that an op comes from, as the names of its outputs tell, or else those of its constants.

    The converter names the last op of a model after the file's output, which tells nothing.
    """
    if not layers:
        return []
    numbered = _numbered(graph.scopes, frozenset(layers))
    constants = [graph.tensors[i].name for i in op.inputs if i in graph.origins]
    for names in (graph.names[op.index], constants):
        if found := [layer for name in names for layer in layers_of(name, layers, numbered)]:
            return list(dict.fromkeys(found))
    return []


def fits(selector: Selector, graph: Graph, op: Op, layers: Collection[str]) -> bool:
    """Tell whether an op is one of those that the selector means."""
    if selector.op is not None:
        return selector.op == op.name
    if selector.tensor is not None:
        return any(fnmatch.fnmatchcase(name, selector.tensor) for name in graph.names[op.index])
    return selector.layer in layers_at(graph, op, layers)


def _layer(scope: str, layers: Collection[str], numbered: bool) -> str:
    names = [scope, _CALL.sub("", scope)]
    return next((name for name in (reversed(names) if numbered else names) if name in layers), "")


@functools.lru_cache(maxsize=16)
def _numbered(scopes: frozenset[str], layers: frozenset[str]) -> bool:
    """Tell whether calls of layers are numbered, by the scopes that can be read in one way only."""
    calls = {scope for scope in scopes if _CALL.search(scope) and _CALL.sub("", scope) in layers}
    return len(calls - layers) >= len((scopes & layers) - calls)


def refuse_strangers(selectors: Sequence[Selector], graphs: Sequence[Graph], layers: Collection[str], key: str) -> None:
    """Raise StageError for selectors that mean no op at all; `key` names where they stand in the recipe."""
    strangers = [
        selector
        for selector in selectors
        if not any(fits(selector, graph, op, layers) for graph in graphs for op in graph.ops)
    ]
    if not strangers:
        return
    got = ", ".join(f"{name} '{value}'" for name, value in map(_given, strangers))
    why = dict.fromkeys(_reason(selector, graphs, layers) for selector in strangers)
    raise StageError(f"every entry of {key} must fit an op of the reference. Got {got}.", " ".join(why))


def _given(selector: Selector) -> tuple[str, str]:
    return next((name, value) for name, value in selector if value is not None)


def _reason(selector: Selector, graphs: Sequence[Graph], layers: Collection[str]) -> str:
    name, value = _given(selector)
    if name == "op":
        return _unknown("op", value, {op.name for graph in graphs for op in graph.ops})
    if name == "tensor":
        examples = (output for graph in graphs for outputs in graph.names.values() for output in outputs)
        return f"No op has an output of that name; one has '{next(examples, '')}'."
    if not layers:
        return "No Keras layers are known of this model: name ops or tensors."
    if value in layers:
        return f"No op bears the name of layer '{value}': it became none, or lost the name; name its op or tensor."
    return _unknown("layer", value, layers)


def _unknown(what: str, value: str, known: Collection[str]) -> str:
    names = sorted(set(known))
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    listed = ", ".join(f"'{name}'" for name in names[:_LISTED]) + more
    return f"There is no {what} '{value}'.{did_you_mean(value, known) or f' There are {listed}.'}"


def short_name(name: str) -> str:
    """Give the end of a long name of a tensor, which the converter strings together from all that it fused."""
    if len(name) <= LONGEST_NAME:
        return name
    # Parts that are a bare number tell nothing.
    parts = [part for part in name.split(";") if "/" in part] or [name]
    return f"…/{'/'.join(parts[-1].split('/')[-2:])}"


def place_of(tensor: str, layers: Collection[str]) -> str:
    """Name a tensor for a message: its name, cut where it is long, and the Keras layers that it speaks of."""
    found = layers_of(tensor, layers)
    told = tensor if len(tensor) <= LONGEST_NAME else f"{tensor[:LONGEST_NAME]}…"
    return f"'{told}'" + (f" (layer {', '.join(found)})" if found else "")
