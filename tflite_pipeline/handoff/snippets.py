"""The contract and the file in; code that runs this very file in Kotlin, Swift, Python, JavaScript and C++, out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tflite_pipeline.handoff.arena import arena_kib
from tflite_pipeline.handoff.ports import DTYPES, Port, identifier, literal, number, ports_of
from tflite_pipeline.handoff.preparing import affine, source_index, tell_steps
from tflite_pipeline.runtime import litert
from tflite_pipeline.runtime.micro_ops import METHODS

FOLDER = "snippets"
LARGEST_ARRAY = 2**21
"""Bytes of a file that still becomes a C array; more is no longer a source that editors and compilers like."""
INLINE_LABELS = 50
"""As many class names stand in the code; of more it reads labels.txt."""
ON_ANDROID = frozenset({"float32", "int8", "int32", "int64", "bool"})
"""Dtypes that `TensorBuffer` of LiteRT for Android reads and writes; for others there is the Interpreter."""
IN_BROWSER = frozenset({"float32", "int32", "uint8"})
"""Dtypes of the arrays that LiteRT.js takes and gives."""
LIMITS = {name: (int(np.iinfo(name).min), int(np.iinfo(name).max)) for name in ("int8", "uint8", "int16")}
_TEMPLATES = (
    "Model.kt",
    "Model.swift",
    "model.py",
    "model.mjs",
    "model.h",
    "model.cc",
    "model_data.h",
    "model_data.cc",
)


def write_snippets(contract: Mapping[str, Any], model: Path) -> dict[str, str]:
    """Write the snippets for the file that the contract describes, by their place in the bundle.

    Where an input or output has a dtype that not all languages have, one text says so instead.
    """
    inputs, outputs = ports_of(contract)
    strange = [port for port in (*inputs, *outputs) if port.dtype not in DTYPES]
    if strange:
        told = [
            f"Code is written for inputs and outputs of {', '.join(DTYPES)} only. Here are",
            *(port.told for port in strange),
        ]
        return {f"{FOLDER}/README.txt": "\n".join(told) + "\n"}
    facts = _facts(contract, inputs, outputs, model)
    return {f"{FOLDER}/{name}": _render(name, facts) for name in _TEMPLATES}


def _render(name: str, facts: Mapping[str, Any]) -> str:
    text: str = _environment().get_template(f"{name}.j2").render(**facts)
    # Parts that are left out leave their blank lines; Python alone wants two in a row.
    return text if name.endswith(".py") else re.sub(r"\n{3,}", "\n\n", text)


def _facts(contract: Mapping[str, Any], inputs: Sequence[Port], outputs: Sequence[Port], model: Path) -> dict[str, Any]:
    dtypes = {port.dtype for port in (*inputs, *outputs)}
    classes = contract["classes"]
    words = identifier(contract["name"])
    return {
        "file": contract["file"]["name"],
        "about": list(_about(contract, inputs, outputs)),
        "name": {"snake": "_".join(words), "pascal": "".join(word.capitalize() for word in words)},
        "inputs": inputs,
        "outputs": outputs,
        "quantized_inputs": sorted({port.dtype for port in inputs if port.kind == "quantized"}),
        "quantized_outputs": sorted({port.dtype for port in outputs if port.kind == "quantized"}),
        "labels": [literal(name) for name in classes],
        "inline": len(classes) <= INLINE_LABELS,
        "state": litert.has_state(model),
        "ops": [METHODS[op] for op in contract["ops"] if op in METHODS],
        "foreign_ops": [op for op in contract["ops"] if op not in METHODS],
        "beyond_android": sorted(dtypes - ON_ANDROID),
        "beyond_browser": sorted(dtypes - IN_BROWSER),
        "arena": arena_kib(model),
        "size": model.stat().st_size,
        "array": _array(model),
    }


def _about(contract: Mapping[str, Any], inputs: Sequence[Port], outputs: Sequence[Port]) -> Iterator[str]:
    """Tell, line by line, what goes in and out, and how what goes in is made."""
    for side, ports in (("in", inputs), ("out", outputs)):
        yield from (f"{side}: {port.told}" for port in ports)
    for port in inputs:
        steps = tell_steps(port.steps)
        if steps:
            yield f"How {port.literal} is made of a sample of the data:"
            yield from (f"  {row}. {step}" for row, step in enumerate(steps, 1))
        if port.prepare is not None:
            first, last = port.prepare.first, port.prepare.last
            yield f"  The code does {_rows(first, last)}" + (f", the app {_rows(1, first - 1)}." if first > 1 else ".")


def _rows(first: int, last: int) -> str:
    return f"step {last}" if first == last else f"steps {first} to {last}"


def _array(model: Path) -> str:
    """Write the bytes as rows of a C array, none for a file that is too large."""
    if model.stat().st_size > LARGEST_ARRAY:
        return ""
    words = [f"0x{byte:02x}," for byte in range(256)]
    content = [words[byte] for byte in model.read_bytes()]
    return "\n".join("    " + " ".join(content[at : at + 16]) for at in range(0, len(content), 16))


@cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=number, dollars=lambda text: text.replace("$", r"\$"))
    environment.globals.update(affine=affine, source=source_index, number=number)
    environment.globals.update(float_literal=lambda value: f"{number(value)}f", limits=LIMITS)
    return environment
