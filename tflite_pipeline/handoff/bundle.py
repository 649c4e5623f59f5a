"""What travels with the file: its contract, golden vectors, code, a card, and a script that checks them all."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from tflite_pipeline.artifacts import Bundle, QuantizedModel, Samples
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.handoff.border import labels_text
from tflite_pipeline.handoff.contract import FILE, as_text, write_contract
from tflite_pipeline.handoff.metadata import DATE, LABELS
from tflite_pipeline.handoff.model_card import write_card
from tflite_pipeline.handoff.raw import add_raw
from tflite_pipeline.handoff.snippets import write_snippets
from tflite_pipeline.handoff.vectors import make_vectors
from tflite_pipeline.runtime import litert

VERIFY = "verify.py"
README = """{name}

{file}      the model; its TFLite Metadata say the same as the contract, as far as they can
contract.json     inputs and outputs in the order of the file: shape, dtype, bytes, scale, zero point; classes;
                  preprocessing; the oldest runtime and what an app has to name for it
MODEL_CARD.md     what it is, how good it is, where it runs, what it is not made for
labels.txt        the classes, one a line (only where they are known)
snippets/         code for this very file: Kotlin, Swift, C++ (TFLM), JavaScript, Python
vectors/          real samples: <sample>.<input>.in are the bytes to put in, <sample>.<output>.out those that come out;
                  contract.json says what they mean and by how much the outputs may differ;
                  <sample>.<input>.raw.png or .npy is the sample before any preprocessing (very large ones are left out)
verify.py         checks all of it: pip install ai-edge-litert numpy; python verify.py

integer = clip(round(real / scale) + zero_point)      real = (integer - zero_point) * scale

The bytes that your app makes of sample 0 are compared by
python verify.py --vector 0 --input <input>=<file with the bytes>
"""


def bundle(
    model: QuantizedModel,
    name: str,
    told: dict[str, Any],
    samples: Samples | None,
    source: tuple[Dataset, int] | None,
    out: Path,
) -> Bundle:
    """Write `handoff.zip` below `out`; golden vectors come from the evaluation samples, none where there are none.

    Args:
        model: the file.
        name: the recipe's.
        told: plain JSON values: `preprocessing` as the recipe declares it, `classes`, `floor` (the oldest runtime),
            `spread` and `tested` (how far kernels are apart, see `make_vectors`) and `card` (see `write_card`).
        samples: those of the evaluation.
        source: the dataset section and the recipe's seed, to give the samples as the dataset has them too.
        out: an empty folder.
    """
    border = litert.describe(model.path)
    vectors = make_vectors(model.path, border, samples, told)
    if source is not None:
        add_raw(vectors, *source)
    contract = write_contract(model, name, told, border, vectors.told)
    texts = {
        "contract.json": as_text(contract),
        "README.txt": README.format(name=name, file=FILE),
        "MODEL_CARD.md": write_card(contract, told["card"]),
        VERIFY: Path(__file__).with_name(VERIFY).read_text(),
        **({LABELS: labels_text(told["classes"])} if told["classes"] else {}),
        **write_snippets(contract, model.path),
    }
    path = out / "handoff.zip"
    with zipfile.ZipFile(path, "w") as archive:
        _add(archive, FILE, model.path.read_bytes(), zipfile.ZIP_STORED)  # weights hardly shrink
        for place, content in (texts | vectors.files).items():
            _add(archive, place, content, zipfile.ZIP_DEFLATED)
    return Bundle(path)


def _add(archive: zipfile.ZipFile, place: str, content: str | bytes, method: int) -> None:
    """Put a file into the archive with a fixed date, so that equal content makes an equal bundle."""
    info = zipfile.ZipInfo(place, DATE)
    info.compress_type, info.external_attr = method, 0o644 << 16
    archive.writestr(info, content)
