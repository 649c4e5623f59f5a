"""The only door to LiteRT: a `.tflite` file in; an interpreter, a description or a rewritten file out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tflite_pipeline.artifacts import TensorInfo
from tflite_pipeline.errors import StageError

Kernels = Literal["xnnpack", "builtin", "reference"]
_RESOLVERS = {"xnnpack": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}

_TENSOR_TYPES = {"BOOL": "bool", "STRING": "object"}
"""Names of the schema that are not numpy's in capitals."""


def open_interpreter(
    path: Path,
    threads: int = 1,
    batch: int | None = None,
    kernels: Kernels = "xnnpack",
    shapes: Sequence[Sequence[int]] | None = None,
) -> Any:
    """Load a file, with its tensors allocated.

    `batch` resizes the first dimension of every input, `shapes` gives every input a whole shape; without them a
    dimension that may vary is 1. Kernels are XNNPACK's where it has one, as apps have them by default, LiteRT's own
    optimized ones (`builtin`), or its plain `reference` ones.
    Raises StageError where the file does not load, or where the graph refuses the shapes.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType[_RESOLVERS[kernels]]
    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads, experimental_op_resolver_type=resolver)
        for row, shape in zip(interpreter.get_input_details(), _wanted(interpreter, batch, shapes), strict=True):
            if list(row["shape"]) != list(shape):
                interpreter.resize_tensor_input(row["index"], shape)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise _load_error(path, error) from error
    return interpreter


def preload() -> None:
    """Import LiteRT now, so that its own time and memory are not taken for those of a file."""
    import ai_edge_litert.interpreter  # noqa: F401


def describe(path: Path) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """List the inputs and the outputs in the file's own order, which is the one apps that go by index see.

    Names are the signature's, or the tensors' where the file has no signature.
    """
    model = read_model(path)
    graph = model.Subgraphs(0)
    inputs, outputs = _border(model)
    return (
        tuple(_info(graph.Tensors(index), name) for name, index in inputs),
        tuple(_info(graph.Tensors(index), name) for name, index in outputs),
    )


def describe_signature(model: Any, number: int) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """List the inputs and the outputs of one of a model's signatures, by name."""
    signature = model.SignatureDefs(number)
    graph = model.Subgraphs(signature.SubgraphIndex())
    maps = (
        [signature.Inputs(i) for i in range(signature.InputsLength())],
        [signature.Outputs(i) for i in range(signature.OutputsLength())],
    )
    inputs, outputs = (sorted((text(row.Name()), row.TensorIndex()) for row in side) for side in maps)
    return (
        tuple(_info(graph.Tensors(index), name) for name, index in inputs),
        tuple(_info(graph.Tensors(index), name) for name, index in outputs),
    )


def reorder(file: Path | bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Give the file's inputs and outputs the order of these names; nothing else in it changes.

    The signature maps names to tensors, not to positions, so it stays true.
    Raises StageError where the names are not those of the file.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = bytearray(file.read_bytes() if isinstance(file, Path) else file)
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    border = _border(model)
    for side, found, wanted in zip(("inputs", "outputs"), border, (inputs, outputs), strict=True):
        if sorted(name for name, _ in found) != sorted(wanted):
            raise StageError(
                f"the {side} of the .tflite must be {_listed(wanted)}. Got {_listed(name for name, _ in found)}.",
                "Name every input and output of the model differently, and export it again.",
            )
    views = (graph.InputsAsNumpy(), graph.OutputsAsNumpy())
    for view, found, wanted in zip(views, border, (inputs, outputs), strict=True):
        if len(wanted):
            by_name = dict(found)
            view[:] = [by_name[name] for name in wanted]
    return bytes(content)


def read_model(path: Path) -> Any:
    """Open a file as the schema's `Model`, which reads from the bytes on demand.

    Ops that LiteRT does not know are no hindrance. Raises StageError where the file is missing or damaged.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    try:
        content = path.read_bytes()
        # Opening it runs LiteRT's verifier: reading a damaged file through the schema could end anywhere.
        Interpreter(model_path=str(path))
    except OSError as error:
        raise _load_error(path, error) from error
    except (ValueError, RuntimeError) as error:
        if _is_damaged(error):
            raise _load_error(path, error) from error
    return schema.Model.GetRootAs(content, 0)


def type_numbers() -> frozenset[int]:
    """Give the numbers that stand for a dtype in the schema."""
    from ai_edge_litert import schema_py_generated as schema

    return frozenset(_constants(schema.TensorType))


def text(raw: bytes | None) -> str:
    """Read a name of the schema, which files of other tools may leave out or write in other letters."""
    return (raw or b"").decode(errors="replace")


def type_name(tensor: Any) -> str:
    """Give numpy's name of a schema tensor's dtype; `int4` and other packed ones keep the schema's in small letters."""
    from ai_edge_litert import schema_py_generated as schema

    name = _constants(schema.TensorType)[tensor.Type()]
    return _TENSOR_TYPES.get(name, name.lower())


def op_name(model: Any, operator: Any) -> str:
    """Give the schema's name of an operator, e.g. `CONV_2D`; of a custom operator its own name."""
    return code_name(model.OperatorCodes(operator.OpcodeIndex()))


def code_name(code: Any) -> str:
    """Name an entry of the file's list of ops as `op_name` does."""
    from ai_edge_litert import schema_py_generated as schema

    if is_custom_code(code):
        return text(code.CustomCode())
    number = _number(code)
    return _constants(schema.BuiltinOperator).get(number, f"UNKNOWN_{number}")


def is_custom(model: Any, operator: Any) -> bool:
    """Tell whether an operator is not one of LiteRT's own; those of TensorFlow begin with `Flex`."""
    return is_custom_code(model.OperatorCodes(operator.OpcodeIndex()))


def is_custom_code(code: Any) -> bool:
    """Tell whether an entry of the file's list of ops is not one of LiteRT's own."""
    from ai_edge_litert import schema_py_generated as schema

    return _number(code) == int(schema.BuiltinOperator.CUSTOM)


def has_state(path: Path) -> bool:
    """Tell whether any tensor keeps its value from one inference to the next, as the state of an LSTM does."""
    model = read_model(path)
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    return any(graph.Tensors(i).IsVariable() for graph in graphs for i in range(graph.TensorsLength()))


def quantize(values: npt.NDArray[Any], info: TensorInfo) -> npt.NDArray[Any]:
    """Turn real numbers into what the tensor holds: rounded and clipped integers where it has a scale."""
    dtype = np.dtype(info.dtype)
    if not (info.scale and dtype.kind in "iu"):
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    steps = np.round(values.astype(np.float32) / np.float32(info.scale)) + info.zero_point
    return np.asarray(np.clip(steps, limits.min, limits.max), dtype)


def dequantize(values: npt.NDArray[Any], info: TensorInfo) -> npt.NDArray[Any]:
    """Turn what the tensor holds into real numbers, float32."""
    if not (info.scale and values.dtype.kind in "iu"):
        return values.astype(np.float32)
    return np.asarray((values.astype(np.float32) - info.zero_point) * np.float32(info.scale), np.float32)


def feed_noise(interpreter: Any, seed: int = 0) -> None:
    """Fill every input with seeded noise: floats in 0..1, quantized integers over their range, others 0 or 1."""
    noise = np.random.default_rng(seed)
    for row in interpreter.get_input_details():
        dtype, shape = np.dtype(row["dtype"]), tuple(row["shape"])
        if dtype.kind == "f":
            value: npt.NDArray[Any] = noise.random(shape).astype(dtype)
        elif dtype.kind in "iu" and row["quantization"][0]:
            limits = np.iinfo(dtype)
            value = noise.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
        else:
            value = noise.integers(0, 2, shape).astype(dtype)
        interpreter.set_tensor(row["index"], value)


def _wanted(interpreter: Any, batch: int | None, shapes: Sequence[Sequence[int]] | None) -> Iterable[Sequence[int]]:
    own = [list(row["shape"]) for row in interpreter.get_input_details()]
    if shapes is not None:
        return shapes
    if batch is None:
        return own
    if not all(own):
        raise ValueError("an input has no dimension at all, so no batch")
    return [[batch, *shape[1:]] for shape in own]


def _border(model: Any) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    graph = model.Subgraphs(0)
    signature = _main_signature(model)
    sides = []
    for name in ("Inputs", "Outputs"):
        indices = [getattr(graph, name)(i) for i in range(getattr(graph, f"{name}Length")())]
        names = [text(graph.Tensors(index).Name()) for index in indices]
        if signature is not None:
            maps = [getattr(signature, name)(i) for i in range(getattr(signature, f"{name}Length")())]
            # The same tensor may be two outputs: then each of its names is used once.
            given = {index: [text(m.Name()) for m in maps if m.TensorIndex() == index] for index in indices}
            names = [given[index].pop(0) if given[index] else name for index, name in zip(indices, names, strict=True)]
        sides.append(list(zip(names, indices, strict=True)))
    return sides[0], sides[1]


def _main_signature(model: Any) -> Any:
    signatures = [model.SignatureDefs(i) for i in range(model.SignatureDefsLength())]
    signatures = [signature for signature in signatures if signature.SubgraphIndex() == 0]
    signatures.sort(key=lambda signature: signature.SignatureKey() != b"serving_default")
    return signatures[0] if signatures else None


def _info(tensor: Any, name: str) -> TensorInfo:
    shape = tensor.ShapeSignatureAsNumpy() if tensor.ShapeSignatureLength() else tensor.ShapeAsNumpy()
    sizes = tuple(int(size) for size in shape) if tensor.ShapeLength() else ()
    quantization = tensor.Quantization()
    if quantization is None or quantization.ScaleLength() == 0:
        return TensorInfo(name, sizes, type_name(tensor))
    zero_point = quantization.ZeroPoint(0) if quantization.ZeroPointLength() else 0
    return TensorInfo(name, sizes, type_name(tensor), float(quantization.Scale(0)), int(zero_point))


def _number(code: Any) -> int:
    # Files made before the 128th operator existed have the old field only; newer ones have both, the larger is true.
    return int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))


@cache
def _constants(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _is_damaged(error: Exception) -> bool:
    return "Flatbuffer" in str(error) or "Could not open" in str(error) or "null/empty" in str(error)


_REMEDIES: tuple[tuple[Callable[[str], bool], str], ...] = (
    (
        lambda text: "Select TensorFlow op" in text or "Flex" in text,
        "The file holds TensorFlow ops that LiteRT leaves out: replace the layers that bring them, and convert again.",
    ),
    (
        lambda text: "Didn't find op" in text or "version" in text,
        "The file was made for a newer LiteRT than this one: convert it with an older TensorFlow, or update LiteRT.",
    ),
    (lambda text: "custom op" in text, "Replace the layer that brings the custom op: apps would have to supply it."),
)


def _load_error(path: Path, error: Exception) -> StageError:
    cause = " ".join(str(error).split())
    if isinstance(error, OSError) or _is_damaged(error):
        reason = "does not exist" if not path.exists() else "is damaged, cut short or no .tflite file"
        return StageError(f"'{path}' {reason} ({cause}).", "Make the file again, or copy it anew.")
    cause = re.sub(r"Make sure you apply/link.*?ops_select", "", cause)
    remedy = next((remedy for fits, remedy in _REMEDIES if fits(cause)), "Check the file with the tool that made it.")
    return StageError(f"LiteRT cannot run '{path}': {cause}", remedy)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
