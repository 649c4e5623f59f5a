"""What was seen in two `.tflite` files or bundles in; what changed between them, and what of it the app must follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tflite_pipeline.inspecting import Look

SAME, SAME_FOR_APP = "same", "same for the app"

_IO = ("dtype", "shape", "scale", "zero_point")
_DECLARED = ("preprocessing", "classes")
"""Parts of the contract that the app carries out itself."""
_FEW = 60
"""Letters up to which both values of a part of the contract are told."""


def compare(old: Look, new: Look) -> dict[str, Any]:
    """Tell `{verdict, app, changes, notes, weights, before, after}`.

    `app` lists what the app has to follow; `changes` what else differs.
    """
    app = list(app_changes(old, new))
    weights = changed_weights(old, new)
    changes = [*_accuracy_changes(old.contract, new.contract), *_changes(old.told, new.told, weights)]
    return {
        "diff": 1,
        "verdict": _verdict(old.told, new.told, app, changes),
        "app": app,
        "changes": changes,
        "notes": list(_notes(old, new)),
        "weights": weights,
        "before": old.told,
        "after": new.told,
    }


def app_changes(old: Look, new: Look) -> Iterator[str]:
    """Tell what an app that works with the old file has to change for the new one."""
    for side in ("inputs", "outputs"):
        yield from _border_changes(side, old.told[side], new.told[side])
    for kind in ("flex_ops", "custom_ops"):
        added = sorted(set(new.told[kind]) - set(old.told[kind]))
        if added:
            yield f"the app has to bring the op {', '.join(added)}"
    yield from _signature_changes(old.told, new.told)
    if old.contract is not None and new.contract is not None:
        yield from _contract_changes(old.contract, new.contract)


def changed_weights(old: Look, new: Look) -> dict[str, int]:
    """Count the constant tensors: those of the new file, and those that the other file has not, `{all, changed}`."""
    gone = Counter(old.constants) - Counter(new.constants)
    added = Counter(new.constants) - Counter(old.constants)
    return {"all": len(new.constants), "changed": max(gone.total(), added.total())}


def _signature_changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    after = {row["key"]: row for row in new["signatures"]}
    for row in old["signatures"]:
        if row["key"] not in after:
            yield f"the signature {row['key']} is gone"
        elif row["subgraph"]:  # the inputs and outputs of graph 0 are those of the file
            for side in ("inputs", "outputs"):
                for change in _border_changes(side, row[side], after[row["key"]][side]):
                    yield f"signature {row['key']}: {change}"


def _border_changes(side: str, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Iterator[str]:
    names = [[str(row["name"]) for row in rows] for rows in (old, new)]
    if len(old) != len(new):
        yield f"{len(new)} {side} instead of {len(old)}: {_listed(names[1])}, were {_listed(names[0])}"
        return
    if names[0] != names[1]:
        what = "are in another order" if sorted(names[0]) == sorted(names[1]) else "have other names"
        yield f"the {side} {what}: {_listed(names[1])}, were {_listed(names[0])}"
    by_name = {row["name"]: row for row in new}
    for position, row in enumerate(old):
        other = by_name.get(row["name"], new[position])
        for key in _IO:
            if row.get(key) != other.get(key):
                what = key.replace("_", " ")
                yield f"{side[:-1]} '{other['name']}' has {what} {_told(other.get(key))}, had {_told(row.get(key))}"


def _contract_changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for part in _DECLARED:
        before, after = old.get(part), new.get(part)
        if (before or None) == (after or None):
            continue
        texts = _told(after), _told(before)
        short = max(map(len, texts)) <= _FEW
        yield f"{part} differs" + (f": {texts[0]}, was {texts[1]}" if short else ", see contract.json of both")


def _accuracy_changes(old: dict[str, Any] | None, new: dict[str, Any] | None) -> Iterator[str]:
    """Tell metrics that both bundles give, and whether they were taken on the same samples."""
    before, after = ((contract or {}).get("accuracy") or {"metrics": {}} for contract in (old, new))
    for key in (key for key in after["metrics"] if key in before["metrics"]):
        values = after["metrics"][key]["quantized"], before["metrics"][key]["quantized"]
        same = "the same" if after["samples"] == before["samples"] else "other"
        yield f"{key} {values[0]:.4g}, was {values[1]:.4g}, on {same} samples"


def _changes(old: dict[str, Any], new: dict[str, Any], weights: dict[str, int]) -> Iterator[str]:
    if old["scheme"] != new["scheme"]:
        yield f"scheme {new['scheme']}, was {old['scheme']}"
    sizes = old["file"]["bytes"], new["file"]["bytes"]
    if sizes[0] != sizes[1]:
        yield f"{sizes[1]} bytes, were {sizes[0]} ({sizes[1] / sizes[0] - 1:+.1%})"
    yield from _op_changes(old, new)
    if weights["changed"]:
        yield f"{weights['changed']} of {weights['all']} constants differ"
    if old["fingerprint"] != new["fingerprint"]:
        yield f"fingerprint {new['fingerprint'][:16]}…, was {old['fingerprint'][:16]}…"
    floors = old["floor"]["release"], new["floor"]["release"]
    if floors[0] != floors[1]:
        yield f"runs from TensorFlow Lite {floors[1]}, ran from {floors[0]}"


def _op_changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    before, after = (Counter({(row["op"], row["version"]): row["count"] for row in told["ops"]}) for told in (old, new))
    for title, ops in (("new", after.keys() - before.keys()), ("gone", before.keys() - after.keys())):
        if ops:
            yield f"ops {title}: {', '.join(f'{name} version {version}' for name, version in sorted(ops))}"
    other = sorted(key for key in before.keys() & after.keys() if before[key] != after[key])
    if other:
        counts = (f"{after[key]} {key[0]} version {key[1]}, were {before[key]}" for key in other)
        yield f"other numbers of ops: {'; '.join(counts)}"


def _verdict(old: dict[str, Any], new: dict[str, Any], app: list[str], changes: list[str]) -> str:
    if app:
        return f"the app must change: {'; '.join(app)}"
    # Sizes may differ by how a file is laid out alone.
    alike = old["fingerprint"] == new["fingerprint"] and old["ops"] == new["ops"]
    return SAME if old["file"]["sha256"] == new["file"]["sha256"] or alike else SAME_FOR_APP


def _notes(old: Look, new: Look) -> Iterator[str]:
    alike = old.told["file"]["sha256"] == new.told["file"]["sha256"]
    if not alike and (old.contract is None or new.contract is None):
        yield "preprocessing, classes and accuracy were not compared: only bundles with a contract.json tell them"
    if not alike and old.told["fingerprint"] == new.told["fingerprint"]:
        yield "the files differ in bytes, but compute the same"


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def _told(value: Any) -> str:
    return "none" if value is None else str(value)
