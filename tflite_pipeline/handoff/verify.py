"""Checks a hand-off bundle: python verify.py [handoff.zip | folder]. Needs ai-edge-litert and numpy, nothing else.

With --vector N --input NAME=FILE it compares the bytes that an app made of sample N with those of the bundle instead,
and says what is wrong with them. Exit code 0: all is well, 1: something is not, 2: wrong usage.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

try:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
except ImportError as missing:
    print(f"{missing}. Install what is missing: pip install ai-edge-litert numpy", file=sys.stderr)
    sys.exit(2)

Read = Callable[[str], bytes]
Finding = tuple[bool, str]

# Shares of an input's range: up to SAME floats are the same; below CLOSE they are resized or rounded otherwise. What
# another cause would give must be nearer than what is wanted by CLEARLY.
SAME, CLOSE, CLEARLY = 0.01, 0.05, 0.3
RANGES = {"0..255": (0.0, 255.0), "0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}


class Wrong(Exception):
    """What is wrong with the bundle, in words."""


def open_bundle(path: Path) -> Read:
    """Give a function from a file's name in the bundle to its bytes, which raises Wrong where it cannot be read."""
    anew = "It is damaged or cut short: copy it anew."
    try:
        archive = None if path.is_dir() else zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises many kinds, those of struct and zlib among them
        raise Wrong(f"{path} cannot be opened ({error}). {anew}") from error

    def read(name: str) -> bytes:
        try:
            return (path / name).read_bytes() if archive is None else archive.read(name)
        except (KeyError, FileNotFoundError) as error:
            raise Wrong(f"{path} lacks {name}. It is cut short, or no hand-off bundle: copy it anew.") from error
        except Exception as error:
            raise Wrong(f"{name} in {path} cannot be read ({error}). {anew}") from error

    return read


def digest(content: bytes) -> str:
    """Give the SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def load(read: Read, file: dict[str, Any]) -> Any:
    """Give an interpreter of the model, once its bytes are those that the contract names."""
    content = read(file["name"])
    if digest(content) != file["sha256"]:
        told = f"it has {len(content)} bytes, contract.json says {file['bytes']} bytes of sha256 {file['sha256']}"
        raise Wrong(f"{file['name']} was changed or damaged, so it was not run: {told}")
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return interpreter


def check_border(interpreter: Any, contract: dict[str, Any]) -> Iterator[str]:
    """Tell where the contract's inputs and outputs are not those of the model."""
    signatures = list(interpreter.get_signature_list().values())
    for side in ("inputs", "outputs"):
        found, told = getattr(interpreter, f"get_{side[:-1]}_details")(), contract[side]
        if len(found) != len(told):
            yield f"contract.json has {len(told)} {side}, the model {len(found)}"
        for row, own in zip(told, found, strict=False):
            names = {own["name"], *(name for signature in signatures for name in signature[side])}
            scale, zero_point = own["quantization"]
            wanted: dict[str, Any] = {"shape": own["shape_signature"].tolist(), "dtype": np.dtype(own["dtype"]).name}
            wanted |= {"scale": float(scale), "zero_point": int(zero_point)} if scale else {}
            if row["name"] not in names:
                yield f"{side[:-1]} '{row['name']}' of contract.json is not in the model, which has {sorted(names)}"
            for key in ("shape", "dtype", "scale", "zero_point"):
                if row.get(key) != wanted.get(key):
                    told_key = f"contract.json says {key} {row.get(key, 'none')}"
                    yield f"{side[:-1]} '{row['name']}': {told_key}, the model has {wanted.get(key, 'none')}"


def check_labels(read: Read, contract: dict[str, Any]) -> Iterator[str]:
    """Tell where the labels are not those that the contract was written for."""
    if labels := contract["labels"]:
        content = read(labels["file"])
        if digest(content) != labels["sha256"]:
            yield f"{labels['file']} was changed or damaged"
        if not content.count(b"\n") == labels["count"] == len(contract["classes"]):
            yield f"{labels['file']} and the classes of contract.json differ in number"


def check_vector(read: Read, contract: dict[str, Any], interpreter: Any, number: int) -> Finding:
    """Run one golden vector; tell the differences, or what is wrong with its files."""
    sample, wrong = contract["vectors"]["samples"][number], []
    for row, own in zip(contract["inputs"], interpreter.get_input_details(), strict=True):
        name, told = sample["inputs"][row["name"]], sample["input_values"][row["name"]]
        raw = read(name)
        if digest(raw) != contract["vectors"]["sha256"][name]:
            where = np.arange(0, row["bytes"] // np.dtype(row["dtype"]).itemsize, told["every"])
            same, words = diagnose(raw, row, where, np.asarray(told["values"], float))
            wrong.append(f"{name} was changed: {'single values' if same else words}")
        else:
            interpreter.set_tensor(own["index"], np.frombuffer(raw, own["dtype"]).reshape(own["shape"]))
    wanted = [read(sample["outputs"][row["name"]]["file"]) for row in contract["outputs"]]
    for name in (*(one["file"] for one in sample["outputs"].values()), *sample.get("raw", {}).values()):
        if digest(read(name)) != contract["vectors"]["sha256"][name]:
            wrong.append(f"{name} was changed or damaged")
    if wrong:
        return False, "; ".join(wrong)
    interpreter.reset_all_variables()
    interpreter.invoke()
    passed, texts = True, []
    for row, own, raw in zip(contract["outputs"], interpreter.get_output_details(), wanted, strict=True):
        right, allowed = np.frombuffer(raw, own["dtype"]), sample["outputs"][row["name"]]["tolerance"]
        found = interpreter.get_tensor(own["index"]).astype(float).ravel()
        apart = np.where((found == right) | (np.isnan(found) & np.isnan(right)), 0.0, abs(found - right))
        passed &= bool((apart <= allowed).all())  # NaN is not
        unit = " LSB" if row.get("scale") else ""
        texts.append(f"{row['name']} differs by {apart.max(initial=0):.4g}{unit}, allowed {allowed:.4g}{unit}")
    return passed, "; ".join(texts)


def diagnose(raw: bytes, row: dict[str, Any], where: Any, real: Any) -> Finding:
    """Say what was made of an input; `real` are the right numbers at the flat places `where`."""
    dtype = np.dtype(row["dtype"])
    if len(raw) != row["bytes"]:
        floats = dtype.itemsize < 4 and len(raw) * dtype.itemsize == 4 * row["bytes"]
        hint = ": not quantized, it was given float32" if floats else ""
        return False, f"{len(raw)} bytes where {row['bytes']} are wanted{hint}"
    given = np.frombuffer(raw, dtype).astype(float)
    if not np.isfinite(given).all():
        return False, "NaN or infinity among the values"
    (_, _, right), *others = causes(row, where, real)
    apart, span = abs(given[where] - right), float(np.ptp(right)) or 1.0
    least = 1.0 if row.get("scale") else SAME * span * (dtype.kind == "f")
    if apart.max() <= least:
        return True, f"same, at most {apart.max():.4g} apart"
    best, words = min((float(abs(given[places] - values).mean()), words) for words, places, values in others)
    if best <= least and best < CLEARLY * apart.mean():
        return False, words
    told = f"at most {apart.max():.4g} apart, {apart.mean():.4g} on average, of a range of {span:.4g}"
    if apart.mean() <= CLOSE * span:
        return False, f"nearly the same, {told}: look at resizing and rounding"
    return False, f"other values, {told}: no common cause fits, look at the preprocessing in contract.json"


def causes(row: dict[str, Any], where: Any, real: Any) -> Iterator[tuple[str, Any, Any]]:
    """Give what may become of the right numbers: the words, their places, their values; first as it should be."""
    scale, zero_point = row.get("scale", 0.0), row.get("zero_point", 0)
    right = stored(real / scale + zero_point, row) if scale else real
    yield "same", where, right
    for words, landing in mixed_up(row):
        yield words, landing[where], right
    for wraps in (False, True) if scale else ():
        yield "the zero point was forgotten", where, stored(real / scale, row, wraps)
        yield "not quantized: the scale was forgotten", where, stored(real + zero_point, row, wraps)
        yield "not quantized: scale and zero point were forgotten", where, stored(real, row, wraps)
    for (wanted, (low, high)), (other, (least, most)) in permutations(RANGES.items(), 2):
        mapped = (real - low) / (high - low) * (most - least) + least
        quantized = stored(mapped / scale + zero_point, row) if scale else mapped
        yield f"values of {other} where {wanted} is wanted", where, quantized
        if scale and other == "0..255":
            yield "not quantized: bytes of 0..255, as pixels are", where, stored(mapped, row, wraps=True)


def mixed_up(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give by kind of mix-up of an image the place where each of its values lands."""
    if len(row["shape"]) != 4:
        return
    n, height, width, channels = map(abs, row["shape"])
    places = np.arange(n * height * width * channels)
    if channels == 3:
        colors = row.get("colors", "")
        told = f"{colors[::-1]} where {colors} is wanted" if colors else "RGB and BGR are mixed up"
        yield f"the channels are reversed: {told}", places.reshape(n, height, width, 3)[..., ::-1].ravel()
    moved = places.reshape(n, channels, height, width).transpose(0, 2, 3, 1)
    yield "transposed: NCHW where NHWC is wanted", moved.ravel()
    yield "height and width are swapped", places.reshape(n, width, height, channels).transpose(0, 2, 1, 3).ravel()


def stored(values: Any, row: dict[str, Any], wraps: bool = False) -> Any:
    """Round to what the input can hold, or keep the lowest bits only, as casts do."""
    limits = np.iinfo(np.int32 if wraps else row["dtype"])
    rounded = np.clip(np.rint(values), limits.min, limits.max)
    return rounded.astype(np.int64).astype(row["dtype"]).astype(float)


def check_app(read: Read, contract: dict[str, Any], number: int, given: list[str]) -> Iterator[Finding]:
    """Compare what an app made of a sample with the bytes of the golden vector."""
    rows, samples = {row["name"]: row for row in contract["inputs"]}, contract["vectors"]["samples"]
    if not 0 <= number < len(samples):
        raise argparse.ArgumentError(None, f"--vector must be 0 to {len(samples) - 1}. Got {number}.")
    for text in given:
        name, _, file = text.partition("=")
        if name not in rows or not Path(file).is_file():
            raise argparse.ArgumentError(None, f"--input must be NAME=FILE, NAME one of {sorted(rows)}. Got {text!r}.")
        row, golden = rows[name], samples[number]["inputs"][name]
        raw = read(golden)
        if digest(raw) != contract["vectors"]["sha256"][golden]:
            raise Wrong(f"{golden} was changed or damaged, so nothing can be compared with it")
        right = np.frombuffer(raw, row["dtype"]).astype(float)
        real = (right - row["zero_point"]) * row["scale"] if row.get("scale") else right
        passed, words = diagnose(Path(file).read_bytes(), row, np.arange(right.size), real)
        yield passed, f"{file}: {words}"


def check(bundle: Path, number: int | None, given: list[str]) -> Iterator[Finding]:
    """Yield for every check whether it passed, and what it found."""
    read = open_bundle(bundle)
    contract = json.loads(read("contract.json"))
    if number is not None:
        yield from check_app(read, contract, number, given)
        return
    interpreter = load(read, contract["file"])
    yield True, f"{contract['file']['name']} is the file that was shipped, and loads"
    wrong = [*check_border(interpreter, contract), *check_labels(read, contract)]
    yield not wrong, "; ".join(wrong) or "contract.json and labels fit the model"
    if wrong:
        return
    for position in range(len(contract["vectors"]["samples"])):
        passed, told = check_vector(read, contract, interpreter, position)
        yield passed, f"vector {position}: {told}"
    if not contract["vectors"]["samples"]:
        yield True, "there are no vectors, so nothing was run"


def main() -> int:
    """Check what the command line names; give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--vector", type=int, metavar="N")
    parser.add_argument("--input", action="append", default=[], metavar="NAME=FILE")
    arguments = parser.parse_args()
    if not arguments.bundle.exists() or (arguments.vector is None) == bool(arguments.input):
        parser.error(f"give a bundle that exists, and --vector with --input or neither. Got {arguments.bundle}.")
    well = True
    try:
        for passed, told in check(arguments.bundle, arguments.vector, arguments.input):
            well &= passed
            print("pass" if passed else "FAIL", told)
    except argparse.ArgumentError as error:
        parser.error(str(error))
    except Exception as error:  # whatever a damaged bundle holds, the receiver gets words
        well = False
        strange = f"the bundle is not as this script knows it: {type(error).__name__} "
        print(f"FAIL {'' if isinstance(error, Wrong) else strange}{error}")
    print("all is well" if well else "NOT what was shipped, or not what is wanted")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
